"""Starts of symmetric positive definite solves by projection over history and proposals, optimal in the energy norm.

P. F. Fischer, Comput. Methods Appl. Mech. Engrg. 163 (1998) 193, doi:10.1016/S0045-7825(98)00012-7. The start is the
Galerkin solution over the span of the last solutions and of what other proposers say. Of all starts in that span it has
the least error in the norm of the operator: never worse than history alone, and never worse than a proposal alone.
PETSc offers the projection over history as `-ksp_guess_type fischer`; proposals cannot join it there.
"""

from __future__ import annotations

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
from cosolve.plugins.petsc.energy_space import EnergySpace
from cosolve.plugins.petsc.ksp import KspSolver


class EnergyProjection(Surrogate):
    """Proposes the best start over the last solutions and the proposals of others, in the energy norm.

    A prediction costs two products with the space; each proposer that joins costs its own prediction and one product
    with the operator, and each solution that is learnt one more. Needs a `KspSolver` whose operator is symmetric
    positive definite; where the operator changes, the space is made orthogonal anew.

    Args:
        size: Solutions that are kept at most; a full space forgets its older half.
        joined: Proposers whose answers join the space; a fault, a NaN or a wrong shape of theirs on a rank leaves them
            out on all ranks. Must not communicate.

    Attributes:
        asked: Predictions for which proposers were asked.
        last: The last start.
        alone: What the last start would have been without proposals; None where none joined.

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
        self.asked = 0
        self.last: Array = np.zeros(0)
        self.alone: Array | None = None
        self._space: EnergySpace | None = None
        self._learnt: Array | None = None
        self._known: tuple[Array, Array] | None = None

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
        if self._space is None or self._space.solver is not solver:
            self._space = EnergySpace(solver, self.size, len(self.joined))
        for proposer in self.joined:
            proposer.bind(solver)

    def _predict(self, query: Query) -> Prediction:
        space = self._bound()
        space.solver.tolerance(query)  # lets the user set right-hand side and operator of this query
        self._catch_up(space)
        known = space.coordinates()
        state, along = space.combine(known), []
        for proposer in self.joined:
            joined = space.join(said(proposer, query))
            if joined is not None:
                along.append(joined.along)
        self.asked += bool(self.joined)
        self.alone = state if along else None
        self.last = space.combine(np.concatenate([known, along])) if along else state
        self._known = (known, state)
        return Prediction(self.last.astype(query.state.dtype), notes={"space": space.count, "joined": len(along)})

    def observe(self, query: Query, value: Array) -> None:
        """Keep a solution for the space; it joins in the next prediction, where ranks may communicate."""
        self._learnt = value.copy()
        for proposer in self.joined:
            proposer.observe(query, value)

    def memory(self) -> Mapping[str, Array]:
        """Return the space."""
        if self._space is None:
            return {}
        learnt = np.zeros(0) if self._learnt is None else self._learnt
        # Told apart from a rank that owns nothing, so that all ranks join the solution or none does.
        waits = np.array([float(self._learnt is not None)])
        return {**self._space.memory(), "learnt": learnt, "waits": waits}

    def restore(self, memory: Mapping[str, Array]) -> None:
        """Take back what `memory` returned."""
        if self._space is not None and memory:
            self._space.restore(memory)
            self._learnt = memory["learnt"].copy() if memory["waits"][0] else None
            self._known = None

    def close(self) -> None:
        """Free the vectors (collective)."""
        if self._space is not None:
            self._space.close()

    def _bound(self) -> EnergySpace:
        if self._space is None:
            raise PluginError("energy_projection was asked before `bind(solver)`")
        return self._space

    def _catch_up(self, space: EnergySpace) -> None:
        """Make the space orthonormal for the operator of now, and let the last solution join it."""
        if space.follow_operator():
            self._known = None
        learnt, known = self._learnt, self._known
        self._learnt = self._known = None
        if learnt is not None:
            space.learn(learnt, *(known or ()))


def said(proposer: Surrogate, query: Query) -> Array:
    """Return what a proposer says; NaN everywhere after a fault of its own, so that it is left out on all ranks."""
    try:
        value = np.asarray(proposer.predict(query).value, dtype=np.float64)
        if value.shape == query.state.shape:
            return value.copy()
    except Exception:  # whatever it raised: it only wanted to help
        pass
    return np.full_like(query.state, np.nan)
