"""What `Session.attempt` returns: the committed value, who computed it, why, and what each part cost."""

from __future__ import annotations

from dataclasses import dataclass, field

from cosolve.core.arrays import Array
from cosolve.core.result import Status
from cosolve.core.solver import SolveResult
from cosolve.core.verdict import Verdict


@dataclass(slots=True)
class StepCost:
    """Seconds of each part of a transaction, the longest over the ranks; `machinery` is this rank's remainder.

    Attributes:
        propose: Surrogates, successful or not.
        verify: Verdicts, and the measuring of candidates in a tournament.
        correct: Corrections, successful or not.
        solve: Classical steps, smaller steps included.
        machinery: Everything else but the ledger: snapshots, agreement, hooks.
    """

    propose: float = 0.0
    verify: float = 0.0
    correct: float = 0.0
    solve: float = 0.0
    machinery: float = 0.0

    @property
    def work(self) -> float:
        """Everything but the machinery, the same on every rank."""
        return self.propose + self.verify + self.correct + self.solve

    def as_record(self) -> dict[str, float]:
        """Return the parts for the ledger, in seconds rounded to 0.1 microseconds."""
        return {
            "propose": round(self.propose, 7),
            "verify": round(self.verify, 7),
            "correct": round(self.correct, 7),
            "solve": round(self.solve, 7),
            "machinery": round(self.machinery, 7),
        }


@dataclass(frozen=True, slots=True)
class Outcome:
    """The end of one transaction, the same on every rank but for the owned values.

    Attributes:
        value: The committed state, owned values, in memory of its own; after a failure the last accepted state.
        t_end: The time that was reached: the query's end, or its start after a failure.
        source: Who computed the value: "fno" (accepted as proposed), "fno+correct" (corrected from it), "fno+solve"
            (solved from it), "solver", "solver/4" (four smaller steps); "" after a failure.
        verdict: The verdict that decided, None where nothing was judged.
        verdicts: All verdicts of the transaction, in order.
        solve: The classical solve or correction that produced the value, None for an accepted proposal.
        status: `SUCCESS`, `NOT_CONVERGED` or `FAULT`.
        message: The sentence with the details of a failure; empty when all went well.
        cost: Seconds of each part.
        rung: Rung of the fallback ladder that gave the value: "", "correct", "step", "smaller steps", "stopped".
        asked: Names of the proposers that were asked.
    """

    value: Array
    t_end: float
    source: str
    verdict: Verdict | None = None
    verdicts: tuple[Verdict, ...] = ()
    solve: SolveResult | None = None
    status: Status = Status.SUCCESS
    message: str = ""
    cost: StepCost = field(default_factory=StepCost)
    rung: str = ""
    asked: tuple[str, ...] = ()

    @property
    def ok(self) -> bool:
        """Whether a value was committed."""
        return self.status is Status.SUCCESS
