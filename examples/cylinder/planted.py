"""Proposals for the bench that lie by a planted amount, a surrogate that knows the answer, and what becomes of them."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any, ClassVar

import numpy as np
from cosolve.core.arrays import Array
from cosolve.core.prediction import Prediction
from cosolve.core.query import Query
from cosolve.core.surrogate import Surrogate
from cosolve.core.verdict import Decision
from cosolve.core.verifier import Verifier
from cosolve.examples.cylinder.mesh import HEIGHT, LENGTH, FloatArray
from cosolve.examples.cylinder.solver import ChannelSolver

SIZES = (0.03, 0.1, 0.3, 0.7, 1.5, 3.0, 10.0, 100.0, 1e4)
"""Planted errors, relative to the field, in units of the solver's tolerance; proposals are accepted at half of it."""

FIELDS = ("velocity", "increment", "pressure", "history", "all")
SHAPES = ("smooth", "rough")


class Oracle(Surrogate):
    """Knows the answer: proposes the states that a classical run of the same steps had.

    Args:
        states: State at the end of each step, by the number of the step.
    """

    name: ClassVar[str] = "oracle"
    predict_keeps_memory: ClassVar[bool] = True

    def __init__(self, states: Mapping[int, Array]) -> None:
        self._states = states

    def _predict(self, query: Query) -> Prediction:
        return Prediction(self._states[query.step])


def perturbed(
    solver: ChannelSolver, state: Array, size: float, field: str, shape: str, rng: np.random.Generator
) -> FloatArray:
    """Return `state` with an error of a field, of root mean square `size` times that of the field.

    An increment errs by `size` times the pressure, which it is an increment of.

    Args:
        solver: Gives layout and points.
        state: The true state.
        size: Relative size.
        field: One of `FIELDS`.
        shape: `smooth` for waves as long as the channel is high, `rough` for noise at every node.
        rng: Draws the error.
    """
    layout, space = solver.layout, solver.space
    result = state.copy()
    wanted = FIELDS[:-1] if field == "all" else (field,)
    for name in wanted:
        views: Sequence[FloatArray] = {
            "velocity": [layout.velocities(result)[0]],
            "increment": [layout.increments(result)[0][None]],
            "pressure": [layout.pressure(result)[None]],
            "history": [layout.velocities(result)[1], layout.velocities(result)[2]],
        }[name]
        points = space.points if name in ("velocity", "history") else space.pressure_points
        for view in views:
            measure = layout.pressure(state) if name == "increment" else view
            scale = float(np.sqrt(np.mean(measure**2)))
            for row in view:
                error = wave(points, rng) if shape == "smooth" else rng.normal(size=len(points))
                if name in ("velocity", "history"):
                    error[space.fixed] = 0.0  # a lie at the boundary would be found by looking at it
                row += size * scale * error / float(np.sqrt(np.mean(error**2)))
    return result


def wave(points: FloatArray, rng: np.random.Generator) -> FloatArray:
    """Return a random sum of long waves at `points`, shape `(n,)`."""
    total = np.zeros(len(points))
    for i in range(4):
        for j in range(3):
            phase = rng.uniform(0.0, 2.0 * math.pi, size=2)
            along = np.cos(i * math.pi * points[:, 0] / LENGTH + phase[0])
            total += rng.normal() * along * np.cos(j * math.pi * points[:, 1] / HEIGHT + phase[1])
    return total


def error_of(solver: ChannelSolver, candidate: Array, exact: Array) -> float:
    """Return the largest relative error of velocities, pressure and increments, these relative to the pressure."""
    layout, errors = solver.layout, []
    size = float(np.linalg.norm(layout.pressure(exact))) or 1.0
    for one, other in zip(layout.velocities(candidate), layout.velocities(exact), strict=True):
        errors.append(float(np.linalg.norm(one - other)) / (float(np.linalg.norm(other)) or 1.0))
    for one, other in zip(layout.increments(candidate), layout.increments(exact), strict=True):
        errors.append(float(np.linalg.norm(one - other)) / size)
    errors.append(float(np.linalg.norm(layout.pressure(candidate) - layout.pressure(exact))) / size)
    return max(errors)


def judge(
    solver: ChannelSolver,
    verifier: Verifier,
    cases: Sequence[tuple[Query, Array]],
    allowed: float,
    seed: int,
    progress: Callable[[float], None] | None = None,
) -> list[dict[str, Any]]:
    """Judge planted errors of every size, field and shape.

    Args:
        solver: The solver.
        verifier: The judge.
        cases: Queries with the exact states at the end of their steps.
        allowed: Relative error that an answer may have, see `error_of`.
        seed: Draws the errors.
        progress: Told the share that is done.
    """
    rng = np.random.default_rng([seed, 0xBAD])
    found = []
    for number, (query, exact) in enumerate(cases):
        for size in SIZES:
            for field in FIELDS:
                for shape in SHAPES:
                    value = perturbed(solver, exact, size * solver.rtol, field, shape, rng)
                    verdict = verifier.judge(solver, query, Prediction(value))
                    error = error_of(solver, value, exact)
                    accepted = verdict.decision is Decision.ACCEPT
                    found.append(
                        {
                            "kind": "planted",
                            "t": query.t,
                            "size": size,
                            "field": field,
                            "shape": shape,
                            "error": error,
                            "measured": verdict.measure / verdict.tolerance,
                            "outcome": outcome(accepted, error, allowed),
                        }
                    )
        if progress is not None:
            progress((number + 1) / len(cases))
    return found


def outcome(accepted: bool, error: float, allowed: float) -> str:
    """Return what became of a proposal.

    >>> outcome(True, 2e-6, 1e-6), outcome(False, 2e-7, 1e-6)
    ('false accept', 'false reject')
    """
    if accepted:
        return "accepted" if error <= allowed else "false accept"
    return "rejected" if error > allowed else "false reject"


def rates(cases: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """Return counts by size, and the rates of false verdicts with their 95 % intervals (Wilson)."""
    names = ("accepted", "false accept", "rejected", "false reject")
    table = {
        f"{size:g}": {name: sum(c["outcome"] == name for c in cases if c["size"] == size) for name in names}
        for size in SIZES
    }
    report: dict[str, Any] = {"planted": len(cases), "planted_by_size": table}
    for false, right in (("false accept", "rejected"), ("false reject", "accepted")):
        hits = sum(case["outcome"] == false for case in cases)
        trials = hits + sum(case["outcome"] == right for case in cases)
        key = f"{false.replace(' ', '_')}_rate"
        report |= {key: hits / trials if trials else math.nan, f"{key}_interval": list(wilson(hits, trials))}
    return report


def wilson(hits: int, trials: int) -> tuple[float, float]:
    """Return the 95 % interval of a rate (Wilson 1927); (0, 1) without trials.

    >>> [round(end, 3) for end in wilson(0, 100)]
    [0.0, 0.037]
    """
    if trials == 0:
        return 0.0, 1.0
    z, share = 1.96, hits / trials
    centre = share + z * z / (2 * trials)
    spread = z * math.sqrt(share * (1.0 - share) / trials + z * z / (4 * trials**2))
    whole = 1.0 + z * z / trials
    return max(0.0, (centre - spread) / whole), min(1.0, (centre + spread) / whole)
