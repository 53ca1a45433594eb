"""The classical cycle jump: the rival of the hybrid, and its first fallback.

After a change of load every period is run for a while. Then the log-rate of the slow variable is extrapolated from its
last two measurements, the slow variable is carried over a number of periods, and a few true periods follow: the first
settles the fast variable by one elliptic Newton correction, the last is measured. With the new measurement the jump is
done again by interpolation (predictor and corrector). Jumps grow in proportion to the time since the change.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
from cosolve.couplings.cyclic import CyclicBlock, CyclicSolver, FloatArray

_MEMORY = 3.0


@dataclass(frozen=True, slots=True)
class ClassicalSettings:
    """How the classical cycle jump runs; the defaults are the best of a grid on validation runs.

    Attributes:
        steps: Steps in a period.
        start_periods: Periods run after each change of load, at least 2.
        first_jump: Periods of the first jump.
        growth: Each jump is this many times as long as the one before.
        settling: Periods run after a jump before the measured one; the first of them gets the Newton correction.
        newton: Whether the fast variable is settled by elliptic Newton.
    """

    steps: int = 16
    start_periods: int = 7
    first_jump: int = 7
    growth: float = 1.85
    settling: int = 1
    newton: bool = True

    def plan(self, periods: int) -> list[int]:
        """Return the jumps of a block of `periods` periods, 0 for a period that is run; last come true periods.

        >>> ClassicalSettings(start_periods=2, first_jump=3, growth=2.0, settling=1).plan(20)
        [0, 0, 3, 0, 0, 11, 0, 0]
        """
        after = self.settling + 1
        plan = [0] * min(self.start_periods, periods)
        left, length = periods - len(plan), float(self.first_jump)
        while left > 0:
            jump = min(round(length), left - after)
            # What is left after this jump must hold another jump with its true periods, else this one takes it all.
            if left - jump - after < after + round(length):
                jump = left - after
            if jump < 1:
                return plan + [0] * left
            plan += [jump, *([0] * after)]
            left -= jump + after
            length *= self.growth
        return plan


@dataclass(frozen=True, slots=True)
class ClassicalBlock:
    """What the classical cycle jump left of a block.

    Attributes:
        state: The state at the end.
        corrections: Relative change of the quantity of interest by each corrector.
        periods: True periods run.
    """

    state: Any
    corrections: tuple[float, ...]
    periods: int


@dataclass(slots=True)
class _Rate:
    """A measured log-rate, shape `(n_owned,)`, and the middle of its period."""

    tau: float
    log_growth: FloatArray


class ClassicalCycleJump:
    """Runs blocks by the classical cycle jump (collective)."""

    def __init__(self, solver: CyclicSolver[Any], settings: ClassicalSettings) -> None:
        self.solver = solver
        self.settings = settings

    def planned_work(self, periods: int) -> int:
        """Return the time steps that a block of `periods` periods will take."""
        return self.settings.plan(periods).count(0) * self.settings.steps

    def run_block(self, state: Any, block: CyclicBlock) -> ClassicalBlock:
        """Run `block` (collective); values are not finite where the scheme was unstable."""
        s, solver = self.settings, self.solver
        tau, runs, since_jump, jump = 0, 0, 0, 0
        older: _Rate | None = None
        newer: _Rate | None = None
        predicted = np.zeros(0)
        corrections = []
        for entry in s.plan(block.periods):
            if entry:
                assert newer is not None
                jump, since_jump = entry, 0
                predicted = _growth(older, newer, tau, jump)
                state = solver.with_slow(state, solver.slow(state) + predicted)
                tau += jump
                continue
            before, state = state, solver.advance(state, block.load, 1, s.steps)
            growth = solver.slow(state) - solver.slow(before)
            change = solver.fast(state) - solver.fast(before)
            runs, tau, since_jump = runs + 1, tau + 1, since_jump + 1
            with np.errstate(invalid="ignore", divide="ignore"):
                log_growth = np.log(growth)
            if jump == 0:
                older, newer = newer, _Rate(tau - 0.5, log_growth)
            elif since_jump == s.settling + 1:
                if s.newton:
                    log_growth = log_growth + solver.rate_response(solver.mean_response(change))
                older, newer = newer, _Rate(tau - 0.5, log_growth)
                corrected = _growth(older, newer, tau - since_jump - jump, jump)
                slow = solver.slow(state) + (corrected - predicted)
                corrections.append(_relative(solver, slow, solver.slow(state)))
                state = solver.with_slow(state, slow)
            elif s.newton and since_jump == 1:
                state = solver.shifted(state, solver.settled_shift(change) - change)
        return ClassicalBlock(state, tuple(corrections), runs)


def _relative(solver: CyclicSolver[Any], slow: FloatArray, other: FloatArray) -> float:
    """Return the relative change of the quantity of interest (collective)."""
    quantity = solver.quantity(slow)
    size = solver.norm(quantity)
    return solver.norm(quantity - solver.quantity(other)) / size if size > 0.0 else math.inf


def _growth(older: _Rate | None, newer: _Rate, tau: int, jump: int) -> FloatArray:
    """Return the growth over `jump` periods from `tau` with a log-rate linear in log(time + 3) through both rates."""
    # Gauss-Legendre in three points: the log-rate is smooth by the time that jumps begin.
    total = np.zeros_like(newer.log_growth)
    for abscissa, weight in ((0.5 - math.sqrt(0.15), 5 / 18), (0.5, 8 / 18), (0.5 + math.sqrt(0.15), 5 / 18)):
        time = tau + abscissa * jump
        log_growth = newer.log_growth
        if older is not None:
            low, high = math.log(older.tau + _MEMORY), math.log(newer.tau + _MEMORY)
            share = (math.log(time + _MEMORY) - high) / (high - low)
            log_growth = log_growth + share * (newer.log_growth - older.log_growth)
        total += (weight * jump) * np.exp(log_growth)
    return total
