"""A problem: what a case names, and what builds the solver with all that belongs to it."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, ClassVar, Protocol

from cosolve.core.arrays import Array
from cosolve.core.communicator import Communicator
from cosolve.core.solver import Solver


class FieldSeries(Protocol):
    """A time series of fields that a problem's library writes; all methods are collective."""

    @property
    def path(self) -> Path:
        """The file that is written."""

    @property
    def names(self) -> Sequence[str]:
        """Names of the fields; the first is the state."""

    def write(self, t: float, fields: Mapping[str, Array], source: str = "") -> None:
        """Write owned values by name at time `t`, and `source`, who computed them, as a field of that name."""

    def close(self) -> None:
        """Close the file. Idempotent."""


class Problem(ABC):
    """Built from the validated `[problem]` table of a case; makes the solver and writes fields.

    Attributes:
        name: As registered.
        parameters: Parameters by name that surrogates see as `Query.parameters` and envelopes are checked against.
    """

    name: ClassVar[str] = "problem"
    parameters: Mapping[str, Any]

    @abstractmethod
    def __init__(self, options: Any) -> None:
        """Take the validated options (an instance of the entry's options model). Loads nothing heavy."""

    @abstractmethod
    def make_solver(self, comm: Communicator, settings: Mapping[str, Any]) -> Solver:
        """Build the solver on `comm` from the case's `[solver]` table (collective)."""

    @property
    @abstractmethod
    def time_span(self) -> tuple[float, float, float]:
        """Start, end and default step, in the problem's unit of time."""

    def describe(self) -> Mapping[str, Any]:
        """Return what a model must match: spaces, units, parameter names (JSON-serialisable)."""
        return {}

    def open_fields(self, solver: Solver, directory: Path) -> FieldSeries | None:
        """Open a time series of the state for ParaView (collective); None where there is only the final state."""
        return None

    def write_fields(self, solver: Solver, directory: Path, fields: Mapping[str, Array]) -> list[Path]:
        """Write named fields of the final state for ParaView and return the paths (collective); none by default.

        Called where `open_fields` opens nothing. One of them is `source`: who computed each value, see
        `cosolve.core.sources`.
        """
        return []
