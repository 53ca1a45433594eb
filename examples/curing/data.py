"""Training data of the slow surrogate, from the solver itself: random schedules, sampled densely after each change.

While the temperature forgets the last load every period is run; afterwards phi is carried over a growing number of
periods at its last rate, and two periods are run before the next sample. Such states need not lie on one exact
trajectory: a sample relates the state it was taken at to the rate and the periodic temperature there.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt
from cosolve.examples.curing.cyclic_solver import CuringSolver
from cosolve.examples.curing.process import RANGES, Load, Ranges
from cosolve.examples.curing.stepping import ThermalState
from cosolve.examples.curing.surrogate import load_features

STEPS = 24
SAMPLED = (*range(10), 12, 14, 17, 20, 25)
"""Periods after a change of load at which samples are taken while every period is run."""
LEAPS = (3, 4, 6, 8, 10, 12, 14)
"""Periods that are leapt over afterwards, one sample after each."""

Float32Array = npt.NDArray[np.float32]


@dataclass(frozen=True, slots=True)
class Sample:
    """One sample; the fields are on all nodes of the training mesh, shape `(n_nodes,)`.

    Attributes:
        rate_features: Features of loads and time for the rate, in mid period.
        lift_features: The same for the lift, at the start of the period.
        alpha_middle: alpha in mid period.
        alpha_start: alpha at the start.
        rate: log of the growth of phi over the period.
        lift: theta at the start.
        weight: (1 - alpha) times the growth of phi: what an error of the rate weighs in alpha.
    """

    rate_features: npt.NDArray[np.float64]
    lift_features: npt.NDArray[np.float64]
    alpha_middle: Float32Array
    alpha_start: Float32Array
    rate: Float32Array
    lift: Float32Array
    weight: Float32Array


def widened(ranges: Ranges, share: float = 0.03) -> Ranges:
    """Return the ranges with loads wider by `share` on both sides: no run in range lies on an edge of the data."""

    def wider(low: float, high: float) -> tuple[float, float]:
        margin = share * (high - low)
        return low - margin, high + margin

    return replace(
        ranges,
        power=wider(*ranges.power),
        radius=wider(*ranges.radius),
        centre_x=wider(*ranges.centre_x),
    )


def samples(solver: CuringSolver, rng: np.random.Generator, blocks: int = 4) -> Iterator[Sample]:
    """Run one random schedule of `blocks` blocks on one rank and yield its samples."""
    ranges = widened(RANGES)
    d = solver.discretisation
    integrator = solver.integrator(STEPS)
    state = ThermalState(ranges.draw_bump(rng).values(d.points), np.zeros(d.n_owned))
    before: Load | None = None
    for _ in range(blocks):
        load = ranges.draw_load(rng)
        for tau in range(SAMPLED[-1] + 1):
            end = integrator.advance(state, load)
            if tau in SAMPLED:
                yield _sample(load, before, tau, state, end)
            state, start = end, state
        tau = SAMPLED[-1] + 1
        for leap in LEAPS:
            grown = state.phi + leap * (state.phi - start.phi)
            start = integrator.advance(replace(state, phi=grown), load)
            state = integrator.advance(start, load)
            yield _sample(load, before, tau + leap + 1, start, state)
            tau += leap + 2
        before = load


def _sample(load: Load, before: Load | None, tau: int, start: ThermalState, end: ThermalState) -> Sample:
    growth = end.phi - start.phi
    alpha_middle = 1.0 - np.exp(-0.5 * (start.phi + end.phi))
    single: Callable[[npt.NDArray[np.float64]], Float32Array] = lambda field: field.astype(np.float32)  # noqa: E731
    return Sample(
        rate_features=load_features(load, before, tau + 0.5),
        lift_features=load_features(load, before, float(tau)),
        alpha_middle=single(alpha_middle),
        alpha_start=single(start.alpha),
        rate=single(np.log(growth)),
        lift=single(start.theta),
        weight=single((1.0 - alpha_middle) * growth),
    )
