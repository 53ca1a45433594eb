"""A problem: what a case names, and what builds the solver with all that belongs to it."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from pathlib import Path
from typing import Any, ClassVar

from cosolve.core.arrays import Array
from cosolve.core.communicator import Communicator
from cosolve.core.solver import Solver


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

    def write_fields(self, solver: Solver, directory: Path, fields: Mapping[str, Array]) -> list[Path]:
        """Write named fields for ParaView and return the paths (collective); none by default."""
        return []
