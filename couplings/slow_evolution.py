"""The slow evolution over a block: the surrogate's log-rate, corrected by defects measured at checkpoints."""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from cosolve.couplings.cyclic import CyclicBlock, CyclicSolver, FloatArray, SlowModel

_MEMORY = 3.0
"""Defects are interpolated linearly in log(tau + 3): they change fast after a change of load and slowly later."""


class Defects:
    """Measured minus predicted log-rates at some times of a block, interpolated in between and constant beyond.

    Attributes:
        revision: Number of changes so far.
    """

    def __init__(self) -> None:
        self._times: list[float] = []
        self._fields: list[FloatArray] = []
        self.revision = 0

    def __len__(self) -> int:
        """Number of measured times."""
        return len(self._times)

    def add(self, tau: float, field: FloatArray) -> None:
        """Take the defect `field` (shape `(n_owned,)`) measured at `tau`, or put it in the place of an older one."""
        self.revision += 1
        if tau in self._times:
            self._fields[self._times.index(tau)] = field
            return
        place = int(np.searchsorted(self._times, tau))
        self._times.insert(place, tau)
        self._fields.insert(place, field)

    def at(self, tau: float) -> FloatArray | None:
        """Return the defect at `tau`, None where none was measured in the block."""
        if not self._times:
            return None
        right = int(np.searchsorted(self._times, tau))
        if right == 0:
            return self._fields[0]
        if right == len(self._times):
            return self._fields[-1]
        low, high = (math.log(self._times[index] + _MEMORY) for index in (right - 1, right))
        share = (math.log(tau + _MEMORY) - low) / (high - low)
        return (1.0 - share) * self._fields[right - 1] + share * self._fields[right]


def slow_grid(periods: int, finest: int = 1, growth: float = 0.25) -> list[float]:
    """Return times from 0 to `periods` whose distances grow in proportion to the time since the load changed.

    Args:
        periods: Length of the block.
        finest: First distance.
        growth: Distance divided by time, later.
    """
    times = [0.0]
    while times[-1] < periods:
        step = max(finest, round(growth * times[-1]))
        left = periods - times[-1]
        times.append(float(periods) if left < 1.5 * step else times[-1] + step)
    return times


class SlowEvolution:
    """Integrates the corrected slow evolution of one block by the midpoint rule."""

    def __init__(self, solver: CyclicSolver[Any], model: SlowModel, block: CyclicBlock, start: FloatArray) -> None:
        """Begin at the slow variable `start` (shape `(n_owned,)`) at the start of `block`."""
        self._solver = solver
        self._model = model
        self.block = block
        self.start = start
        self.defects = Defects()
        self.evaluations = 0
        self._path: tuple[list[float], list[FloatArray]] = ([], [])
        self._path_defects = -1

    def lift(self, tau: float, slow: FloatArray) -> FloatArray:
        """Return the surrogate's fast variable at `tau` (collective)."""
        return self._ask(lambda coefficients: self._model.lift(self.block, tau, coefficients), slow)

    def rate(self, tau: float, slow: FloatArray) -> FloatArray:
        """Return the surrogate's log-rate in the period around `tau`, uncorrected (collective)."""
        return self._ask(lambda coefficients: self._model.rate(self.block, tau, coefficients), slow)

    def _ask(self, question: Callable[[FloatArray], FloatArray], slow: FloatArray) -> FloatArray:
        """Ask the surrogate with the summed moments of `slow` (collective).

        The ranks meet after the answer: what one rank's surrogate raises is known on all before a solver's library,
        which could not be told, is entered. An answer that is not finite is an error on every rank.
        """
        self.evaluations += 1
        answer = question(self._solver.total(self._model.moments(slow)))
        wrong = float(not np.isfinite(answer.sum()) or answer.shape != slow.shape)
        if self._solver.total(np.array([wrong]))[0] > 0.0:
            raise FloatingPointError("the slow surrogate's answer is not finite or has a wrong shape on some rank")
        return answer

    def integrate(self, stops: Sequence[float]) -> list[FloatArray]:
        """Return the slow variable at each of `stops`, between 0 and the block's end (collective).

        The path over the whole block is kept until a defect is added; a stop between its nodes costs one question.
        """
        if self._path_defects != self.defects.revision:
            self._path = self._whole_path()
            self._path_defects = self.defects.revision
        times, slows = self._path
        found = []
        for stop in stops:
            index = int(np.searchsorted(times, stop, side="right")) - 1
            slow, step = slows[index], stop - times[index]
            if step > 0.0:
                middle = times[index] + 0.5 * step
                # The middle's slow variable, by the path's own growth over the step.
                share = 0.5 * step / (times[index + 1] - times[index])
                between = slow + share * (slows[index + 1] - slow)
                slow = slow + step * np.exp(self._corrected(middle, between))
            found.append(slow)
        return found

    def _whole_path(self) -> tuple[list[float], list[FloatArray]]:
        """Integrate over the whole block by the midpoint rule."""
        times = slow_grid(self.block.periods)
        slows = [self.start]
        growth: FloatArray | None = None
        for low, high in itertools.pairwise(times):
            middle, step, slow = 0.5 * (low + high), high - low, slows[-1]
            # The middle is predicted with the growth of the step before, so that a step asks the surrogate once.
            between = slow if growth is None else slow + (0.5 * step) * growth
            growth = np.exp(self._corrected(middle, between))
            slows.append(slow + step * growth)
        return times, slows

    def integrate_to(self, stop: float, end: float) -> tuple[FloatArray, FloatArray]:
        """Return the slow variable at `stop` and at `end`, the later one (collective)."""
        here, last = self.integrate([stop, end])
        return here, last

    def _corrected(self, tau: float, slow: FloatArray) -> FloatArray:
        rate = self.rate(tau, slow)
        defect = self.defects.at(tau)
        return rate if defect is None else rate + defect
