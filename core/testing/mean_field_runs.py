"""Training runs of the mean-field problem: data for surrogates that cannot answer before they have seen some."""

from __future__ import annotations

import numpy as np
from cosolve.core.query import Query
from cosolve.core.testing.mean_field import MeanFieldSolver
from cosolve.core.trajectory import Trajectory

DT = 0.1
"""Step of the runs, and of the questions that the kits ask."""


def mean_field_runs(count: int = 12, steps: int = 6, seed: int = 0) -> list[Trajectory]:
    """Return classical runs of the linear mean-field problem from random smooth starts (not collective).

    Args:
        count: Number of runs.
        steps: Steps of each.
        seed: Draws the starts.
    """
    rng = np.random.default_rng(seed)
    solver = MeanFieldSolver(cubic=0.0)
    start = solver.initial_state()
    runs = []
    for _ in range(count):
        states = [start * rng.uniform(0.5, 1.5) + 0.2 * rng.standard_normal() * np.cos(0.3 * np.arange(start.size))]
        for step in range(steps):
            states.append(solver.step(Query(states[-1], DT * step, DT, step)).value.copy())
        runs.append(Trajectory(DT * np.arange(steps + 1), np.array(states)))
    solver.close()
    return runs


def mean_field_places() -> np.ndarray[tuple[int, int], np.dtype[np.float64]]:
    """Return where the values of these runs live, shape `(n, 1)`."""
    places: np.ndarray[tuple[int, int], np.dtype[np.float64]] = np.arange(40.0)[:, None]
    return places
