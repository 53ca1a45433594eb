"""Surrogates for the bench that lie by a planted amount, or know the answer, and what becomes of what they say."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from cosolve.core.arrays import Array
from cosolve.couplings.cyclic import CyclicBlock
from cosolve.couplings.slow_evolution import SlowEvolution
from cosolve.examples.curing.cyclic_solver import CuringSolver, blocks_of
from cosolve.examples.curing.process import FloatArray, Schedule
from cosolve.examples.curing.surrogate import CuringSurrogate

SIZES = (0.0, 0.03, 0.1, 0.3, 1.0, 3.0)
"""Planted errors of the log-rate: 0.1 is ten times the network's own."""


class PlantedSurrogate(CuringSurrogate):
    """The surrogate with a smooth error of the log-rate that oscillates in slow time and space.

    Args:
        arrays: Tensors of the surrogate.
        size: Amplitude of the error of the log-rate; the lift errs by a tenth of it.
        seed: Draws the waves.
    """

    def __init__(self, arrays: Mapping[str, Array], size: float, seed: int) -> None:
        super().__init__(arrays)
        rng = np.random.default_rng(seed)
        self._size = size
        self._waves = rng.normal(size=2) * 5.0
        self._phase, self._frequency = float(rng.uniform(0.0, 6.0)), float(rng.uniform(0.3, 1.5))

    def bind_to(self, points: FloatArray, areas: FloatArray) -> None:
        """Interpolate the bases and evaluate the planted wave."""
        super().bind_to(points, areas)
        self._shape = np.cos(points @ self._waves + self._phase)

    def rate(self, block: CyclicBlock, tau: float, coefficients: FloatArray) -> FloatArray:
        """Return the log-rate with the planted error."""
        wave = np.cos(self._frequency * np.log(tau + 3.0) + self._phase)
        planted: FloatArray = super().rate(block, tau, coefficients) + (self._size * wave) * self._shape
        return planted

    def lift(self, block: CyclicBlock, tau: float, coefficients: FloatArray) -> FloatArray:
        """Return the temperature with the planted error."""
        planted: FloatArray = super().lift(block, tau, coefficients) + (0.1 * self._size) * self._shape
        return planted


class OracleSurrogate(CuringSurrogate):
    """Knows the answer: log-rates and temperatures of a full stepping of the very schedule (serial).

    Args:
        arrays: Tensors of the surrogate whose place it takes.
        solver: Runs the full stepping.
        schedule: The schedule; its loads must differ from each other.
        steps: Steps in a period.
    """

    def __init__(self, arrays: Mapping[str, Array], solver: CuringSolver, schedule: Schedule, steps: int) -> None:
        super().__init__(arrays)
        self._rates: dict[Any, FloatArray] = {}
        self._lifts: dict[Any, FloatArray] = {}
        state = solver.initial(schedule)
        for block in schedule.blocks:
            slows, lifts = [state.phi], [state.theta]
            for _ in range(block.periods):
                state = solver.advance(state, block.load, 1, steps)
                slows.append(state.phi)
                lifts.append(state.theta)
            self._rates[block.load] = np.log(np.diff(slows, axis=0))
            self._lifts[block.load] = np.array(lifts)

    def rate(self, block: CyclicBlock, tau: float, coefficients: FloatArray) -> FloatArray:
        """Return the true log-rate in the period around `tau`."""
        return _between(self._rates[block.load], tau - 0.5)

    def lift(self, block: CyclicBlock, tau: float, coefficients: FloatArray) -> FloatArray:
        """Return the true temperature at `tau`."""
        return _between(self._lifts[block.load], tau)


def _between(rows: FloatArray, position: float) -> FloatArray:
    """Return the linear interpolant of `rows` (shape `(k, n)`) at `position`; constant beyond the ends."""
    position = min(max(position, 0.0), len(rows) - 1.0)
    low = min(int(position), len(rows) - 2)
    between: FloatArray = rows[low] + (position - low) * (rows[low + 1] - rows[low])
    return between


def alone(solver: CuringSolver, surrogate: CuringSurrogate, schedule: Schedule) -> list[FloatArray]:
    """Return alpha at the block ends as the surrogate, once bound, has it without any true period (collective)."""
    slow = solver.slow(solver.initial(schedule))
    ends = []
    for block in blocks_of(schedule):
        slow = SlowEvolution(solver, surrogate, block, slow).integrate([float(block.periods)])[0]
        ends.append(-np.expm1(-slow))
    return ends


def outcome(accepted: bool, error: float, alone: float, tolerance: float) -> str:
    """Return what became of an answer of the surrogate.

    Args:
        accepted: Whether the judge took it, corrected by true periods.
        error: Error of the run.
        alone: Error of the surrogate without any true period.
        tolerance: What is asked for.

    >>> outcome(True, 0.01, 0.02, 0.005)
    'false accept'
    >>> outcome(False, 0.001, 0.002, 0.005)
    'false reject'
    """
    if accepted:
        return "accepted" if error <= tolerance else "false accept"
    return "false reject" if alone <= tolerance else "rejected"


def rates(cases: list[dict[str, Any]]) -> dict[str, Any]:
    """Return counts by planted size, and the rates of false verdicts with the upper ends of their 95 % intervals."""
    table = {}
    for size in SIZES:
        found = [case["outcome"] for case in cases if case["size"] == size]
        names = ("accepted", "false accept", "rejected", "false reject")
        table[f"{size:g}"] = {name: found.count(name) for name in names}
    asked = len(cases)
    report: dict[str, Any] = {"by_size": table, "asked": asked}
    for name in ("false accept", "false reject"):
        seen = sum(case["outcome"] == name for case in cases)
        # The rule of three where none was seen, else Wilson's upper limit.
        upper = 3.0 / asked if seen == 0 else _wilson(seen, asked)
        key = name.replace(" ", "_")
        report |= {f"{key}s": seen, f"{key}_rate": seen / asked, f"{key}_rate_below": min(1.0, upper)}
    return report


def _wilson(hits: int, trials: int) -> float:
    z, share = 1.96, hits / trials
    centre = share + z * z / (2 * trials)
    spread = z * float(np.sqrt(share * (1 - share) / trials + z * z / (4 * trials**2)))
    return (centre + spread) / (1 + z * z / trials)
