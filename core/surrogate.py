"""The surrogate role: whatever proposes. Nothing it says is trusted."""

from __future__ import annotations

import time
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, ClassVar

from cosolve.core.arrays import Array
from cosolve.core.domain import Domain
from cosolve.core.prediction import Prediction
from cosolve.core.query import Query

if TYPE_CHECKING:
    from cosolve.core.model_card import ModelCard
    from cosolve.core.solver import Solver


class Surrogate(ABC):
    """Proposes the state at the end of a query. Final method `predict` validates and times; `_predict` computes.

    A surrogate works on the values that a rank owns and does not communicate, so that a fault on one rank cannot block
    another; what it needs of the whole domain it gets from replicated arrays (a basis restricted to local rows, say).

    Attributes:
        name: Stable name, as in the ledger.
        domain: Which questions it answers; `predict` refuses all others. By default any.
        is_baseline: True for classical proposers (extrapolation, projection, nearest snapshot).
        covers: True where its start is chosen over the classical ones already, so that alone it needs no tournament.
        predict_keeps_memory: True when `predict` changes nothing of what `memory` returns (only `observe` does); the
            session then copies no memory before it asks.
        collective: True for a proposer that communicates in `predict`, only through the solver of `bind` and its
            communicator (a projection needs inner products). The session asks it on every rank, never on a leader
            alone.
    """

    name: ClassVar[str] = "surrogate"
    domain: Domain = Domain()
    is_baseline: ClassVar[bool] = False
    covers: ClassVar[bool] = False
    predict_keeps_memory: ClassVar[bool] = False
    collective: ClassVar[bool] = False

    def bind(self, solver: Solver) -> None:
        """Take the solver that the proposals are for (collective); called once, before the first `predict`.

        A proposer keeps what it needs: the rows that this rank owns, inner products, residuals.
        """

    def predict(self, query: Query) -> Prediction:
        """Propose the state at the end of `query` (not collective, unless `collective` says so).

        Args:
            query: The question; `query.state` has shape `(n_owned,)`.

        Returns:
            The proposal with its source and its cost filled in. Its shape, dtype and finiteness are judged by the
            session, collectively, and not here.

        Raises:
            BadInputError: The question lies outside of `domain`.
        """
        start = time.perf_counter()
        self.domain.check(query, self.name)
        prediction = self._predict(query)
        seconds = time.perf_counter() - start
        # Not dataclasses.replace, which takes longer than a small proposal.
        return Prediction(
            prediction.value, prediction.source or self.name, prediction.uncertainty, seconds, prediction.notes
        )

    @abstractmethod
    def _predict(self, query: Query) -> Prediction:
        """Compute the proposal. Must not communicate, unless `collective` says so."""

    def observe(self, query: Query, value: Array) -> None:
        """Learn from a committed transaction (histories, error estimates); called once after each commit."""

    def fit(self, data: Any, **options: Any) -> Mapping[str, float]:
        """Train on `data` and return figures of merit. Optional: raises NotImplementedError where not offered."""
        raise NotImplementedError(f"surrogate {self.name!r} cannot be trained; load a trained one instead")

    def jvp(self, query: Query, tangent: Array) -> Array:
        """Return the derivative of the proposal by `query.state` times `tangent`. Optional."""
        raise NotImplementedError(f"surrogate {self.name!r} offers no jvp")

    def vjp(self, query: Query, cotangent: Array) -> Array:
        """Return the transposed derivative of the proposal by `query.state` times `cotangent`. Optional."""
        raise NotImplementedError(f"surrogate {self.name!r} offers no vjp")

    def placement(self) -> Mapping[str, Any]:
        """Return where this rank infers, as JSON values for the ledger (local); empty where there is no choice."""
        return {}

    def fingerprint(self) -> str:
        """Return a hash of all that the proposals depend on, empty where there is none to tell (local).

        A run is not resumed with a surrogate of the same name and another fingerprint.
        """
        return ""

    def memory(self) -> Mapping[str, Array]:
        """Return what a rollback must restore (histories); empty for a surrogate without memory."""
        return {}

    def restore(self, memory: Mapping[str, Array]) -> None:
        """Take back what `memory` returned."""

    def close(self) -> None:
        """Free what the surrogate holds. Collective where the surrogate holds collective objects."""


class StoredSurrogate(Surrogate):
    """A surrogate that can be written to a model file and read back, without pickle.

    `cosolve.core.model_file` writes `tensors()` and the card with `settings()` into one safetensors file.

    Attributes:
        model_card: The card of the file it was read from; None for one that was built in memory.
    """

    model_card: ModelCard | None = None

    @abstractmethod
    def tensors(self) -> Mapping[str, Array]:
        """Return all arrays by name."""

    @abstractmethod
    def settings(self) -> Mapping[str, Any]:
        """Return the constructor's arguments that are not arrays, JSON-serialisable."""

    def fingerprint(self) -> str:
        """Return the SHA-256 of settings and arrays."""
        # Imported here: only checkpoints need it.
        from cosolve.core.restart import fingerprint_of

        return fingerprint_of(self.settings(), self.tensors())

    @classmethod
    @abstractmethod
    def from_file(cls, tensors: Mapping[str, Array], settings: Mapping[str, Any]) -> StoredSurrogate:
        """Build the surrogate again from what `tensors` and `settings` returned.

        Raises:
            BadInputError: A tensor is missing or has another shape; names the tensor.
        """


def names_of(surrogates: Sequence[Surrogate]) -> list[str]:
    """Return the names in order."""
    return [surrogate.name for surrogate in surrogates]
