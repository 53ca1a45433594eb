"""What a report says, distilled from a ledger: plain values, no drawing."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import Any

from cosolve.core.failures import Failures

NAN = math.nan


@dataclass(frozen=True, slots=True)
class StepRow:
    """One transaction, in the words of the ledger.

    Attributes:
        step: Its number.
        t_end: Time that it reached, in the problem's unit of time.
        source: Who computed the committed value.
        decision: `accept`, `correct` or `reject` of the proposal that counted; `fault` when it failed before anybody
            could judge it; empty when nobody was asked.
        grade: `certified` or `estimated`; empty when nothing was judged.
        measure: What the verifier measured.
        tolerance: What it was compared with.
        reason: The verifier's words.
        proposer: Who made the judged proposal.
        propose_seconds: Cost of all proposals.
        judge_seconds: Cost of judging.
        solve_seconds: Cost of classical work: correction, fallback, or the only solver.
        machinery_seconds: What cosolve itself took: agreement, snapshot, hooks.
        rung: Rung of the ladder that gave the value; empty unless the transaction fell back.
    """

    step: int
    t_end: float
    source: str
    decision: str = ""
    grade: str = ""
    measure: float = NAN
    tolerance: float = NAN
    reason: str = ""
    proposer: str = ""
    propose_seconds: float = 0.0
    judge_seconds: float = 0.0
    solve_seconds: float = 0.0
    machinery_seconds: float = 0.0
    rung: str = ""

    @property
    def ratio(self) -> float:
        """Measure over tolerance: at most 1 for what the verifier lets pass."""
        return self.measure / self.tolerance if self.tolerance > 0.0 else NAN

    @property
    def seconds(self) -> float:
        """Whole cost."""
        return self.propose_seconds + self.judge_seconds + self.solve_seconds + self.machinery_seconds


@dataclass(frozen=True, slots=True)
class Rival:
    """A classical method on the same problem, measured beside the run.

    Attributes:
        name: As registered.
        seconds: Its cost.
        run_seconds: The hybrid's cost by the same clock.
        error: Its error against the reference, relative; NaN when unknown.
        run_error: The hybrid's error against the same reference.
        tolerance: Error that both were asked for.
        measure: What the error is, in words.
        training_seconds: Cost of data and training of the surrogate; NaN when unknown.
    """

    name: str
    seconds: float
    run_seconds: float
    error: float = NAN
    run_error: float = NAN
    tolerance: float = NAN
    measure: str = ""
    training_seconds: float = NAN

    @property
    def speedup(self) -> float:
        """How many times faster the run was; below 1 when it was slower."""
        return self.seconds / self.run_seconds if self.run_seconds > 0.0 else NAN

    @property
    def break_even(self) -> float:
        """Number of runs that repay data and training; infinite when each run loses, NaN when the cost is unknown."""
        gain = self.seconds - self.run_seconds
        if math.isnan(self.training_seconds) or math.isnan(gain):
            return NAN
        return math.ceil(self.training_seconds / gain) if gain > 0.0 else math.inf


@dataclass(frozen=True, slots=True)
class GovernorRow:
    """One event of the governor: who, what changed, and the two costs behind it."""

    step: int
    proposer: str
    event: str
    hybrid_seconds: float
    solver_seconds: float


@dataclass(frozen=True, slots=True)
class ErrorRow:
    """Error of the run at one time, beside the run's own estimate (NaN when there was none)."""

    t: float
    error: float
    estimate: float = NAN


@dataclass(frozen=True, slots=True)
class Digest:
    """All that a report shows.

    Attributes:
        title: Name of the case.
        status: Name of the status; `UNFINISHED` when the ledger ends early.
        message: The status in a sentence.
        steps: The transactions in order.
        rivals: Comparisons, the best rival (least cost) first.
        governor: Decisions in order.
        errors: Errors over time.
        totals: Counts and sums for the table of totals, label to text.
        facts: What the run was: versions, ranks, solver, grade.
        incomplete: A sentence when the ledger was cut off, else empty.
        failures: Proposers that failed before anybody could judge what they said.
    """

    title: str
    status: str
    message: str
    steps: tuple[StepRow, ...] = ()
    rivals: tuple[Rival, ...] = ()
    governor: tuple[GovernorRow, ...] = ()
    errors: tuple[ErrorRow, ...] = ()
    totals: dict[str, str] = field(default_factory=dict)
    facts: dict[str, str] = field(default_factory=dict)
    incomplete: str = ""
    failures: tuple[Failures, ...] = ()

    @property
    def ok(self) -> bool:
        """Whether the run succeeded."""
        return self.status == "SUCCESS"

    def count(self, decision: str) -> int:
        """Number of transactions whose judged proposal got this decision."""
        return sum(row.decision == decision for row in self.steps)

    @property
    def corrected(self) -> int:
        """Number of transactions that were committed from a proposal after a correction."""
        return sum(row.source.endswith("+correct") for row in self.steps)

    @property
    def judged(self) -> int:
        """Number of transactions in which a proposal was judged."""
        return sum(row.decision in ("accept", "correct", "reject") for row in self.steps)

    @property
    def sources(self) -> dict[str, int]:
        """Number of committed values by source, most frequent first."""
        counts: dict[str, int] = {}
        for row in self.steps:
            counts[row.source] = counts.get(row.source, 0) + 1
        return dict(sorted(counts.items(), key=lambda item: -item[1]))

    @property
    def grades(self) -> dict[str, int]:
        """Number of accepted proposals by grade."""
        counts: dict[str, int] = {}
        for row in self.steps:
            if row.decision == "accept":
                counts[row.grade] = counts.get(row.grade, 0) + 1
        return counts

    def seconds(self) -> dict[str, float]:
        """Cost of each part over the whole run."""
        return {
            "propose": sum(row.propose_seconds for row in self.steps),
            "judge": sum(row.judge_seconds for row in self.steps),
            "solve": sum(row.solve_seconds for row in self.steps),
            "machinery": sum(row.machinery_seconds for row in self.steps),
        }


def number(value: Any, digits: int = 3) -> str:
    r"""Return a short, readable number.

    >>> [number(v) for v in (0.0, 12.3456, 0.00001234, float("nan"), float("inf"), 12345.6)]
    ['0', '12.3', '1.23e-05', 'unknown', 'never', '12\u202f346']
    """
    value = float(value)
    if math.isnan(value):
        return "unknown"
    if math.isinf(value):
        return "never"
    if abs(value) >= 1000.0:
        return f"{value:,.0f}".replace(",", "\u202f")
    return f"{value:.{digits}g}"


def percent(value: float) -> str:
    r"""Return a share as per cent.

    >>> percent(0.00153), percent(0.9), percent(float("nan"))
    ('0.153\xa0%', '90\xa0%', 'unknown')
    """
    return "unknown" if math.isnan(value) else f"{number(100.0 * value)}\u00a0%"


def duration(seconds: float) -> str:
    """Return a time span in a fitting unit.

    >>> duration(0.00012), duration(0.5), duration(75.0), duration(5400.0)
    ('0.12 ms', '0.5 s', '75 s', '1.5 h')
    """
    if math.isnan(seconds):
        return "unknown"
    if abs(seconds) < 0.1:
        return f"{number(1e3 * seconds)} ms"
    if abs(seconds) < 600.0:
        return f"{number(seconds)} s"
    return f"{number(seconds / 60.0)} min" if abs(seconds) < 3600.0 else f"{number(seconds / 3600.0, 2)} h"
