"""The transaction: what a rollback needs is kept before anything is tried, and every copy is counted."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

import numpy as np
from cosolve.core.arrays import Array
from cosolve.core.query import Query
from cosolve.core.solver import Solver
from cosolve.core.surrogate import Surrogate


class ContractError(Exception):
    """Code of a plugin broke its contract: wrong type, shape, dtype, or a value that is not finite."""


def check_values(value: object, like: Array, what: str) -> Array:
    """Return `value` when it is an array of the shape and dtype of `like` with finite values (not collective).

    Raises:
        ContractError: It is not; says what was expected and what was found.
    """
    if not isinstance(value, np.ndarray):
        raise ContractError(f"{what} must be a numpy array, got {type(value).__name__}")
    if value.shape != like.shape:
        raise ContractError(f"{what} must have shape {like.shape}, got {value.shape}")
    if value.dtype != like.dtype:
        raise ContractError(f"{what} must have dtype {like.dtype}, got {value.dtype}")
    if value.dtype.kind == "f" and math.isfinite(np.dot(value, value)):  # the fast way, but the squares may overflow
        return value
    finite = np.isfinite(value)
    if not finite.all():
        first = int(np.argmin(finite))
        raise ContractError(
            f"{what} has {value.size - int(np.count_nonzero(finite))} values of {value.size} that are not finite, "
            f"the first at local index {first}"
        )
    return value


class OpenTransaction:
    """The snapshot of one transaction: the state, and the memory of solver and proposers.

    Beside the snapshot, what a plugin answers is copied once, before it is judged: so what was judged is what is
    committed, whoever holds the plugin's own array. A transaction whose proposal is accepted makes two copies of a
    state, one that nobody was asked in two, one whose proposal is rejected three. The buffer of the snapshot is used
    again from one transaction to the next.

    Attributes:
        copies: Arrays copied since `begin`.
        bytes: Bytes copied since `begin`.
    """

    def __init__(self, solver: Solver) -> None:
        self.copies = 0
        self.bytes = 0
        self._solver = solver
        self._query: Query | None = None
        self._buffer: Array = np.empty(0)
        self._weights: Array = np.empty(0)
        self._committed: Array | None = None
        self._committed_buffer: Array = np.empty(0)
        self._solver_memory: dict[str, Array] = {}
        self._memories: list[tuple[Surrogate, dict[str, Array]]] = []

    def begin(self, query: Query, proposers: Sequence[Surrogate]) -> None:
        """Take the snapshot (not collective).

        Raises:
            ContractError: The state has not the size that the solver owns here, or is not finite.
        """
        self.copies = self.bytes = 0
        state = query.state
        if state.shape != (self._solver.n_owned,):
            raise ContractError(f"the state must have shape ({self._solver.n_owned},), got {state.shape}")
        check_values(state, state, "the state")
        self._committed = None
        if self._buffer.shape != state.shape or self._buffer.dtype != state.dtype:
            self._buffer = np.empty_like(state)
        np.copyto(self._buffer, state)
        self._count(state)
        self._query = query
        self._solver_memory = self._copied(self._solver.memory())
        self._memories = [
            (proposer, self._copied(proposer.memory())) for proposer in proposers if not proposer.predict_keeps_memory
        ]

    def repair(self) -> bool:
        """Put back what somebody changed in place, the state or a `guarded` value; return whether somebody had.

        Not collective.
        """
        assert self._query is not None
        changed = self._put_back(self._query.state, self._buffer)
        if self._committed is not None:
            changed = self._put_back(self._committed, self._committed_buffer) or changed
        return changed

    def guarded(self, value: Array) -> None:
        """Keep a copy of the committed value, so that `repair` restores it, too, until the next transaction."""
        if self._committed_buffer.shape != value.shape or self._committed_buffer.dtype != value.dtype:
            self._committed_buffer = np.empty_like(value)
        np.copyto(self._committed_buffer, value)
        self._count(value)
        self._committed = value

    def _put_back(self, array: Array, kept: Array) -> bool:
        if (array == kept).all():  # both were finite, so NaN needs no thought
            return False
        np.copyto(array, kept)
        self._count(kept)
        return True

    def roll_back(self, *, proposers: bool = True) -> None:
        """Restore the state and the memory of the solver, and by default of the proposers (not collective)."""
        self.repair()
        if self._solver_memory:
            self._solver.restore(self._copied(self._solver_memory))
        if proposers:
            for proposer, memory in self._memories:
                if memory:
                    proposer.restore(self._copied(memory))

    def restore_proposer(self, proposer: Surrogate) -> None:
        """Restore the state and the memory of one proposer (not collective)."""
        self.repair()
        for known, memory in self._memories:
            if known is proposer and memory:
                proposer.restore(self._copied(memory))

    def mark(self, value: Array) -> float:
        """Return a number by which a change of `value` in place is found out later (not collective).

        A sum with weights that differ from place to place: no second copy is needed.
        """
        if self._weights.size != value.size:
            self._weights = np.cos(np.arange(value.size, dtype=np.float64))
        return float(np.abs(np.dot(value, self._weights)))

    def own(self, value: Array) -> Array:
        """Return a copy of `value` that no plugin holds (not collective)."""
        self._count(value)
        return value.copy()

    def _copied(self, memory: Mapping[str, Array]) -> dict[str, Array]:
        copies = {}
        for name, array in memory.items():
            copies[name] = np.array(array)
            self._count(copies[name])
        return copies

    def _count(self, array: Array) -> None:
        self.copies += 1
        self.bytes += array.nbytes
