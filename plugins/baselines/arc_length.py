"""Pseudo-arclength continuation: a path is followed around its turning points.

H. B. Keller, in Applications of Bifurcation Theory (ed. P. Rabinowitz), 1977, pages 359 to 384; E. L. Allgower and
K. Georg, doi:10.1137/1.9780898719154. The bordered system is solved by two Newton steps of the solver, so that any
solver with `correct` will do.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import replace
from typing import Any, ClassVar

import numpy as np
from cosolve.core.arrays import Array
from cosolve.core.query import Query
from cosolve.core.solver import Solver, SolveResult
from cosolve.plugins.baselines.load_stepping import Path
from cosolve.plugins.baselines.options import ArcLengthOptions
from cosolve.plugins.baselines.wrapped import ContinuingSolver

_PROBE = 1e-2
"""Change of the share from which the derivative of the state along the path is taken."""


class ArcLength(ContinuingSolver):
    """Follows the curve of states and shares of the path by its length, until the share is 1.

    Args:
        solver: Gives Newton steps by `correct(query, x, 1)`. They must be undamped (PETSc: `snes_linesearch_type
            basic`).
        path: The queries on the way; defined and smooth beyond shares 0 and 1, too.
        options: Step control, see `ArcLengthOptions`.
    """

    name: ClassVar[str] = "arc_length"

    def __init__(self, solver: Solver, path: Path, options: ArcLengthOptions | None = None, **given: Any) -> None:
        super().__init__(solver)
        self.path = path
        self.options = (options or ArcLengthOptions()).model_copy(update=given)

    def follow(self, query: Query, visit: Callable[[float, Array], None] | None = None) -> SolveResult:
        """Follow the curve until it first crosses share 1, then solve there (collective).

        Args:
            query: The question at the end of the path.
            visit: Told each point that was reached, its share and state.
        """
        options, solver = self.options, self.solver
        x, share = solver.initial_state(), 0.0
        step, spent, steps = options.first_step, 0, 1
        while True:
            first = solver.correct(self._there(query, step), x, options.corrector_iterations)
            spent += first.iterations
            if first.converged:
                break
            step *= options.shrink
            if step < options.smallest_step:
                return replace(first, iterations=spent, reason=f"arc length: the first step failed: {first.reason}")
        scale = self._norm(first.value - x) / step
        if scale == 0.0:
            return solver.step(query, first.value)
        points = [(share, x), (step, first.value)]
        length = self._length(points[0], points[1], scale)
        while steps < options.max_steps:
            (s0, x0), (s1, x1) = points
            if visit is not None:
                visit(s1, x1)
            size = self._length(points[0], points[1], scale)
            tangent = ((s1 - s0) / size, (x1 - x0) / size)
            found, used = self._corrected(query, (s1, x1), tangent, length, scale)
            spent, steps = spent + used, steps + 1
            if found is None:
                length *= options.shrink
                if length < options.smallest_step:
                    break
                continue
            if (found[0] - 1.0) * (s1 - 1.0) <= 0.0:
                weight = (1.0 - s1) / (found[0] - s1)
                result = solver.correct(query, x1 + weight * (found[1] - x1), options.corrector_iterations)
                spent += result.iterations
                if result.converged:
                    return replace(result, iterations=spent, notes={"steps": steps})
                length *= options.shrink
                continue
            points = [points[1], found]
            if used <= 2 * options.easy_iterations:
                length = min(length * options.growth, options.largest_step)
        s1, x1 = points[1]
        return SolveResult(x1, False, f"arc length stopped at {s1:.4g} of the path after {steps} steps", spent)

    def _corrected(
        self, query: Query, start: tuple[float, Array], tangent: tuple[float, Array], length: float, scale: float
    ) -> tuple[tuple[float, Array] | None, int]:
        """Return the point at `length` along the tangent, corrected in the normal plane, and the Newton steps."""
        s_ahead, x_ahead = start[0] + length * tangent[0], start[1] + length * tangent[1]
        share, x = s_ahead, x_ahead
        used = 0
        for _ in range(self.options.corrector_iterations):
            there = self._there(query, share)
            if self.solver.measure(there, x).ratio <= 1.0:
                return (share, x), used
            beside = self._there(query, share + _PROBE)
            one, two = self.solver.correct(there, x, 1), self.solver.correct(beside, x, 1)
            used += one.iterations + two.iterations
            if not (np.isfinite(self._norm(one.value)) and np.isfinite(self._norm(two.value))):
                return None, used
            newton = one.value - x
            along = (two.value - one.value) / _PROBE
            slope = self._dot(tangent[1], along) / scale**2 + tangent[0]
            off = self._dot(tangent[1], x + newton - x_ahead) / scale**2 + tangent[0] * (share - s_ahead)
            if slope == 0.0 or not math.isfinite(slope):
                return None, used
            change = -off / slope
            share, x = share + change, x + newton + change * along
        good = self.solver.measure(self._there(query, share), x).ratio <= 1.0
        return ((share, x) if good else None), used

    def _there(self, query: Query, share: float) -> Query:
        there = self.path(query, share)
        return replace(there, context={**there.context, "tolerance_factor": self.options.loose})

    def _length(self, one: tuple[float, Array], other: tuple[float, Array], scale: float) -> float:
        return math.hypot(self._norm(other[1] - one[1]) / scale, other[0] - one[0])

    def _norm(self, vector: Array) -> float:
        return math.sqrt(self._dot(vector, vector))

    def _dot(self, one: Array, other: Array) -> float:
        local, total = np.array(float(one @ other)), np.zeros(())
        self.comm.Allreduce(local, total)
        return float(total)
