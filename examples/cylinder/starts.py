"""Where a surrogate might pay after all, as the start of the velocity's iterations: each way tried is a row."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from statistics import median
from typing import Any

import numpy as np
from cosolve.core.arrays import Array
from cosolve.core.query import Query
from cosolve.core.surrogate import Surrogate
from cosolve.examples.cylinder.mesh import FloatArray
from cosolve.examples.cylinder.solver import ChannelSolver

CLASSICAL = "extrapolated (classical)"
"""The start that the solver takes by itself."""

_ORDERS: Mapping[str, tuple[float, ...]] = {"previous": (1.0,), "linear": (2.0, -1.0)}

Start = Callable[[Query], Array]


@dataclass(frozen=True, slots=True)
class Starts:
    """What was measured.

    Attributes:
        cases: A row for each start.
        metrics: The best start with the network beside the classical one.
        notes: The sentence for readers.
    """

    cases: list[dict[str, Any]]
    metrics: dict[str, Any]
    notes: list[str]


def compare_starts(solver: ChannelSolver, surrogate: Surrogate, windows: Sequence[Sequence[Query]]) -> Starts:
    """Step each query from every start, interleaved; count iterations and CPU time, making the start included (serial).

    Args:
        solver: The solver.
        surrogate: The network, bound to it.
        windows: Queries of neighbouring steps.
    """

    def network(query: Query) -> Array:
        return surrogate.predict(query).value

    starts: dict[str, Start | None] = {
        CLASSICAL: None,
        **{name: _combination(solver, weights) for name, weights in _ORDERS.items()},
        "network": network,
        "projection, history": lambda query: projected(solver, query, []),
        "projection, history and network": lambda query: projected(solver, query, [network(query)]),
    }
    iterations: dict[str, list[float]] = {name: [] for name in starts}
    seconds: dict[str, list[float]] = {name: [] for name in starts}
    for query in (query for window in windows for query in window):
        for name, start in starts.items():
            solver.forget()  # each pays for its own assembly
            begun = time.process_time()
            result = solver.step(query, None if start is None else start(query))
            seconds[name].append(time.process_time() - begun)
            iterations[name].append(result.linear_iterations / 2.0)
    own = median(seconds[CLASSICAL])
    cases: list[dict[str, Any]] = [
        {
            "kind": "start",
            "start": name,
            "iterations_per_solve": float(np.mean(iterations[name])),
            "ms_per_step": 1e3 * median(seconds[name]),
            "speedup": own / median(seconds[name]),
        }
        for name in starts
    ]
    with_network = [case for case in cases if "network" in case["start"]]
    best = max(with_network, key=lambda case: case["speedup"])
    metrics = {
        "start_speedup_best_with_network": best["speedup"],
        "start_iterations_classical": cases[0]["iterations_per_solve"],
        "start_iterations_best_with_network": best["iterations_per_solve"],
    }
    tried = (
        "Tried for the velocity's start: the network's proposal, and the combination of past states and of that "
        "proposal with the least residual."
    )
    if best["speedup"] > 1.0:
        return Starts(cases, metrics, [f"{tried} {best['start']} steps {best['speedup']:.3f} times as fast."])
    why = "the extrapolated velocity needs about one iteration, which costs less than asking"
    return Starts(
        cases, metrics, [f"No hybrid that pays was found. {tried} None is faster than the classical start: {why}."]
    )


def _combination(solver: ChannelSolver, weights: Sequence[float]) -> Start:
    """Return a start that combines the newest velocities of the query's state."""
    layout = solver.layout

    def start(query: Query) -> Array:
        result = query.state.copy()
        levels = layout.velocities(query.state)
        layout.velocities(result)[0] = sum(weight * level for weight, level in zip(weights, levels, strict=False))
        return result

    return start


def projected(solver: ChannelSolver, query: Query, extra: Sequence[Array]) -> Array:
    """Return the combination of past velocities and of `extra` states' with the least residual of the momentum.

    Args:
        solver: The solver.
        query: The question.
        extra: Further candidates.
    """
    layout = solver.layout
    candidates = [*layout.velocities(query.state), *(layout.velocities(state)[0] for state in extra)]
    images: list[FloatArray] = []
    for velocity in candidates:
        trial = query.state.copy()
        layout.velocities(trial)[0] = velocity
        images.append(layout.velocities(solver.residual(query, trial))[0].ravel())
    # Combinations whose weights sum to one, so that the right-hand side stays where it is.
    first = images[0]
    span = np.array([image - first for image in images[1:]])
    weights = np.linalg.lstsq(span.T, -first, rcond=None)[0]
    result = query.state.copy()
    layout.velocities(result)[0] = candidates[0] + sum(
        weight * (velocity - candidates[0]) for weight, velocity in zip(weights, candidates[1:], strict=True)
    )
    return result
