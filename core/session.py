"""The one primitive: propose, agree, judge, agree, then commit, correct or roll back, and record."""

from __future__ import annotations

import logging
import time
from collections.abc import Mapping, Sequence
from functools import partial
from typing import Any, Literal

from cosolve.core.arrays import Array
from cosolve.core.asking import Asking, Trial
from cosolve.core.consensus import Consensus
from cosolve.core.coupling import Mode
from cosolve.core.errors import BadInputError, InterruptedRunError
from cosolve.core.governor import Asked, Governor, GovernorMode
from cosolve.core.ladder import Failed, Ladder, LadderEnd
from cosolve.core.ledger import Ledger
from cosolve.core.outcome import Outcome
from cosolve.core.prediction import Prediction
from cosolve.core.query import Query
from cosolve.core.recording import Hooks, Recording
from cosolve.core.result import Status
from cosolve.core.session_settings import check_parameters, check_settings, checked_governor, checked_grade
from cosolve.core.solver import Solver, SolveResult
from cosolve.core.starts import Starts
from cosolve.core.surrogate import Surrogate
from cosolve.core.tournament import Tournament
from cosolve.core.transaction import OpenTransaction
from cosolve.core.verdict import Decision, Grade, Verdict
from cosolve.core.verifier import Verifier
from cosolve.core.watchdog import Heartbeat

logger = logging.getLogger(__name__)

_BYTES = 8  # of one value


