"""What a transaction leaves behind: counts, verdicts, the ledger's record, and what observers are told."""

from __future__ import annotations

import time
from collections import Counter, deque
from collections.abc import Mapping, Sequence
from typing import Any, Final, Protocol

from cosolve.core.asking import Trial
from cosolve.core.events import StepEvent
from cosolve.core.ledger import Ledger
from cosolve.core.outcome import Outcome
from cosolve.core.transaction import OpenTransaction
from cosolve.core.verdict import Decision, Verdict

_KEPT_VERDICTS: Final = 500
_COUNTS: Final = ("steps", "asked", "judged", "accepted", "corrected", "rejected", "faults", "fell_back", "failed")
_FALLBACKS: Final = ("step", "smaller steps", "stopped")


class Hooks(Protocol):
    """What observers are told, at most once for each transaction; `cosolve.core.observers` provides it."""

    def proposed(self, event: StepEvent) -> None: ...  # noqa: D102
    def judged(self, event: StepEvent) -> None: ...  # noqa: D102
    def committed(self, event: StepEvent) -> None: ...  # noqa: D102
    def fell_back(self, event: StepEvent) -> None: ...  # noqa: D102


class Recording:
    """Counts and records the transactions of one session; nothing of it communicates.

    Args:
        mode: The session's mode, for the record.
        transaction: Counts the copies.
        ledger: Where each transaction is recorded; None records nothing.
        hooks: Observers; None tells nobody.
    """

    def __init__(self, mode: str, transaction: OpenTransaction, ledger: Ledger | None, hooks: Hooks | None) -> None:
        self.verdicts: deque[Verdict] = deque(maxlen=_KEPT_VERDICTS)
        self._mode = mode
        self._transaction = transaction
        self._ledger = ledger
        self._hooks = hooks
        self._counts: Counter[str] = Counter()
        self._sources: Counter[str] = Counter()
        self._seconds = dict.fromkeys(("propose", "verify", "correct", "solve", "machinery", "ledger"), 0.0)

    def stats(self) -> dict[str, Any]:
        """Return counts, sources, seconds, copies and bytes so far."""
        stats: dict[str, Any] = {name: self._counts[name] for name in _COUNTS}
        stats["sources"] = dict(self._sources)
        stats["seconds"] = dict(self._seconds)
        stats["copies"], stats["bytes"] = self._counts["copies"], self._counts["bytes"]
        return stats

    def tell_verdict(self, trial: Trial) -> None:
        """Tell observers of the proposals and of the last verdict, where anybody was asked."""
        if self._hooks is None or not trial.asked:
            return
        predictions = tuple(trial.predictions)
        self._hooks.proposed(StepEvent(trial.query, predictions))
        if trial.verdicts:
            self._hooks.judged(StepEvent(trial.query, predictions, trial.verdicts[-1]))

    def finish(
        self,
        trial: Trial,
        outcome: Outcome,
        plan: Sequence[str],
        events: Sequence[Mapping[str, Any]],
        started: float,
    ) -> None:
        """Count, tell and write one transaction.

        Args:
            trial: What was asked, said and judged.
            outcome: How it ended.
            plan: Whom the governor allowed.
            events: What the governor changed.
            started: `time.perf_counter()` at its start; the remainder of the time is the machinery's, save what
                writing the ledger takes: a record cannot hold its own cost, so that has a sum of its own.
        """
        self.verdicts.extend(trial.verdicts)
        self._count(trial, outcome)
        if self._hooks is not None:
            self._tell_end(self._hooks, trial, outcome)
        cost = trial.cost
        told = time.perf_counter()
        cost.machinery = told - started - cost.work
        self._seconds["machinery"] += cost.machinery
        if self._ledger is not None:
            self._write(self._ledger, trial, outcome, plan, events)
            self._seconds["ledger"] += time.perf_counter() - told

    def _count(self, trial: Trial, outcome: Outcome) -> None:
        counts, cost, seconds = self._counts, trial.cost, self._seconds
        counts["steps"] += 1
        counts["asked"] += len(trial.asked)
        counts["judged"] += len(trial.predictions)
        counts["faults"] += len(trial.asked) - len(trial.predictions)
        for verdict in trial.verdicts:
            counts["rejected"] += verdict.decision is Decision.REJECT
        counts["accepted"] += outcome.ok and outcome.solve is None
        counts["corrected"] += outcome.rung == "correct"
        counts["fell_back"] += outcome.rung in _FALLBACKS
        counts["failed"] += not outcome.ok
        counts["copies"] += self._transaction.copies
        counts["bytes"] += self._transaction.bytes
        if outcome.source:
            self._sources[outcome.source] += 1
        seconds["propose"] += cost.propose
        seconds["verify"] += cost.verify
        seconds["correct"] += cost.correct
        seconds["solve"] += cost.solve

    def _tell_end(self, hooks: Hooks, trial: Trial, outcome: Outcome) -> None:
        event = StepEvent(trial.query, tuple(trial.predictions), outcome.verdict, outcome.source, outcome.rung)
        if outcome.rung in _FALLBACKS:
            hooks.fell_back(event)
        if outcome.ok:
            hooks.committed(event)

    def _write(
        self,
        ledger: Ledger,
        trial: Trial,
        outcome: Outcome,
        plan: Sequence[str],
        events: Sequence[Mapping[str, Any]],
    ) -> None:
        query, solve = trial.query, outcome.solve
        ledger.rejected.earn(trial.cost.work)
        if outcome.ok:
            for source, proposal in trial.rejections:
                ledger.rejected.add(query, source, proposal, outcome.value)
        if ledger.rank != 0:
            return
        for event in events:
            ledger.write("governor", step=query.step, **event)
        verdicts = []
        for name, verdict in zip(trial.proposers, trial.verdicts, strict=True):
            record = verdict.as_record()
            record["proposer"] = name
            verdicts.append(record)
        ledger.write(
            "step",
            step=query.step,
            t=query.t,
            dt=query.dt,
            transaction=query.transaction,
            mode=self._mode,
            plan=list(plan),
            asked=trial.asked,
            source=outcome.source,
            rung=outcome.rung,
            status=outcome.status.name,
            message=outcome.message,
            verdicts=verdicts,
            cost=trial.cost.as_record(),
            copies=self._transaction.copies,
            bytes=self._transaction.bytes,
            iterations=solve.iterations if solve else 0,
            linear_iterations=solve.linear_iterations if solve else 0,
            **({"solver_notes": dict(solve.notes)} if solve and solve.notes else {}),
            **trial.notes,
        )
