"""Asking one proposer and judging what it says, agreed over the ranks."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import Any, Final

from cosolve.core.arrays import Array
from cosolve.core.consensus import Consensus
from cosolve.core.errors import RankFaultError
from cosolve.core.governor import Asked
from cosolve.core.outcome import StepCost
from cosolve.core.petsc_log import section
from cosolve.core.prediction import Prediction
from cosolve.core.query import Query
from cosolve.core.solver import Solver
from cosolve.core.surrogate import Surrogate
from cosolve.core.transaction import ContractError, OpenTransaction, check_values
from cosolve.core.verdict import Decision, Grade, Verdict
from cosolve.core.verifier import Verifier

_SEVERITY: Final = {Decision.ACCEPT: 0.0, Decision.CORRECT: 1.0, Decision.REJECT: 2.0}
_DECISIONS: Final = (Decision.ACCEPT, Decision.CORRECT, Decision.REJECT)


@dataclass(slots=True)
class Trial:
    """One transaction in progress: what was asked, said, judged and spent so far.

    Attributes:
        query: The question.
        cost: Seconds of each part.
        asked: Names of the proposers asked.
        predictions: What they said, where it could be used at all.
        verdicts: All verdicts, in order.
        proposers: Who each verdict is on.
        rejections: Source and value of each rejected proposal.
        chain: For the governor.
        notes: Further values for the ledger's record.
    """

    query: Query
    cost: StepCost = field(default_factory=StepCost)
    asked: list[str] = field(default_factory=list)
    predictions: list[Prediction] = field(default_factory=list)
    verdicts: list[Verdict] = field(default_factory=list)
    proposers: list[str] = field(default_factory=list)
    rejections: list[tuple[str, Array]] = field(default_factory=list)
    chain: list[Asked] = field(default_factory=list)
    notes: dict[str, Any] = field(default_factory=dict)


class Asking:
    """Asks proposers and judges their answers.

    Args:
        solver: The classical solver.
        verifier: The judge; None where nothing is judged.
        consensus: Agrees over the ranks.
        transaction: Detects a state that was changed in place.
        grade: `CERTIFIED` refuses acceptances by an estimate.
        deadline_seconds: A proposer or verifier that takes longer on some rank has failed.

    Attributes:
        first_faults: What went wrong when a proposer failed for the first time, by its name.
    """

    def __init__(
        self,
        solver: Solver,
        verifier: Verifier | None,
        consensus: Consensus,
        transaction: OpenTransaction,
        *,
        grade: Grade | None,
        deadline_seconds: float | None,
    ) -> None:
        self._solver = solver
        self._verifier = verifier
        self._verifier_label = f"verifier {verifier.name!r}" if verifier else "no verifier"
        self._consensus = consensus
        self._transaction = transaction
        self._grade = grade
        self._deadline = deadline_seconds
        self._observing_failed: dict[str, BaseException] = {}
        self.first_faults: dict[str, str] = {}

    def ask(self, proposer: Surrogate, trial: Trial) -> Prediction | None:
        """Ask one proposer (collective).

        Returns:
            Its proposal, finite and of the right shape and dtype on every rank, in memory of its own; None after a
            fault on some rank, which is noted in `trial` as a rejection.
        """
        query = trial.query
        name = proposer.name

        def asked() -> Prediction:
            failed = self._observing_failed.pop(name, None)
            if failed is not None:
                raise failed
            with section("propose"):
                prediction = proposer.predict(query)
            if self._transaction.repair():
                raise ContractError("it changed the state it was given in place; the state was restored")
            check_values(prediction.value, query.state, "its proposal")
            return Prediction(
                self._transaction.own(prediction.value),
                prediction.source,
                prediction.uncertainty,
                prediction.cost_seconds,
                prediction.notes,
            )

        trial.asked.append(name)
        try:
            # Every rank takes a fault for a rejection here and goes on, within a library's solve, too: `contained`.
            prediction = self._consensus.run(
                f"surrogate {name!r}", query.step, asked, deadline_seconds=self._deadline, contained=True
            )
        except RankFaultError as fault:
            self.first_faults.setdefault(name, str(fault))
            self._transaction.restore_proposer(proposer)  # it may have stopped half-way, and on one rank only
            trial.cost.propose += self._consensus.seconds
            self.note(trial, name, self._rejected(str(fault)))
            return None
        trial.cost.propose += self._consensus.seconds
        trial.predictions.append(prediction)
        if prediction.notes:
            trial.notes.setdefault("proposals", {})[name] = dict(prediction.notes)
        return prediction

    def judge(self, proposer: Surrogate, prediction: Prediction, trial: Trial) -> Verdict:
        """Judge a proposal (collective); a fault of the verifier on some rank is a rejection on all."""
        assert self._verifier is not None
        return self.judge_by(self._verifier, proposer.name, prediction, trial)

    def judge_by(self, verifier: Verifier, name: str, prediction: Prediction, trial: Trial) -> Verdict:
        """Judge what `name` led to by a verifier of one's choice (collective); see `judge`.

        Args:
            verifier: The judge.
            name: Who is judged.
            prediction: The value; the judge must not change it.
            trial: The transaction.
        """
        query = trial.query
        label = self._verifier_label if verifier is self._verifier else f"verifier {verifier.name!r}"

        mark = self._transaction.mark(prediction.value)

        def judged() -> Verdict:
            with section("judge"):
                verdict = verifier.judge(self._solver, query, prediction)
            if not isinstance(verdict, Verdict):
                raise ContractError(f"it must return a Verdict, got {type(verdict).__name__}")
            settled = self._settled(verdict, verifier)
            if self._transaction.repair():
                raise ContractError("it changed the state it was given in place; the state was restored")
            if settled.decision is not Decision.REJECT and self._transaction.mark(prediction.value) != mark:
                raise ContractError("it changed the proposal in place")  # what was judged is what is committed
            return settled

        consensus = self._consensus
        try:
            verdict = consensus.run(
                label, query.step, judged, deadline_seconds=self._deadline, vote=_severity, contained=True
            )
        except RankFaultError as fault:
            trial.cost.verify += consensus.seconds
            verdict = self._rejected(str(fault))
        else:
            trial.cost.verify += consensus.seconds
            verdict = self._agreed(verdict, consensus.vote, consensus.seconds)
        if verdict.decision is Decision.REJECT:
            trial.rejections.append((name, prediction.value))
        return self.note(trial, name, verdict)

    def conditioned(self, candidate: Array, trial: Trial) -> Array:
        """Return a candidate that meets the boundary conditions (collective); the candidate itself after a fault."""
        solver, query = self._solver, trial.query
        if type(solver).conditioned is Solver.conditioned:
            return candidate

        def imposed() -> Array:
            return check_values(solver.conditioned(query, candidate), query.state, "a start with its conditions")

        try:
            value = self._consensus.run(f"solver {solver.name!r}", query.step, imposed, contained=True)
        except RankFaultError as fault:
            trial.notes.setdefault("faults", []).append(str(fault))
            value = candidate
        trial.cost.verify += self._consensus.seconds
        return value

    def measure(self, candidate: Array, trial: Trial) -> float:
        """Return a candidate's residual ratio, the largest over the ranks; infinite where it has none (collective)."""
        solver, query = self._solver, trial.query

        def ratio(value: float) -> float:
            return value if math.isfinite(value) else math.inf

        def measured() -> float:
            with section("judge"):
                return solver.measure(query, candidate).ratio

        try:
            self._consensus.run(f"solver {solver.name!r}", query.step, measured, vote=ratio, contained=True)
        except RankFaultError as fault:
            trial.notes.setdefault("faults", []).append(str(fault))
            trial.cost.verify += self._consensus.seconds
            return math.inf
        trial.cost.verify += self._consensus.seconds
        return self._consensus.vote

    def observe(self, proposers: tuple[Surrogate, ...], query: Query, value: Array) -> None:
        """Show a committed transaction to the proposers (not collective).

        What one raises on this rank, or does to the committed value, is told to all ranks, as its fault, when it is
        asked next.
        """
        observers = [proposer for proposer in proposers if type(proposer).observe is not Surrogate.observe]
        if not observers:
            return
        self._transaction.guarded(value)
        for proposer in observers:
            try:
                proposer.observe(query, value)
                if self._transaction.repair():
                    raise ContractError("in `observe` it changed what was committed in place; that was restored")
            except Exception as error:  # kept: raising here, on some ranks only, would hang the others
                self._transaction.repair()
                self._observing_failed[proposer.name] = error

    def note(self, trial: Trial, name: str, verdict: Verdict) -> Verdict:
        """Append a verdict to the trial and return it."""
        trial.verdicts.append(verdict)
        trial.proposers.append(name)
        return verdict

    def _settled(self, verdict: Verdict, verifier: Verifier) -> Verdict:
        """Return what the verdict comes to on this rank, before the vote."""
        decision, reason = verdict.decision, verdict.reason
        if decision is Decision.ACCEPT and not math.isfinite(verdict.measure):
            decision = Decision.REJECT
            reason = f"an acceptance whose measure is not a finite number counts for nothing ({reason})"
        elif decision is Decision.ACCEPT and self._grade is Grade.CERTIFIED and verdict.grade is not Grade.CERTIFIED:
            decision = Decision.REJECT
            reason = f'an estimate cannot be accepted where grade = "certified" is demanded ({reason})'
        name = verdict.verifier or verifier.name
        return Verdict(decision, verdict.grade, verdict.measure, verdict.tolerance, reason, name)

    def _agreed(self, verdict: Verdict, vote: float, seconds: float) -> Verdict:
        """Return the verdict with the most cautious decision over the ranks."""
        decision, reason = verdict.decision, verdict.reason
        if vote > _SEVERITY[decision]:
            decision = _DECISIONS[int(vote)]
            reason = f"another rank says {decision.value}, this one: {reason}"
        return Verdict(decision, verdict.grade, verdict.measure, verdict.tolerance, reason, verdict.verifier, seconds)

    def _rejected(self, reason: str) -> Verdict:
        """Return the rejection of a proposal that nobody could judge; it is as certain as a verdict can be."""
        return Verdict(Decision.REJECT, Grade.CERTIFIED, math.nan, math.nan, reason, "session")


def _severity(verdict: Verdict) -> float:
    return _SEVERITY[verdict.decision]
