"""The verifier role: judges a proposal by a measure that the solver itself would accept."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from typing import Any, ClassVar

from cosolve.core.errors import BadInputError
from cosolve.core.prediction import Prediction
from cosolve.core.query import Query
from cosolve.core.solver import Solver
from cosolve.core.verdict import Grade, Verdict


class Verifier(ABC):
    """Judges proposals. `judge` is collective and returns the same verdict on every rank.

    The session runs `judge` inside a fault-aware section: what it raises on one rank becomes a rejection on all. A
    verifier communicates only through `solver` and through the communicator of `solver`.

    Attributes:
        name: Stable name, as in the ledger.
        grade: The best grade that its acceptance can have.
        guarantees: One sentence: what an acceptance guarantees.
        does_not_guarantee: One sentence: what it does not (a residual is not an error).
    """

    name: ClassVar[str] = "verifier"
    grade: ClassVar[Grade] = Grade.ESTIMATED
    guarantees: ClassVar[str] = ""
    does_not_guarantee: ClassVar[str] = ""

    def judge(self, solver: Solver, query: Query, prediction: Prediction) -> Verdict:
        """Judge `prediction` as an answer to `query` (collective).

        Args:
            solver: The classical solver, for its residual, norms and invariants.
            query: The question.
            prediction: The proposal; already known to be finite and of the right shape and dtype on every rank.

        Returns:
            The verdict; the session fills in `verifier` and `cost_seconds`.

        Raises:
            BadInputError: The proposal does not fit the question.
        """
        value, state = prediction.value, query.state
        if value.shape != state.shape or value.dtype != state.dtype:
            raise BadInputError(
                f"verifier {self.name!r}: the proposal must have shape {state.shape} and dtype {state.dtype} "
                f"as the state, got {value.shape} and {value.dtype}"
            )
        return self._judge(solver, query, prediction)

    @abstractmethod
    def _judge(self, solver: Solver, query: Query, prediction: Prediction) -> Verdict:
        """Compute the verdict (collective)."""

    def memory(self) -> Mapping[str, Any]:
        """Return what the judge remembers of a run, as JSON values that are the same on every rank, for checkpoints."""
        return {}

    def restore(self, memory: Mapping[str, Any]) -> None:
        """Take back what `memory` returned (local)."""
