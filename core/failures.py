"""Proposals that failed before anybody could judge them, counted from a ledger, each with its first reason."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Final

from cosolve.core.wording import counted

_SESSION: Final = "session"
"""Who rejects what nobody could judge: an exception, NaN, a wrong shape or a missed deadline."""


@dataclass(frozen=True, slots=True)
class Failures:
    """How often one proposer failed.

    Attributes:
        proposer: Its name.
        asked: How often it was asked.
        failed: How often its answer could not be judged.
        reason: What went wrong the first time, with rank and step.
    """

    proposer: str
    asked: int
    failed: int
    reason: str

    @property
    def always(self) -> bool:
        """Whether it never gave a proposal that could be judged."""
        return self.failed >= self.asked

    def as_text(self) -> str:
        """Return the count and the reason, for a row of a table."""
        return f"{self.proposer}: {self.asked} asked, {self.failed} failed: {self.reason}"

    def as_warning(self) -> str:
        """Return the sentence for the end of a run."""
        times = counted(self.asked, "time")
        failed = "each of the" if self.always else f"{self.failed} of the"
        return (
            f"surrogate {self.proposer!r} failed {failed} {times} that it was asked, so the solver did that work; "
            f"the first time: {self.reason}"
        )


def is_fault(verdict: Mapping[str, Any]) -> bool:
    """Return whether a verdict of the ledger stands for a proposal that nobody could judge."""
    return verdict.get("verifier") == _SESSION and verdict.get("decision") == "reject"


def failures(records: Iterable[Mapping[str, Any]]) -> list[Failures]:
    """Return each proposer that failed at least once, in order of its first failure.

    Args:
        records: Records of a ledger; kinds other than `step` are left alone.
    """
    asked: dict[str, int] = {}
    failed: dict[str, list[str]] = {}
    for record in records:
        if record.get("kind") != "step":
            continue
        for name in record.get("asked", ()):
            asked[name] = asked.get(name, 0) + 1
        for verdict in record.get("verdicts", ()):
            if is_fault(verdict):
                failed.setdefault(str(verdict.get("proposer", "")), []).append(str(verdict.get("reason", "")))
    return [Failures(name, asked.get(name, 0), len(reasons), reasons[0]) for name, reasons in failed.items()]
