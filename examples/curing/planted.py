"""Liars for the bench: the shipped surrogate with planted errors of its log-rate, and what becomes of their answers."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from cosolve.core.arrays import Array
from cosolve.couplings.cyclic import CyclicBlock
from cosolve.examples.curing.process import FloatArray
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


def outcome(accepted: bool, error: float, tolerance: float) -> str:
    """Return what became of an answer of the surrogate.

    >>> outcome(True, 0.01, 0.005)
    'false accept'
    """
    if accepted:
        return "accepted" if error <= tolerance else "false accept"
    return "rejected"


def rates(cases: list[dict[str, Any]]) -> dict[str, Any]:
    """Return counts by planted size, and the rate of false accepts with the upper end of its 95 % interval."""
    table = {}
    for size in SIZES:
        found = [case["outcome"] for case in cases if case["size"] == size]
        table[f"{size:g}"] = {name: found.count(name) for name in ("accepted", "false accept", "rejected")}
    asked = len(cases)
    false = sum(case["outcome"] == "false accept" for case in cases)
    # The rule of three where none was seen, else Wilson's upper limit.
    upper = 3.0 / asked if false == 0 else _wilson(false, asked)
    return {"by_size": table, "false_accepts": false, "asked": asked, "false_accept_rate_below": min(1.0, upper)}


def _wilson(hits: int, trials: int) -> float:
    z, share = 1.96, hits / trials
    centre = share + z * z / (2 * trials)
    spread = z * float(np.sqrt(share * (1 - share) / trials + z * z / (4 * trials**2)))
    return (centre + spread) / (1 + z * z / trials)
