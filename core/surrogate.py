"""The surrogate role: whatever proposes. Nothing it says is trusted."""

from __future__ import annotations

import time
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any, ClassVar

from cosolve.core.arrays import Array
from cosolve.core.prediction import Prediction
from cosolve.core.query import Query


class Surrogate(ABC):
    """Proposes the state at the end of a query. Final method `predict` validates and times; `_predict` computes.

    A surrogate works on the values that a rank owns and never communicates, so that a fault on one rank cannot block
    another; what it needs of the whole domain it gets from replicated arrays (a basis restricted to local rows, say).

    Attributes:
        name: Stable name, as in the ledger.
        is_baseline: True for classical proposers (extrapolation, projection, nearest snapshot).
    """

    name: ClassVar[str] = "surrogate"
    is_baseline: ClassVar[bool] = False

    def predict(self, query: Query) -> Prediction:
        """Propose the state at the end of `query` (not collective).

        Args:
            query: The question; `query.state` has shape `(n_owned,)`.

        Returns:
            The proposal with its source and its cost filled in. Shape, dtype and finiteness are judged by the session,
            collectively, and not here.
        """
        start = time.perf_counter()
        prediction = self._predict(query)
        return replace(
            prediction, source=prediction.source or self.name, cost_seconds=time.perf_counter() - start
        )

    @abstractmethod
    def _predict(self, query: Query) -> Prediction:
        """Compute the proposal. Must not communicate."""

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

    def memory(self) -> Mapping[str, Array]:
        """Return what a rollback must restore (histories); empty for a surrogate without memory."""
        return {}

    def restore(self, memory: Mapping[str, Array]) -> None:
        """Take back what `memory` returned."""

    def close(self) -> None:
        """Free what the surrogate holds. Collective where the surrogate holds collective objects."""


class StoredSurrogate(Surrogate):
    """A surrogate that can be written to a model file and read back, without pickle.

    `cosolve.core.model_file` writes `tensors()` by safetensors and `card()` as JSON next to them.
    """

    @abstractmethod
    def tensors(self) -> Mapping[str, Array]:
        """Return all arrays by name."""

    @abstractmethod
    def settings(self) -> Mapping[str, Any]:
        """Return the constructor's arguments that are not arrays, JSON-serialisable."""

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
