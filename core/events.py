"""What lifecycle hooks receive: one context object for each, so that arguments can grow."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Mapping

    from cosolve.core.prediction import Prediction
    from cosolve.core.query import Query
    from cosolve.core.result import Result
    from cosolve.core.solver import Solver
    from cosolve.core.verdict import Verdict


@dataclass(frozen=True, slots=True)
class RunEvent:
    """A run that starts or has ended.

    Attributes:
        directory: Output folder, None when nothing is written.
        case: The effective case as plain values, empty for a run from Python.
        rank: This rank.
        solver: The classical solver.
        result: The result; None when the run starts.
    """

    directory: Path | None
    case: Mapping[str, Any] = field(default_factory=dict)
    rank: int = 0
    solver: Solver | None = None
    result: Result | None = None


@dataclass(frozen=True, slots=True)
class StepEvent:
    """One transaction.

    Attributes:
        query: The question.
        predictions: The proposals, in the order of the proposers.
        verdict: The verdict, None before it fell.
        source: Who computed the committed value; empty before.
        rung: Name of the rung of the fallback ladder; empty unless the transaction fell back.
    """

    query: Query
    predictions: tuple[Prediction, ...] = ()
    verdict: Verdict | None = None
    source: str = ""
    rung: str = ""
