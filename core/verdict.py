"""What a verifier answers: accept, correct or reject, by which measure, and what that guarantees."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum
from typing import Any


class Decision(Enum):
    """What to do with a proposal."""

    ACCEPT = "accept"
    CORRECT = "correct"
    REJECT = "reject"


class Grade(Enum):
    """What a verdict is worth.

    `CERTIFIED`: the residual of the very equations that the classical step solves is below a stated fraction of the
    tolerance (or the host's own proof holds). `ESTIMATED`: a calibrated estimate; never called a guarantee.
    """

    CERTIFIED = "certified"
    ESTIMATED = "estimated"


@dataclass(frozen=True, slots=True)
class Verdict:
    """A judgement, the same on every rank.

    Attributes:
        decision: Accept, correct or reject.
        grade: Certified or estimated.
        measure: The measured value, in the verifier's own measure (NaN when none could be taken).
        tolerance: What `measure` was compared with.
        reason: One plain sentence fragment, e.g. "residual 1.2e-9 is below 0.5 of the tolerance 1e-8".
        verifier: Name of the verifier.
        cost_seconds: The longest time over the ranks that the judgement took.
    """

    decision: Decision
    grade: Grade
    measure: float
    tolerance: float
    reason: str
    verifier: str = ""
    cost_seconds: float = 0.0

    @property
    def accepted(self) -> bool:
        """Whether the proposal may be committed as it is."""
        return self.decision is Decision.ACCEPT

    def as_record(self) -> dict[str, Any]:
        """Return the verdict as JSON-serialisable values for the ledger."""
        return {
            "decision": self.decision.value,
            "grade": self.grade.value,
            "measure": self.measure,
            "tolerance": self.tolerance,
            "reason": self.reason,
            "verifier": self.verifier,
            "cost_seconds": self.cost_seconds,
        }
