"""Residual projection over the history: the classical proposer that is hardest to beat in linear time loops.

The candidate is x = p + D y, with p the quadratic extrapolation and the columns of D the recent increments. y
minimises the linearised residual (least squares) or makes it orthogonal to D (Galerkin). Projection on previous
solutions: P. F. Fischer, Comput. Methods Appl. Mech. Engrg. 163 (1998) 193, doi:10.1016/S0045-7825(98)00012-7.
"""

from __future__ import annotations

import math
from typing import ClassVar

import numpy as np
from cosolve.core.arrays import Array
from cosolve.core.errors import PluginError
from cosolve.core.prediction import Prediction
from cosolve.core.query import Query
from cosolve.core.solver import Solver
from cosolve.core.surrogate import Surrogate
from cosolve.plugins.baselines.extrapolation import extrapolate
from cosolve.plugins.baselines.options import ProjectionOptions

_DROP = 1e-10
_PROBE = 1e-6


class Projection(Surrogate):
    """Proposes the state of least residual over extrapolation plus the span of recent increments.

    Needs a solver that offers `residual`; one call costs at most `window + 2` residuals. Collective: residuals and
    inner products run over the solver's communicator.

    Args:
        method: `least_squares` or `galerkin`.
        window: Number of recent states that span the space.
    """

    name: ClassVar[str] = "projection"
    is_baseline: ClassVar[bool] = True
    collective: ClassVar[bool] = True

    def __init__(self, method: str = "least_squares", window: int = 5) -> None:
        self.options = ProjectionOptions.model_validate({"method": method, "window": window})
        self._solver: Solver | None = None

    def bind(self, solver: Solver) -> None:
        """Keep the solver: its residual and its communicator (collective)."""
        if type(solver).residual is Solver.residual:
            raise PluginError(
                f"the proposer 'projection' needs the residual's values, and solver {solver.name!r} offers its norm "
                "only. Use 'quadratic_extrapolation', or give the solver a `residual` method."
            )
        self._solver = solver

    def _predict(self, query: Query) -> Prediction:
        solver = self._solver
        if solver is None:
            raise PluginError("the proposer 'projection' was asked before `bind(solver)`")
        start = extrapolate(query, 2)
        residual = solver.residual(query, start)
        directions = self._directions(query)
        norm = math.sqrt(self._dots(residual[None, :], residual)[0])
        if not len(directions) or norm == 0.0:
            return Prediction(start, notes={"directions": 0})
        # Directional differences: the directions have unit norm, the step is small against the state.
        size = math.sqrt(self._dots(start[None, :], start)[0])
        step = _PROBE * max(size, 1e-30)
        actions = np.stack([(solver.residual(query, start + step * d) - residual) / step for d in directions])
        tests = actions if self.options.method == "least_squares" else directions
        matrix = np.stack([self._dots(tests, action) for action in actions], axis=1)
        weights = np.linalg.lstsq(matrix, -self._dots(tests, residual), rcond=_DROP)[0]
        value = start + weights @ directions
        after = solver.residual(query, value)
        after_norm = math.sqrt(self._dots(after[None, :], after)[0])
        notes = {"directions": len(directions), "residual_before": norm, "residual_after": after_norm}
        # The problem may be far from linear: the better of the two is proposed. NaN compares as worse.
        return Prediction(value.astype(query.state.dtype) if after_norm < norm else start, notes=notes)

    def _directions(self, query: Query) -> Array:
        """Return orthonormal increments between recent states, shape `(n, n_owned)`, `n` the same on every rank."""
        states = [query.state, *(snapshot.state for snapshot in query.history[: self.options.window - 1])]
        increments = np.diff(np.array(states, dtype=np.float64), axis=0)
        if not len(increments):
            return increments
        gram = np.stack([self._dots(increments, increment) for increment in increments], axis=1)
        values, vectors = np.linalg.eigh(0.5 * (gram + gram.T))
        # Every rank has the same Gram matrix, hence the same choice of directions.
        keep = values > _DROP * max(float(values[-1]), 1e-300)
        directions: Array = (vectors[:, keep] / np.sqrt(values[keep])).T @ increments
        return directions

    def _dots(self, rows: Array, vector: Array) -> Array:
        """Return the inner products of `rows` and `vector` over the communicator (collective)."""
        assert self._solver is not None
        local = np.asarray(rows @ vector, dtype=np.float64)
        total = np.zeros_like(local)
        self._solver.comm.Allreduce(local, total)
        return total
