"""What a coupling asks: advance a state over an interval, or solve for a value."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from cosolve.core.arrays import Array

Transaction = Literal["step", "solve", "run"]
"""The size of what is tried, judged, then committed or rolled back as a whole."""


@dataclass(frozen=True, slots=True)
class Snapshot:
    """An accepted state of the past.

    Attributes:
        t: Its time, in the problem's unit of time.
        state: Values owned by this rank, shape `(n_owned,)`. Read-only by convention.
    """

    t: float
    state: Array


@dataclass(frozen=True, slots=True)
class Query:
    """One question to proposers and solver.

    Attributes:
        state: The last accepted state, owned values of shape `(n_owned,)`; for a steady solve the default start.
        t: Time of `state`; 0 for a steady solve.
        dt: Length of the interval, in the problem's unit of time; 0 for a steady solve.
        step: Number of the transaction, from 0, the same on every rank.
        transaction: Its size.
        parameters: The problem's parameters by name; numbers or small replicated arrays.
        history: Accepted states before `state`, newest first.
        context: What a special coupling adds (the load sequence of a cycle jump, say).
    """

    state: Array
    t: float = 0.0
    dt: float = 0.0
    step: int = 0
    transaction: Transaction = "step"
    parameters: Mapping[str, Any] = field(default_factory=dict)
    history: tuple[Snapshot, ...] = ()
    context: Mapping[str, Any] = field(default_factory=dict)

    @property
    def t_end(self) -> float:
        """Time at the end of the interval."""
        return self.t + self.dt
