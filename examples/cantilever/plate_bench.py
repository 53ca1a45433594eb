"""The part of `cosolve bench newton` on the unstructured plate, where grid sequencing has nothing to stand on.

The surrogate is POD + Gaussian process on solutions of the very mesh, made in the bench and charged.
"""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import replace
from statistics import mean
from typing import Any

import numpy as np
from cosolve.core.arrays import Array
from cosolve.core.governor import Governor
from cosolve.core.query import Query
from cosolve.core.registry import Registry
from cosolve.core.session import Session
from cosolve.couplings.guessed_solves import GuessedSolves
from cosolve.examples.cantilever.plate import plate_solver
from cosolve.examples.cantilever.problem import SERIAL
from cosolve.plugins.baselines.pod_gp import PodGaussianProcess
from mpi4py import MPI

PATHS = 120
"""Solutions that the Gaussian process is fitted to."""

TRAINED, TUNED = 1_000_101, 900_101
"""Seeds of the loads that are learned from, and of those that settings are chosen on."""


def pull(seed: int, index: int) -> dict[str, Array]:
    """Draw the load of plate `index` of a family: three numbers between -1 and 1."""
    return {"pull": np.random.default_rng([seed, index]).uniform(-1.0, 1.0, 3)}


def grown(query: Query, share: float) -> Query:
    """Return the query with a share of its load."""
    return replace(query, parameters={"pull": share * np.asarray(query.parameters["pull"])})


def measure_plate(seed: int, count: int, settings: list[Mapping[str, Any]], *, paths: int = PATHS) -> dict[str, Any]:
    """Measure starts from a Gaussian process against load stepping on the plate (serial).

    Args:
        seed: Draws the loads.
        count: Their number.
        settings: Of load stepping, to choose from; `reuse` of Jacobians among them.
        paths: Solutions that the Gaussian process is fitted to.
    """
    made = [_stepping(one) for one in settings]
    for stepping in made:
        _timed(stepping, pull(TUNED, 0))
    spent = [sum(_timed(stepping, pull(TUNED, k))[0] for k in range(4)) for stepping in made]
    best = made[int(np.argmin(spent))]
    begun = time.process_time()
    loads = [pull(TRAINED, index) for index in range(paths)]
    known = [best.step(Query(best.initial_state(), parameters=one, transaction="solve")).value for one in loads]
    surrogate = PodGaussianProcess.of(known, loads)
    training = time.process_time() - begun
    fresh = _stepping({**settings[int(np.argmin(spent))], "reuse": False})
    session = Session(fresh, None, mode="initial_guess", governor=Governor("off"), max_guess_iterations=12)
    with GuessedSolves(session, [surrogate]) as guess:
        guess.solve(pull(TUNED, 0))
        slow, quick, right, alone = [], [], [], []
        for index in range(count):
            seconds, truth = _timed(best, pull(seed, index))
            fresh.solver.newton.forget()
            begun = time.process_time()
            outcome = guess.solve(pull(seed, index), raise_on_failure=False)
            quick.append(time.process_time() - begun)
            slow.append(seconds)
            away = float(np.linalg.norm(outcome.value - truth)) / float(np.linalg.norm(truth))
            right.append(float(outcome.ok and away <= 1e-5))
            alone.append(float(right[-1] and outcome.source != "solver"))
    for solver in (*made, fresh):
        solver.close()
    gain = mean(slow) - mean(quick)
    return {
        "plate_queries": count,
        "plate_time_ratio_vs_stepping": mean(slow) / mean(quick),
        "plate_success_rate": mean(right),
        "plate_success_rate_before_fallback": mean(alone),
        "plate_break_even_queries": float(np.ceil(training / gain)) if gain > 0.0 else float("inf"),
        "plate_training_seconds": training,
    }


def _stepping(settings: Mapping[str, Any]) -> Any:
    chosen = {key: value for key, value in settings.items() if key != "reuse"}
    fine = plate_solver(MPI.COMM_SELF, reuse_jacobian=bool(settings["reuse"]), prefix=None, petsc_options=SERIAL)
    return Registry.discover().load("solver", "load_stepping", where="bench")(fine, grown, **chosen)


def _timed(solver: Any, parameters: Mapping[str, Array]) -> tuple[float, Array]:
    """Return the CPU seconds of a solve and its answer; endless where it failed."""
    solver.solver.newton.forget()
    begun = time.process_time()
    result = solver.step(Query(solver.initial_state(), parameters=parameters, transaction="solve"))
    seconds = time.process_time() - begun
    return seconds if result.converged else float("inf"), result.value
