"""The preconditioner that PETSc calls: a base preconditioner and a surrogate's proposals, combined."""

from __future__ import annotations

from dataclasses import replace
from typing import Any, Literal

from cosolve.core.arrays import Array
from cosolve.core.consensus import Consensus
from cosolve.core.copies import CopyCount
from cosolve.core.errors import InterruptedRunError, RankFaultError
from cosolve.core.query import Query
from cosolve.core.surrogate import Surrogate
from cosolve.core.transaction import check_values
from cosolve.plugins.petsc.coarse_space import CoarseSpace
from petsc4py import PETSc

Combine = Literal["correct", "additive", "replace"]
"""How a proposal `S` and the base preconditioner `B` make `z` of a residual `r`: `B r + S (r - A B r)`, `B r + S r`,
or `S r` alone."""


class LearnedPc:
    """Context of a PC of type python; never raises inside PETSc, and gives all ranks the same answer about faults.

    A proposal that raises, has a wrong shape or is not finite on some rank counts as none on all: the base
    preconditioner answers, and `fault` says why. The agreement takes one reduction where there are several ranks.

    Args:
        proposer: Asked with `Query.state` the residual.
        combine: See `Combine`.
        consensus: Over the ranks of the solver.
        product: The operator times owned values.
        copies: Counts copies.

    Attributes:
        fault: Sentence of the first fault of this solve, the same on every rank; empty while there is none.
        interruption: Ctrl-C that fell into a proposal; raised outside PETSc.
        seconds: What the proposals of this solve took, the longest over the ranks, summed.
        asked: Number of proposals of this solve.
    """

    def __init__(
        self, proposer: Surrogate, combine: Combine, consensus: Consensus, product: Any, copies: CopyCount
    ) -> None:
        self.proposer, self.combine = proposer, combine
        self._consensus, self._product, self._copies = consensus, product, copies
        self._query: Query | None = None
        self._inner: Any = None
        self.fault = ""
        self.interruption: InterruptedRunError | None = None
        self.seconds = 0.0
        self.asked = 0

    def begin(self, query: Query, inner: Any) -> None:
        """Forget the last solve (not collective).

        Args:
            query: The solve.
            inner: The base preconditioner, set up; None where proposals replace it.
        """
        self._query, self._inner = query, inner
        self.fault, self.interruption, self.seconds, self.asked = "", None, 0.0, 0

    def propose(self, residual: Array, first: Array | None = None) -> Array | None:
        """Return the surrogate's correction, owned values; None after a fault on any rank (collective).

        Args:
            residual: Owned values.
            first: What the base preconditioner made of it; the correction is that of what is left then.
        """
        query, name = self._query, self.proposer.name
        if self.fault or query is None:
            return None

        def asked() -> Array:
            if first is None:
                value = self.proposer.predict(replace(query, state=residual)).value
            elif isinstance(self.proposer, CoarseSpace):
                value = self.proposer.deflate(residual, first)
            else:
                left = residual - self._product(first)
                value = self.proposer.predict(replace(query, state=left)).value
            return check_values(value, residual, "its correction")

        self.asked += 1
        try:
            correction = self._consensus.run(f"surrogate {name!r}", query.step, asked, contained=True)
        except RankFaultError as fault:
            self.fault = str(fault)
        except InterruptedRunError as interruption:
            self.fault, self.interruption = str(interruption), interruption
        else:
            self.seconds += self._consensus.seconds
            return correction
        self.seconds += self._consensus.seconds
        return None

    def apply(self, pc: Any, residual: Any, z: Any) -> None:
        """Answer PETSc (collective)."""
        if self._inner is None:
            correction = self.propose(residual.array_r)
            z.array[:] = residual.array_r if correction is None else correction
            return
        try:
            self._inner.apply(residual, z)
        except PETSc.Error as error:  # alike on every rank; the solve by the base preconditioner alone will tell
            self.fault = self.fault or f"the base preconditioner: PETSc error {error.ierr}"
            residual.copy(z)
            return
        correction = self.propose(residual.array_r, z.array_r if self.combine == "correct" else None)
        if correction is not None:
            z.array[:] += correction