class Session:
    """Joins solver, verifier, governor and ledger.

    `attempt` may be called from `Loop`, from an `Attachment`, or by the user in an own `while`.

    Args:
        solver: The classical solver; the session works on `solver.comm`.
        verifier: The judge; None is allowed in the modes `initial_guess` and `off`, which need none.
        mode: What a proposal may become.

            * `replace`: the state itself, when the verdict is accept; a start of a few iterations when it is correct.
            * `correct`: a start of a few iterations, unless the verdict is reject.
            * `initial_guess`: a start of the full solve; the candidates are ranked by `solver.measure`.
            * `shadow`: nothing; it is asked and judged, the solver's value is used, the ledger keeps the difference.
            * `off`: nothing; nobody is asked.
        governor: Decides who is asked, or its mode as text (`"off"` asks always); by default one that measures.
        ledger: Where everything is recorded; None records nothing.
        hooks: Observers.
        grade: `Grade.CERTIFIED` refuses acceptances by an estimate.
        max_corrections: Nonlinear iterations of a correction.
        smallest_step_fraction: The ladder's smallest step, as a fraction of the query's.
        deadline_seconds: A proposer or verifier that takes longer on some rank has failed on all.
        solver_deadline_seconds: The same for a correction or classical step.
        heartbeat: Told at each transaction that the run is alive.
        branch: In the mode `initial_guess`, judges what a solve from a proposed start has found, where the equations
            have several solutions; what it rejects goes to the fallback. None trusts the residual.
        max_guess_iterations: In the mode `initial_guess`, iterations of a solve from a proposed start, after which the
            fallback takes over; None for as many as any solve.

    Attributes:
        asking, recording, transaction: What a library's own loop works with, see `cosolve.core.hosted`.

    Raises:
        BadInputError: An argument has no meaning; names it.
    """

    def __init__(
        self,
        solver: Solver,
        verifier: Verifier | None,
        *,
        mode: Mode = "replace",
        governor: Governor | GovernorMode | None = None,
        ledger: Ledger | None = None,
        hooks: Hooks | None = None,
        grade: Grade | Literal["certified", "estimated"] | None = None,
        max_corrections: int = 3,
        smallest_step_fraction: float = 1 / 8,
        deadline_seconds: float | None = None,
        solver_deadline_seconds: float | None = None,
        heartbeat: Heartbeat | None = None,
        branch: Verifier | None = None,
        max_guess_iterations: int | None = None,
    ) -> None:
        check_settings(mode, verifier, max_corrections, smallest_step_fraction, deadline_seconds)
        if max_guess_iterations is not None and max_guess_iterations < 1:
            raise BadInputError(f"max_guess_iterations must be at least 1, got {max_guess_iterations!r}")
        demanded = checked_grade(grade, solver)
        self.solver = solver
        self.verifier = verifier
        self.mode: Mode = mode
        self.governor = checked_governor(governor)
        self.ledger = ledger
        self.hooks = hooks
        self.heartbeat = heartbeat
        self.consensus = Consensus(solver.comm)
        self.branch = branch
        self._max_corrections = max_corrections
        self.max_guess_iterations = max_guess_iterations
        self.transaction = OpenTransaction(solver)
        self.asking = Asking(
            solver, verifier, self.consensus, self.transaction, grade=demanded, deadline_seconds=deadline_seconds
        )
        self._ladder = Ladder(
            solver,
            self.consensus,
            self.transaction,
            smallest_step_fraction=smallest_step_fraction,
            deadline_seconds=solver_deadline_seconds,
            heartbeat=heartbeat,
        )
        self._tournament = Tournament()
        self._starts = Starts(solver, self.asking, self._ladder, self.transaction, self._tournament)
        self._known: tuple[Surrogate, ...] = ()
        self._bound: list[Surrogate] = []
        self._fitted = False
        self._checked: Mapping[str, Any] | None = None
        self.recording = Recording(mode, self.transaction, ledger, hooks)

    # The primitive
    def attempt(self, query: Query, proposers: Sequence[Surrogate] = ()) -> Outcome:
        """Advance or solve `query`: the answer passes the verifier's or the solver's own test (collective).

        Args:
            query: The question; its state is never changed.
            proposers: Who may propose, in order of preference; names must be unique.

        Returns:
            The outcome. A failure is a status, not an exception: the state is rolled back then.

        Raises:
            RankFaultError: The state does not fit the solver, or its memory cannot be kept; on every rank.
            OutputError: The ledger cannot be written any more; on every rank.
            InterruptedRunError: Ctrl-C fell into code of a plugin; the state is rolled back.
            BadInputError: Two proposers share a name, or a replayed ledger is too short.
        """
        started = time.perf_counter()
        if self.heartbeat is not None:
            self.heartbeat.beat()
        chain = proposers if type(proposers) is tuple else tuple(proposers)
        self._begin(query, chain)
        trial = Trial(query)
        try:
            outcome, plan = self._resolve(trial, chain)
        except BaseException:
            self.transaction.roll_back()
            raise
        return self._finish(trial, outcome, plan, chain, started)

    def bind(self, proposers: Sequence[Surrogate], *, step: int = 0) -> None:
        """Introduce proposers to the solver, each once (collective); `attempt` does it for new ones.

        Raises:
            BadInputError: Two proposers share a name, or one has a name that records use for something else.
            RankFaultError: A proposer cannot work with this solver.
        """
        names = [proposer.name for proposer in proposers]
        if len(set(names)) != len(names):
            raise BadInputError(f"two proposers share a name: {', '.join(names)}; give each its own")
        for name in names:
            if name in ("", "solver") or any(mark in name for mark in "+/"):
                raise BadInputError(
                    f"a proposer cannot be named {name!r}: records say with 'solver', '+' and '/' who computed a value"
                )
        for proposer in proposers:
            if not any(proposer is bound for bound in self._bound):
                self.consensus.run(f"surrogate {proposer.name!r}", step, partial(proposer.bind, self.solver))
                self._bound.append(proposer)
                placed = proposer.placement()
                if placed and self.ledger is not None:
                    self.ledger.write("placement", proposer=proposer.name, **placed)
        self._known = tuple(proposers)
        if self.ledger is not None and not self._fitted:
            label = f"solver {self.solver.name!r}"
            self.consensus.run(label, step, lambda: self.solver.n_owned, vote=lambda owned: _BYTES * float(owned))
            self.ledger.rejected.fit_to(int(self.consensus.vote))
            self._fitted = True

    def memory(self) -> dict[str, Any]:
        """Return what governor, tournament and verifier know, as JSON values for a checkpoint (not collective)."""
        known = {"governor": self.governor.memory(), "tournament": self._tournament.memory()}
        return known if self.verifier is None else {**known, "verifier": dict(self.verifier.memory())}

    def restore(self, memory: Mapping[str, Any]) -> None:
        """Take back what `memory` returned (not collective)."""
        self.governor.restore(memory.get("governor", {}))
        self._tournament.restore(memory.get("tournament", {}))
        if self.verifier is not None and "verifier" in memory:
            self.verifier.restore(memory["verifier"])

    @property
    def interrupted(self) -> bool:
        """Whether the ranks agreed to stop after the current transaction (the same on every rank)."""
        return self.consensus.interrupted

    @property
    def stats(self) -> dict[str, Any]:
        """Counts, seconds (longest over the ranks, machinery and ledger of this rank), copies and bytes so far."""
        return self.recording.stats()

    def tell_faults(self) -> None:
        """Warn, once and on rank 0, of proposers that failed (not collective).

        For scripts: a run whose proposals all failed has the solver's answer, and would pass for a hybrid one.
        """
        if self.consensus.comm.Get_rank() != 0:
            return
        for name, why in self.asking.first_faults.items():
            logger.warning("surrogate %r failed, and the solver went on without it; the first time: %s", name, why)
        self.asking.first_faults.clear()

    def close(self) -> None:
        """Write what waits and free the duplicated communicator (collective). Idempotent."""
        if self.ledger is not None:
            self.ledger.flush()
        self.consensus.close()

    def __enter__(self) -> Session:
        return self

    def __exit__(self, *exception: object) -> None:
        self.close()

    @property
    def verdicts(self) -> tuple[Verdict, ...]:
        """The verdicts so far, the last 500 of a long run."""
        return tuple(self.recording.verdicts)

    # Parts of an attempt
    def _begin(self, query: Query, proposers: tuple[Surrogate, ...]) -> None:
        consensus = self.consensus
        if self.ledger is not None and self.ledger.failure:
            consensus.comm.output_failure = self.ledger.failure
        if query.parameters is not self._checked:
            check_parameters(self.solver, query.parameters)
            self._checked = query.parameters
        if proposers != self._known:
            self.bind(proposers, step=query.step)
        consensus.run("snapshot", query.step, lambda: self.transaction.begin(query, proposers))
        if consensus.interrupted:
            raise InterruptedRunError(f"interrupted before step {query.step}; nothing of it was tried")

    def _resolve(self, trial: Trial, proposers: tuple[Surrogate, ...]) -> tuple[Outcome, tuple[str, ...]]:
        """Find the value; return the outcome, its value in memory of its own, and the names the governor allowed."""
        names = tuple(proposer.name for proposer in proposers)
        step = trial.query.step
        if self.mode == "off":
            return self._fall_back(trial, None), ()
        if self.mode == "initial_guess":
            return self._guess(trial, proposers)
        plan = names if self.mode == "shadow" else self.governor.plan(step, names)
        return self._propose(trial, proposers, plan), plan

    def _propose(self, trial: Trial, proposers: tuple[Surrogate, ...], plan: tuple[str, ...]) -> Outcome:
        shadow = self.mode == "shadow"
        best: Prediction | None = None
        decided: Outcome | None = None
        for proposer in proposers:
            if proposer.name not in plan:
                trial.chain.append(Asked(proposer.name, asked=False))
                trial.notes.setdefault("left_out", {})[proposer.name] = self.governor.why(proposer.name)
                continue
            before = trial.cost.work
            prediction = self.asking.ask(proposer, trial)
            if prediction is not None:
                verdict = self.asking.judge(proposer, prediction, trial)
                if shadow:
                    best = best or prediction
                elif verdict.decision is not Decision.REJECT:
                    own = trial.cost.work - before
                    decided = self._take(trial, proposer, prediction, verdict)
                    if decided is not None:
                        trial.chain.append(Asked(proposer.name, True, own))
                        break
            trial.chain.append(Asked(proposer.name, True, trial.cost.work - before, followed=True))
        self.recording.tell_verdict(trial)
        if decided is not None:
            return decided
        outcome = self._fall_back(trial, trial.verdicts[-1] if trial.verdicts else None)
        if best is not None and outcome.ok:
            self._compare(trial, best, outcome.value)
        return outcome

    def _take(self, trial: Trial, proposer: Surrogate, prediction: Prediction, verdict: Verdict) -> Outcome | None:
        """Commit an accepted proposal or correct it; None when the correction does not hold."""
        query = trial.query
        if verdict.decision is Decision.ACCEPT and self.mode == "replace":
            return self._outcome(trial, prediction.value, proposer.name, verdict)  # a copy since it was asked
        solved = self._ladder.correct(query, prediction.value, self._max_corrections, trial.cost)
        if isinstance(solved, Failed):
            trial.notes.setdefault("failures", []).append(f"correction of {proposer.name!r}: {solved.why}")
            return None
        value = self.transaction.own(solved.value)
        return self._outcome(trial, value, f"{proposer.name}+correct", verdict, solved, "correct")

    def _guess(self, trial: Trial, proposers: tuple[Surrogate, ...]) -> tuple[Outcome, tuple[str, ...]]:
        """Run a tournament of starts, then the full solve from the best."""
        plan = self._starts.plan(trial, tuple(proposer.name for proposer in proposers), self.governor)
        if not plan:
            return self._fall_back(trial, None), plan
        best, start, verdict = self._starts.best(trial, proposers, plan)
        self.recording.tell_verdict(trial)
        asking, found = trial.cost.work, None
        if start is not None:
            found = self._starts.solve(trial, best, start, verdict, self.branch, self.max_guess_iterations)
        if found is None:
            asking = trial.cost.work  # a failed attempt is part of the price of asking
        trial.chain.append(Asked("initial_guess", True, asking, followed=found is None))
        if found is None:
            return self._fall_back(trial, trial.verdicts[-1]), plan
        return self._outcome(trial, found.value, found.source, found.verdict, found.solve), plan

    def _fall_back(self, trial: Trial, verdict: Verdict | None) -> Outcome:
        """Step classically: the plan where nobody was asked, the ladder where somebody was."""
        end = self._ladder.climb(trial.query, trial.cost)
        if end.failures:
            trial.notes.setdefault("failures", []).extend(end.failures)
        if end.solve is None:
            return self._stopped(trial, end, verdict)
        planned = (not trial.asked or self.mode == "shadow") and end.parts == 1
        source = "solver" if end.parts == 1 else f"solver/{end.parts}"
        # The last of smaller steps is a copy already.
        value = self.transaction.own(end.solve.value) if end.parts == 1 else end.solve.value
        return self._outcome(trial, value, source, verdict, end.solve, "" if planned else end.rung)

    def _stopped(self, trial: Trial, end: LadderEnd, verdict: Verdict | None) -> Outcome:
        query = trial.query
        message = (
            f"solver {self.solver.name!r} found no value at step {query.step} "
            f"(t = {query.t:.6g}, dt = {query.dt:.6g}): {'; '.join(end.failures)}. "
            "The state is that of the last accepted step; choose a smaller step, more iterations or a looser tolerance"
        )
        verdicts, asked = tuple(trial.verdicts), tuple(trial.asked)
        return Outcome(
            query.state, query.t, "", verdict, verdicts, None, end.status, message, trial.cost, end.rung, asked
        )

    def _outcome(
        self,
        trial: Trial,
        value: Array,
        source: str,
        verdict: Verdict | None,
        solve: SolveResult | None = None,
        rung: str = "",
    ) -> Outcome:
        verdicts, asked, t_end = tuple(trial.verdicts), tuple(trial.asked), trial.query.t_end
        return Outcome(value, t_end, source, verdict, verdicts, solve, Status.SUCCESS, "", trial.cost, rung, asked)

    def _compare(self, trial: Trial, prediction: Prediction, value: Array) -> None:
        """Note what a shadow proposal was away from the solver's value, relative in the solver's norm."""
        solver = self.solver

        def distance() -> float:
            scale = solver.norm(value)
            return solver.norm(prediction.value - value) / scale if scale > 0.0 else float("nan")

        trial.notes["shadow_error"] = self.consensus.run(f"solver {solver.name!r}", trial.query.step, distance)

    def _finish(
        self, trial: Trial, outcome: Outcome, plan: tuple[str, ...], proposers: tuple[Surrogate, ...], started: float
    ) -> Outcome:
        if outcome.ok:
            self.asking.observe(proposers, trial.query, outcome.value)
        else:
            self.transaction.roll_back()
        governed = self.mode not in ("shadow", "off")
        events = self.governor.record(trial.chain, trial.cost.work) if governed else []
        self.recording.finish(trial, outcome, plan, events, started)
        return outcome
