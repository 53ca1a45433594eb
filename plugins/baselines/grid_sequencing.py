"""Grid sequencing: the solution on a coarse mesh, found by any continuation, starts the iteration on the fine one.

Nested iteration, as in A. Brandt and O. E. Livne, Multigrid Techniques, section 7, doi:10.1137/1.9781611970753.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any, ClassVar

from cosolve.core.arrays import Array
from cosolve.core.query import Query
from cosolve.core.solver import Solver, SolveResult
from cosolve.plugins.baselines.options import GridSequencingOptions
from cosolve.plugins.baselines.wrapped import ContinuingSolver


class GridSequencing(ContinuingSolver):
    """Solves on a coarse mesh first, then on the fine one from the interpolated solution.

    Args:
        solver: The fine solver. Where the interpolated start fails, its own way without a start is taken (load
            stepping, say).
        coarse: The coarse solver, asked without a start; may be a `GridSequencing` itself. Closed with this one.
        prolong: Takes owned coarse values to owned fine ones (collective).
        options: How long a start is tried.
    """

    name: ClassVar[str] = "grid_sequencing"

    def __init__(
        self,
        solver: Solver,
        coarse: Solver,
        prolong: Callable[[Array], Array],
        options: GridSequencingOptions | None = None,
        **given: Any,
    ) -> None:
        super().__init__(solver)
        self.coarse, self.prolong = coarse, prolong
        self.options = (options or GridSequencingOptions()).model_copy(update=given)

    def follow(self, query: Query) -> SolveResult:
        """Solve coarse, prolong, solve fine (collective)."""
        context = {**query.context, "tolerance_factor": self.options.loose}
        below = replace(query, state=self.coarse.initial_state(), history=(), context=context)
        found = self.coarse.step(below)
        notes = {"coarse_iterations": found.iterations + int(found.notes.get("coarse_iterations", 0))}
        tried = 0
        if found.converged:
            start = self.prolong(found.value)
            result = self.solver.correct(query, start, self.options.fine_iterations)
            if result.converged:
                return replace(result, notes=notes)
            tried = result.iterations
        result = self.solver.step(query)
        return replace(result, iterations=result.iterations + tried, notes={**result.notes, **notes, "fell_back": 1})

    def close(self) -> None:
        """Close both solvers (collective)."""
        self.coarse.close()
        super().close()
