"""A solver around a solver: what continuation methods share."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Mapping
from typing import ClassVar

from cosolve.core.arrays import Array
from cosolve.core.query import Query, Transaction
from cosolve.core.solver import ResidualMeasure, Solver, SolveResult


class ContinuingSolver(Solver):
    """Solves from a given start as the solver within does, and without a start by following a path of solutions.

    So the session's fallback, which gives no start, is the continuation.

    Args:
        solver: The solver within; closed with this one.
    """

    continues: ClassVar[bool] = True

    def __init__(self, solver: Solver) -> None:
        self.solver = solver
        self.comm = solver.comm

    @abstractmethod
    def follow(self, query: Query) -> SolveResult:
        """Find the solution of `query` at the end of a path (collective)."""

    @property
    def n_owned(self) -> int:
        """Number of values that this rank owns."""
        return self.solver.n_owned

    @property
    def parameter_names(self) -> tuple[str, ...]:
        """Names that a query must have, as the solver within says."""
        return self.solver.parameter_names

    def initial_state(self) -> Array:
        """Return the initial state."""
        return self.solver.initial_state()

    def coordinates(self) -> Array:
        """Return where the owned values live."""
        return self.solver.coordinates()

    def unfit(self, transaction: Transaction, dt: float) -> str:
        """Return why the solver within cannot take such transactions."""
        return self.solver.unfit(transaction, dt)

    def _step(self, query: Query, x0: Array | None) -> SolveResult:
        return self.follow(query) if x0 is None else self.solver.step(query, x0)

    def _correct(self, query: Query, x0: Array, max_iterations: int) -> SolveResult:
        return self.solver.correct(query, x0, max_iterations)

    def measure(self, query: Query, candidate: Array) -> ResidualMeasure:
        """Measure as the solver within does (collective)."""
        return self.solver.measure(query, candidate)

    def residual(self, query: Query, candidate: Array) -> Array:
        """Return the residual of the solver within (collective)."""
        return self.solver.residual(query, candidate)

    def conditioned(self, query: Query, candidate: Array) -> Array:
        """Impose the boundary conditions as the solver within does (collective)."""
        return self.solver.conditioned(query, candidate)

    def negative_directions(self, query: Query, state: Array) -> int:
        """Count as the solver within does (collective)."""
        return self.solver.negative_directions(query, state)

    def invariants(self, state: Array) -> Mapping[str, float]:
        """Return those of the solver within (collective)."""
        return self.solver.invariants(state)

    def quantities(self, state: Array) -> Mapping[str, float]:
        """Return those of the solver within (collective)."""
        return self.solver.quantities(state)

    def norm(self, state: Array) -> float:
        """Return the norm of the solver within (collective)."""
        return self.solver.norm(state)

    def memory(self) -> Mapping[str, Array]:
        """Return that of the solver within."""
        return self.solver.memory()

    def restore(self, memory: Mapping[str, Array]) -> None:
        """Restore the solver within."""
        self.solver.restore(memory)

    def close(self) -> None:
        """Close the solver within (collective)."""
        self.solver.close()
