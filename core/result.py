"""What a run returns: a value, a status whose value is its message, the verdicts and the statistics."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import Enum
from pathlib import Path
from typing import Any

from cosolve.core.arrays import Array
from cosolve.core.errors import CosolveError, InterruptedRunError, NotConvergedError, RankFaultError
from cosolve.core.verdict import Verdict


class Status(Enum):
    """How a run or a transaction ended; the value is the message."""

    SUCCESS = "every accepted value passed its verifier or came from the solver"
    NOT_CONVERGED = "the solver did not converge and no rung of the fallback ladder was left"
    FAULT = "code of a plugin failed where no fallback could take over"
    INTERRUPTED = "the run was interrupted; its ledger and checkpoint are readable"

    @property
    def error(self) -> type[CosolveError]:
        """The error that a failed run raises by default."""
        return {
            Status.NOT_CONVERGED: NotConvergedError,
            Status.FAULT: RankFaultError,
            Status.INTERRUPTED: InterruptedRunError,
        }.get(self, CosolveError)


@dataclass(frozen=True, slots=True)
class Result:
    """The end of a hybrid run.

    Attributes:
        value: The final state, owned values of this rank.
        status: How the run ended.
        verdicts: All verdicts in order (the last 500 of a long run; the ledger has all).
        stats: Counts and costs: `steps`, `accepted`, `corrected`, `rejected`, `fell_back`, `judged`, seconds.
        message: The sentence with the details, empty when all went well.
        t: Time that was reached.
        directory: Where ledger, checkpoint, report and fields lie; None when nothing was written.
        fields: Further named fields for the output, owned values like `value`: errors, or `source`, which holds for
            each value the index into `sources` of who computed it.
        sources: Names behind the field `source`; empty where every value has the source of the last transaction.
        reason: The solver's own reason where it did not converge (PETSc's `SNES_DIVERGED_...`, say).
    """

    value: Array
    status: Status
    verdicts: tuple[Verdict, ...] = ()
    stats: Mapping[str, Any] = field(default_factory=dict)
    message: str = ""
    t: float = 0.0
    directory: Path | None = None
    fields: Mapping[str, Array] = field(default_factory=dict)
    sources: tuple[str, ...] = ()
    reason: str = ""

    @property
    def ok(self) -> bool:
        """Whether the run succeeded."""
        return self.status is Status.SUCCESS

    def raise_on_failure(self) -> Result:
        """Return self when the run succeeded, else raise the error of its status."""
        if self.ok:
            return self
        error = self.status.error(self.message or self.status.value)
        if isinstance(error, NotConvergedError):
            error.reason = self.reason
        raise error
