"""Starts of symmetric positive definite solves by projection over history and proposals, optimal in the energy norm.

P. F. Fischer, Comput. Methods Appl. Mech. Engrg. 163 (1998) 193, doi:10.1016/S0045-7825(98)00012-7. The start is the
Galerkin solution over the span of the last solutions and of what other proposers say. Of all starts in that span it has
the least error in the norm of the operator: never worse than history alone, and never worse than a proposal alone.
PETSc offers the projection over history as `-ksp_guess_type fischer`; proposals cannot join it there.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import ClassVar

import numpy as np
from cosolve.core.arrays import Array
from cosolve.core.domain import Domain
from cosolve.core.errors import BadInputError, PluginError
from cosolve.core.prediction import Prediction
from cosolve.core.query import Query
from cosolve.core.solver import Solver
from cosolve.core.surrogate import Surrogate
from cosolve.plugins.petsc.ksp import KspSolver
from cosolve.plugins.petsc.vectors import placed

_DEPENDENT = 1e-12
"""A direction whose energy is below this share of what it had before it was made orthogonal adds nothing."""


class EnergyProjection(Surrogate):
    """Proposes the best start over the last solutions and the proposals of others, in the energy norm.

    A prediction costs two products with the space; each proposer that joins costs its own prediction and one product
    with the operator, and each solution that is learnt one more. Needs a `KspSolver` whose operator is symmetric
    positive definite; where the operator changes, the space is made orthogonal anew.

    Args:
        size: Solutions that are kept; a full space begins again with the last one.
        joined: Proposers whose answers join the space; a fault, a NaN or a wrong shape of theirs on a rank leaves them
            out on all ranks. Must not communicate.

    Raises:
        BadInputError: The size is not positive, or a proposer communicates.
    """

    name: ClassVar[str] = "energy_projection"
    is_baseline: ClassVar[bool] = True
    collective: ClassVar[bool] = True
    predict_keeps_memory: ClassVar[bool] = True
    domain = Domain(dtypes=("float64",))

    def __init__(self, size: int = 20, joined: Sequence[Surrogate] = ()) -> None:
        if size < 1:
            raise BadInputError(f"energy_projection keeps at least one solution, got size = {size!r}")
        for proposer in joined:
            if proposer.collective:
                raise BadInputError(f"{proposer.name!r} communicates, so it cannot join energy_projection")
        self.size, self.joined = size, tuple(joined)
        self._solver: KspSolver | None = None
        self._space: Array = np.zeros((0, 0))
        self._state = -1
        self._learnt: Array | None = None

    def bind(self, solver: Solver) -> None:
        """Keep the solver: its operator, right-hand side and communicator (collective).

        Raises:
            PluginError: The solver wraps no KSP.
        """
        if not isinstance(solver, KspSolver):
            raise PluginError(
                f"energy_projection works in the norm of a KSP's operator, but the solver is {solver.name!r}; "
                "use 'projection', which needs a residual only"
            )
        self._solver = solver
        if self._space.shape[1] != solver.n_owned:
            self._space = np.zeros((0, solver.n_owned))
        for proposer in self.joined:
            proposer.bind(solver)

    def _predict(self, query: Query) -> Prediction:
        solver = self._bound()
        solver.tolerance(query)  # lets the user set right-hand side and operator of this query
        self._catch_up(solver)
        b = solver.b.array_r
        value = self._dots(self._space, b) @ self._space if len(self._space) else np.zeros(solver.n_owned)
        joined = 0
        extra = np.zeros((0, solver.n_owned))
        for proposer in self.joined:
            direction = self._orthogonal(np.concatenate([self._space, extra]), self._said(proposer, query))
            if direction is not None:
                value = value + self._dots(direction[None], b)[0] * direction
                extra = np.concatenate([extra, direction[None]])
                joined += 1
        return Prediction(value, notes={"space": len(self._space), "joined": joined})

    def observe(self, query: Query, value: Array) -> None:
        """Keep a solution for the space; it joins in the next prediction, where ranks may communicate."""
        self._learnt = value.copy()
        for proposer in self.joined:
            proposer.observe(query, value)

    def memory(self) -> Mapping[str, Array]:
        """Return the space."""
        learnt = np.zeros(0) if self._learnt is None else self._learnt
        # Told apart from a rank that owns nothing, so that all ranks join the solution or none does.
        waits = np.array([float(self._learnt is not None)])
        return {"space": self._space, "learnt": learnt, "waits": waits}

    def restore(self, memory: Mapping[str, Array]) -> None:
        """Take back what `memory` returned."""
        self._space, self._state = memory["space"].copy(), -1
        self._learnt = memory["learnt"].copy() if memory["waits"][0] else None

    def _bound(self) -> KspSolver:
        if self._solver is None:
            raise PluginError("energy_projection was asked before `bind(solver)`")
        return self._solver

    def _catch_up(self, solver: KspSolver) -> None:
        """Make the space orthogonal for the operator of now, and let the last solution join it."""
        state = int(solver.ksp.getOperators()[0].stateGet())
        if state != self._state:
            old, self._space, self._state = self._space, self._space[:0], state
            for direction in old:
                self._join(direction)
        if self._learnt is not None:
            learnt, self._learnt = self._learnt, None
            if len(self._space) >= self.size:
                self._space = self._space[:0]
            self._join(learnt)

    def _join(self, value: Array) -> None:
        direction = self._orthogonal(self._space, value)
        if direction is not None:
            self._space = np.concatenate([self._space, direction[None]])

    def _orthogonal(self, space: Array, value: Array) -> Array | None:
        """Return `value` less its projection on `space`, of energy 1; None where nothing is left of it."""
        action = self._action(value)
        before = self._dots(value[None], action)[0]
        if not (math.isfinite(before) and before > 0.0):
            return None
        for _ in range(2):  # twice: once loses orthogonality where little is left
            if len(space):
                value = value - self._dots(space, action) @ space
                action = self._action(value)
        energy = self._dots(value[None], action)[0]
        if not energy > _DEPENDENT * before:
            return None
        unit: Array = value / math.sqrt(energy)
        return unit

    def _action(self, value: Array) -> Array:
        """Return the operator times `value`, owned values (collective)."""
        solver = self._bound()
        operator, _ = solver.ksp.getOperators()
        x, y = solver.vector(), solver.vector()
        with placed(x, value, solver.copies):
            operator.mult(x, y)
        result: Array = y.array_r.copy()
        x.destroy()
        y.destroy()
        return result

    def _said(self, proposer: Surrogate, query: Query) -> Array:
        """Return what a proposer says; NaN everywhere after a fault of its own, so that it is left out on all ranks."""
        try:
            value = np.asarray(proposer.predict(query).value, dtype=np.float64)
            if value.shape == query.state.shape:
                return value.copy()
        except Exception:  # whatever it raised: it only wanted to help
            pass
        return np.full_like(query.state, np.nan)

    def _dots(self, rows: Array, values: Array) -> Array:
        """Return the inner products of each row with `values` over all ranks (collective)."""
        local = np.ascontiguousarray(rows @ values)
        total = np.empty_like(local)
        self._bound().comm.Allreduce(local, total)
        return total
