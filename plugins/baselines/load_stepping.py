"""Adaptive load stepping with a predictor: the classical way to a solution that Newton's method cannot reach at once.

Predictor and step control in the spirit of E. L. Allgower and K. Georg, Introduction to Numerical Continuation Methods,
chapters 2 and 6, doi:10.1137/1.9780898719154: the step grows where the corrector had an easy task.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any, ClassVar, TypeAlias

import numpy as np
from cosolve.core.arrays import Array
from cosolve.core.query import Query
from cosolve.core.solver import Solver, SolveResult
from cosolve.plugins.baselines.options import LoadSteppingOptions
from cosolve.plugins.baselines.wrapped import ContinuingSolver

Path: TypeAlias = Callable[[Query, float], Query]
"""Returns the query at a share of the path: 1 is the query itself, 0 one that the initial state solves."""


def scaled(*names: str) -> Path:
    """Return the path along which the parameters of these names grow from zero.

    >>> query = Query(np.zeros(1), parameters={"load": 4.0, "modulus": 2.0})
    >>> {name: float(value) for name, value in scaled("load")(query, 0.25).parameters.items()}
    {'load': 1.0, 'modulus': 2.0}
    """

    def path(query: Query, share: float) -> Query:
        grown = {name: share * np.asarray(query.parameters[name]) for name in names}
        return replace(query, parameters={**query.parameters, **grown})

    return path


class LoadStepping(ContinuingSolver):
    """Follows a path of queries from the initial state with steps of adaptive length.

    Each point is predicted by the polynomial through the last ones and corrected by a few iterations. Points on the
    way need no more than a loose tolerance; the last one gets the query's own.

    Args:
        solver: Solves each point, by `correct`.
        path: The queries on the way; see `scaled`.
        options: Step control, see `LoadSteppingOptions`.
    """

    name: ClassVar[str] = "load_stepping"

    def __init__(self, solver: Solver, path: Path, options: LoadSteppingOptions | None = None, **given: Any) -> None:
        super().__init__(solver)
        self.path = path
        self.options = (options or LoadSteppingOptions()).model_copy(update=given)

    def follow(self, query: Query, visit: Callable[[float, Array], None] | None = None) -> SolveResult:
        """Step from share 0 to 1 (collective).

        Args:
            query: The question at the end of the path.
            visit: Told each point that was reached, its share and state.
        """
        options = self.options
        points: list[tuple[float, Array]] = [(0.0, self.solver.initial_state())]
        share, step = 0.0, options.first_step
        counts = {"iterations": 0, "linear_iterations": 0, "steps": 0, "failed_steps": 0}
        while True:
            last = share + step >= 1.0 - 1e-12
            target = 1.0 if last else share + step
            result = self._point(query, target, points)
            counts["iterations"] += result.iterations
            counts["linear_iterations"] += result.linear_iterations
            counts["steps" if result.converged else "failed_steps"] += 1
            if not result.converged:
                step *= options.shrink
                if step < options.smallest_step or counts["steps"] + counts["failed_steps"] >= options.max_steps:
                    return _ended(result, counts, f"load stepping stopped at {share:.4g} of the path: {result.reason}")
                continue
            if visit is not None:
                visit(target, result.value)
            if last:
                return _ended(result, counts, result.reason)
            share = target
            points = [*points, (share, result.value)][-options.order - 1 :]
            if result.iterations <= options.easy_iterations:
                step *= options.growth

    def _point(self, query: Query, share: float, points: list[tuple[float, Array]]) -> SolveResult:
        options = self.options
        if share == 1.0:
            there = query
        else:
            there = self.path(query, share)
            there = replace(there, context={**there.context, "tolerance_factor": options.loose})
        return self.solver.correct(there, predicted(points, share), options.corrector_iterations)


def predicted(points: list[tuple[float, Array]], share: float) -> Array:
    """Return the value at `share` of the polynomial through `points` (not collective)."""
    value = np.zeros_like(points[0][1])
    for i, (s_i, state) in enumerate(points):
        weight = 1.0
        for j, (s_j, _) in enumerate(points):
            if i != j:
                weight *= (share - s_j) / (s_i - s_j)
        value += weight * state
    return value


def _ended(result: SolveResult, counts: Mapping[str, int], reason: str) -> SolveResult:
    return replace(
        result,
        reason=reason,
        iterations=counts["iterations"],
        linear_iterations=counts["linear_iterations"],
        notes={"steps": counts["steps"], "failed_steps": counts["failed_steps"]},
    )
