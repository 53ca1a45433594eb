"""Transactions that a library's own loop resolves: asked and judged inside it, committed by it, recorded by us.

A `Session.attempt` proposes, judges, solves and commits. Where the loop and the solve belong to a library (PETSc's TS
with its SNES), the same is cut in two: `choose` gives the library a start before it solves, `commit` records what the
library made of it. Verdicts, governor, ledger, observers and copies are those of the session.

Both halves are collective, and the library must call them on every rank alike. They never change the library's state.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from cosolve.core.arrays import Array
from cosolve.core.asking import Asking, Trial
from cosolve.core.consensus import Consensus
from cosolve.core.coupling import Mode
from cosolve.core.governor import Asked, Governor
from cosolve.core.outcome import Outcome
from cosolve.core.prediction import Prediction
from cosolve.core.query import Query
from cosolve.core.recording import Recording
from cosolve.core.result import Status
from cosolve.core.solver import SolveResult
from cosolve.core.surrogate import Surrogate
from cosolve.core.tournament import PREVIOUS
from cosolve.core.transaction import OpenTransaction
from cosolve.core.verdict import Decision, Grade, Verdict

if TYPE_CHECKING:
    from cosolve.core.session import Session

_GUESS = "initial_guess"


@dataclass(slots=True)
class _Open:
    """A transaction that the library has begun and not yet committed."""

    trial: Trial
    plan: tuple[str, ...]
    started: float
    solve_from: float
    source: str = ""
    verdict: Verdict | None = None


class HostedTransactions:
    """Asks, judges and records inside a library's loop.

    Args:
        session: Whose verdicts, governor and ledger are used; its mode says what a proposal may become.
        proposers: Who may propose, in order of preference.
    """

    def __init__(self, session: Session, proposers: Sequence[Surrogate]) -> None:
        self.proposers = tuple(proposers)
        self._mode: Mode = session.mode
        self._consensus: Consensus = session.consensus
        self._governor: Governor = session.governor
        self._asking: Asking = session.asking
        self._recording: Recording = session.recording
        self._transaction: OpenTransaction = session.transaction
        self._open: _Open | None = None
        session.bind(self.proposers)

    @property
    def is_open(self) -> bool:
        """Whether the library has begun a transaction that it has not committed."""
        return self._open is not None

    def begin(self, query: Query, *, ask: bool = True, fit: bool = True) -> bool:
        """Open a transaction (collective); a second call repeats the open one, with another length for instance.

        Args:
            query: The question.
            ask: False where nobody may be asked (a start-up stage): the transaction is classical.
            fit: False on a rank whose callbacks have failed already.

        Returns:
            Whether all ranks are fit.
        """
        now = time.perf_counter()
        self._consensus.run(
            "snapshot",
            query.step,
            lambda: self._transaction.begin(query, self.proposers),
            vote=lambda _: float(not fit),
        )
        fit = self._consensus.vote == 0.0
        ask = ask and fit
        names = tuple(proposer.name for proposer in self.proposers)
        if self._open is not None:
            self._open.trial.query = query
            notes = self._open.trial.notes
            notes["repeated"] = notes.get("repeated", 0) + 1
            self._open.source, self._open.verdict = "", None
            self._open.plan = self._open.plan if ask else ()
            return fit
        plan: tuple[str, ...] = ()
        if ask and self._mode == _GUESS:
            plan = names if self._governor.plan(query.step, (_GUESS,)) else ()
        elif ask and self._mode != "off":
            plan = names if self._mode == "shadow" else self._governor.plan(query.step, names)
        self._open = _Open(Trial(query), plan, now, now)
        return fit

    def choose(self, own: Array) -> Array | None:
        """Return the start that the library is to solve from; None for its own (collective).

        Args:
            own: The library's own start, owned values; takes part in the tournament of the mode `initial_guess`.
        """
        now = self._open
        assert now is not None, "begin comes first"
        if self._mode != "off":
            self._leave_out(now)
        chosen = self._tournament(now, own) if self._mode == _GUESS else self._first_good(now)
        now.solve_from = time.perf_counter()
        return chosen

    @property
    def asked(self) -> bool:
        """Whether somebody was asked in the open transaction."""
        return self._open is not None and bool(self._open.trial.asked)

    def withdraw(self) -> bool:
        """Note that the library could not solve from the chosen start; return whether there was one (not collective).

        The library then tries its own start.
        """
        now = self._open
        if now is not None and now.source:
            now.trial.notes.setdefault("failures", []).append(f"solve from {now.source!r}: the library gave it up")
            now.source, now.plan, now.verdict = "", (), None
            now.trial.chain[:] = [replace(link, followed=link.asked) for link in now.trial.chain]
            return True
        return False

    def commit(self, value: Array, dt: float, iterations: int, linear_iterations: int = 0, **notes: Any) -> Outcome:
        """Record the library's own commit (collective).

        Args:
            value: The state that the library committed, owned values.
            dt: Length of the step that it made.
            iterations: Nonlinear iterations that it made from the start; 0 when it accepted the start as it was.
            linear_iterations: Krylov iterations.
            **notes: Small values for the ledger.
        """
        now = self._open
        assert now is not None, "begin comes first"
        self._open = None
        trial = now.trial
        query = trial.query = replace(trial.query, dt=dt)
        spent = time.perf_counter() - now.solve_from
        self._consensus.run("commit", query.step, lambda: spent, vote=lambda seconds: seconds)
        seconds = self._consensus.vote
        solve: SolveResult | None = SolveResult(value, True, "", iterations, linear_iterations, notes=notes)
        source, rung = "solver", ""
        if now.source and iterations == 0 and now.verdict is not None and now.verdict.accepted:
            source, solve = now.source, None
            trial.cost.verify += seconds  # the library's own test at iteration 0 is a part of the judgement
        elif now.source and now.source != PREVIOUS:
            source = f"{now.source}+{'solve' if self._mode == _GUESS else 'correct'}"
            rung = "" if self._mode == _GUESS else "correct"
            trial.cost.correct += seconds
        else:
            rung = "step" if trial.asked and self._mode not in ("shadow", _GUESS) else ""
            trial.cost.solve += seconds
        verdicts, asked = tuple(trial.verdicts), tuple(trial.asked)
        outcome = Outcome(
            value, query.t_end, source, now.verdict, verdicts, solve, Status.SUCCESS, "", trial.cost, rung, asked
        )
        self._asking.observe(self.proposers, query, value)
        return self._finish(now, outcome)

    def fail(self, status: Status, message: str) -> None:
        """Record that the library gave the open transaction up, if there is one (not collective)."""
        now, self._open = self._open, None
        if now is None:
            return
        trial, query = now.trial, now.trial.query
        asked = tuple(trial.asked)
        verdicts = tuple(trial.verdicts)
        outcome = Outcome(
            query.state, query.t, "", now.verdict, verdicts, None, status, message, trial.cost, "stopped", asked
        )
        self._finish(now, outcome)

    def _finish(self, now: _Open, outcome: Outcome) -> Outcome:
        trial = now.trial
        governed = self._mode not in ("shadow", "off")
        events = self._governor.record(trial.chain, trial.cost.work) if governed else []
        self._recording.finish(trial, outcome, now.plan, events, now.started)
        return outcome

    def _leave_out(self, now: _Open) -> None:
        """Tell governor and ledger of those who are not asked."""
        if self._mode == _GUESS:
            names: tuple[str, ...] = () if now.plan else (_GUESS,)
        else:
            names = tuple(proposer.name for proposer in self.proposers if proposer.name not in now.plan)
        known = {link.name for link in now.trial.chain}
        for name in names:
            if name not in known:
                now.trial.chain.append(Asked(name, asked=False))
                now.trial.notes.setdefault("left_out", {})[name] = self._governor.why(name)

    def _first_good(self, now: _Open) -> Array | None:
        trial = now.trial
        best: Prediction | None = None
        for proposer in self.proposers:
            if proposer.name not in now.plan:
                continue
            before = trial.cost.work
            prediction = self._asking.ask(proposer, trial)
            verdict = None if prediction is None else self._asking.judge(proposer, prediction, trial)
            rejected = verdict is None or verdict.decision is Decision.REJECT
            taken = not rejected and self._mode != "shadow"
            trial.chain.append(Asked(proposer.name, True, trial.cost.work - before, followed=not taken))
            if taken:
                best, now.source, now.verdict = prediction, proposer.name, verdict
                break
        self._recording.tell_verdict(trial)
        return None if best is None else best.value

    def _tournament(self, now: _Open, own: Array) -> Array | None:
        trial = now.trial
        if not now.plan:
            return None
        starts = {PREVIOUS: own}
        for proposer in self.proposers:
            prediction = self._asking.ask(proposer, trial)
            if prediction is not None:
                starts[proposer.name] = prediction.value
        ratios = {name: self._asking.measure(start, trial) for name, start in starts.items()}
        best = min(ratios, key=lambda name: ratios[name])
        trial.notes["ratios"] = ratios
        trial.chain.append(Asked(_GUESS, True, trial.cost.work))
        decision = Decision.REJECT if best == PREVIOUS else Decision.CORRECT
        reason = (
            f"of {len(ratios)} starts {best!r} has the smallest residual; the solve from it meets the solver's test"
        )
        now.verdict = Verdict(
            decision, Grade.CERTIFIED, ratios[best], ratios[PREVIOUS], reason, "tournament", trial.cost.verify
        )
        now.source = "" if best == PREVIOUS else best
        self._asking.note(trial, best, now.verdict)
        self._recording.tell_verdict(trial)
        return None if best == PREVIOUS else starts[best]
