"""What a surrogate answers: an untrusted proposal."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from cosolve.core.arrays import Array


@dataclass(frozen=True, slots=True)
class Prediction:
    """A proposal for the state at the end of a query.

    Attributes:
        value: Proposed values owned by this rank, same shape and dtype as `Query.state`.
        source: Name of the proposer.
        uncertainty: The proposer's own estimate of its relative error, if it has one; may only lead to rejection.
        cost_seconds: Time that the proposal took on this rank, filled in by `Surrogate.predict`.
        notes: Small values for the ledger (JSON-serialisable).
    """

    value: Array
    source: str = ""
    uncertainty: float | None = None
    cost_seconds: float = 0.0
    notes: Mapping[str, Any] = field(default_factory=dict)
