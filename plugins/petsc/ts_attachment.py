"""Proposals inside a user's own `TS.solve`: its SNES accepts them at iteration 0, or starts from them.

The TS keeps its loop: steppers, adaptivity, rejected steps, events, monitors and post-steps all work as they did
(`TS.step` would fire none of them). Before each solve of its SNES, proposers are asked for the state there, and the
session's verifier judges it by the residual of that very solve. An accepted proposal has a residual below the absolute
tolerance of the SNES, which therefore stops at iteration 0.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, ClassVar

import numpy as np
from cosolve.core import petsc_database
from cosolve.core.arrays import Array
from cosolve.core.attachment import Attachment
from cosolve.core.copies import CopyCount
from cosolve.core.errors import BadInputError, NotConvergedError, RankFaultError
from cosolve.core.hosted import HostedTransactions
from cosolve.core.outcome import Outcome
from cosolve.core.query import Query, Snapshot, Transaction
from cosolve.core.result import Status
from cosolve.core.session import Session
from cosolve.core.surrogate import Surrogate
from cosolve.core.verdict import Verdict
from cosolve.plugins.petsc.callbacks import registered
from cosolve.plugins.petsc.ts import ONE_SOLVE, TsSolver, reason_of_ts
from petsc4py import PETSc

OnCommit = Callable[[float, Array, Outcome], None]
"""Told of each committed step with its time, owned values and outcome; on every rank alike, and may be collective."""


class TsAttachment(Attachment):
    """Attaches proposers to the SNES of a user's own TS.

    Example::

        with TsSolver(ts, u, rtol=1e-6) as solver, Session(solver, Residual()) as session:
            with TsAttachment(session, solver, [surrogate]) as attached:
                attached.run(t_end=1.0)

    The mode of the session says what a proposal may become: with `replace` the SNES accepts it at iteration 0 or starts
    from it where it is near; with `correct` and `initial_guess` it starts from it, the latter only where its residual
    is smaller than that of the TS's own start; with `shadow` nothing.

    Args:
        session: Its solver is `solver`.
        solver: The TS with its tolerance.
        proposers: Who may propose, in order of preference.
        parameters: What proposers see as `Query.parameters`.
        history: Accepted states before the first one, newest first, of a run that goes on.
        history_length: How many accepted states before the current one a query carries.
        on_commit: Told of each committed step.

    Attributes:
        state: The last committed state, owned values.
        history: Accepted states before it, newest first.
        t: Its time.
        steps: Number of committed steps so far.

    Raises:
        BadInputError: The TS is of a type whose SNES is not solved once for each step.
    """

    name: ClassVar[str] = "petsc_ts"
    transaction: ClassVar[Transaction] = "step"

    def __init__(
        self,
        session: Session,
        solver: TsSolver,
        proposers: Sequence[Surrogate] = (),
        *,
        parameters: Mapping[str, Any] | None = None,
        history: tuple[Snapshot, ...] = (),
        history_length: int = 3,
        on_commit: OnCommit | None = None,
    ) -> None:
        super().__init__(session)
        kind = solver.ts.getType()
        if proposers and kind not in ONE_SOLVE:
            raise BadInputError(
                f"proposals enter a TS where its SNES is solved once for each step: the types {', '.join(ONE_SOLVE)}. "
                f"Found {kind!r}; choose one by -{solver.prefix}ts_type, or run it without surrogates"
            )
        self.solver, self.ts = solver, solver.ts
        self.proposers, self.parameters = tuple(proposers), dict(parameters or {})
        self.steps = 0
        self.copies = CopyCount()
        self._length, self._on_commit = history_length, on_commit
        self._box = solver.faults  # one box: whoever fails first is the root cause
        self._hosted = HostedTransactions(session, self.proposers)
        self.state: Array = solver.initial_state()
        self.history = history
        self.t = solver.ts.getTime()
        self._dt = solver.ts.getTimeStep()
        self._solves = 0
        self._classical_step = -1
        self._fresh = True
        self._failure = ""
        self._ended: Exception | None = None
        self._users: list[Any] = [None, None]

    def _attach(self) -> None:
        ts = self.ts
        self._users = [registered((ts.getPreStep(),)), registered((ts.getPostStep(),))]
        self.solver.guess.ours = self._before_solve
        ts.setPreStep(self._before_step)
        ts.setPostStep(self._after_step)

    def _detach(self) -> None:
        self.solver.guess.ours = None
        self.ts.setErrorIfStepFails(True)
        for users, put in zip(self._users, (self.ts.setPreStep, self.ts.setPostStep), strict=True):
            put(*(users or (_nothing,)))

    # The whole solve
    def run(self, t_end: float | None = None, dt: float | None = None) -> Array:
        """Run the TS to `t_end` from where it stands (collective).

        Args:
            t_end: End; None for the TS's own. `-<prefix>ts_max_time` wins.
            dt: First step; None for the TS's own. `-<prefix>ts_dt` wins.

        Returns:
            The state that was reached, owned values.

        Raises:
            RankFaultError: A callback failed on some rank; on every rank. The TS stands at the last committed step.
            NotConvergedError: The TS or its SNES diverged; carries PETSc's own reason. The same holds of the TS.
            InterruptedRunError: Ctrl-C fell into the solve; on every rank.
        """
        ts, prefix = self.ts, self.solver.prefix
        if t_end is not None:
            ts.setMaxTime(petsc_database.number(prefix, "ts_max_time", t_end))
        if dt is not None:
            ts.setTimeStep(petsc_database.number(prefix, "ts_dt", dt))
        if petsc_database.number(prefix, "ts_max_steps", -1.0) < 0.0:
            ts.setMaxSteps(2**31 - 1)
        if not petsc_database.given(f"{prefix}ts_exact_final_time"):
            ts.setExactFinalTime(PETSc.TS.ExactFinalTime.MATCHSTEP)
        vector = ts.getSolution()
        if vector is None or not vector.handle:
            vector = self.solver.vector()
            ts.setSolution(vector)
        vector.array[:] = self.state
        ts.setStepNumber(self.steps)
        label = f"TS {prefix!r}"
        try:
            self.solve(label, lambda: self._solve(vector), t=self.t, steps=self.steps)
        except RankFaultError as fault:
            self._hosted.fail(Status.FAULT, str(fault))
            self.solver.recover()
            self._stand_at_last_step()
            raise
        if self._ended is not None:
            ended, self._ended = self._ended, None
            try:
                raise ended
            finally:
                del ended, vector
        reason = ts.getConvergedReason()
        if reason < 0 or self._failure:
            name = reason_of_ts(ts) + self._failure
            message = (
                f"{label} stopped at step {self.steps} (t = {self.t:.6g}): {name}. The state is that of the last "
                f"committed step; choose a smaller step or more iterations, and look with -{prefix}snes_monitor"
            )
            self._hosted.fail(Status.NOT_CONVERGED, message)
            self._stand_at_last_step()
            raise NotConvergedError(message, reason=name)
        value: Array = vector.array_r.copy()
        return value

    def _solve(self, vector: Any) -> None:
        """Run `TS.solve`, once more for each step whose SNES could not solve from a proposal."""
        ts = self.ts
        ts.setErrorIfStepFails(False)
        while True:
            self._failure = ""
            ts.setConvergedReason(PETSc.TS.ConvergedReason.CONVERGED_ITERATING)
            try:
                ts.solve(vector)
            except PETSc.Error as error:
                self._failure = f" (PETSc error {error.ierr}: {petsc_database.words(error)})"
            faulty = self.session.consensus
            faulty.run("TS.solve", self.steps, lambda: None, vote=lambda _: float(self._box.error is not None))
            diverged = bool(self._failure) or ts.getConvergedReason() < 0
            if faulty.vote > 0.0 or not diverged or not self._hosted.withdraw():
                return
            self._classical_step = self.steps
            self._stand_at_last_step()
            ts.restartStep()

    def _stand_at_last_step(self) -> None:
        """Put the TS back to the last committed step."""
        ts = self.ts
        ts.getSolution().array[:] = self.state
        ts.setTime(self.t)
        ts.setTimeStep(self._dt)
        ts.setStepNumber(self.steps)

    def start_at(self, t: float, state: Array, step: int = 0) -> None:
        """Let the run begin at another state than the solver's initial one (collective)."""
        self.state, self.t, self.steps, self._fresh = state.copy(), t, step, True
        self.ts.setTime(t)

    def restart_from(self, t: float, state: Array, verdict: Verdict) -> None:
        """Jump: let the TS go on from a judged state at another time (collective).

        Multistep methods start anew there, and the history that proposers see is empty.

        Args:
            t: The time of the state, not before the one that was reached.
            state: Owned values.
            verdict: The judgement of that state by the session's verifier.

        Raises:
            BadInputError: The verdict is no acceptance, or the jump goes back in time.
        """
        if not verdict.accepted:
            raise BadInputError(f"a TS is restarted from accepted states only; the verdict is: {verdict.reason}")
        if t < self.t:
            raise BadInputError(f"a jump leads forward: the TS stands at t = {self.t:.6g}, the state is of {t:.6g}")
        self.state = state.copy()
        self.copies.add(state.nbytes, "the state of a jump")
        self.history, self.t, self._fresh = (), t, True
        self._dt = self.ts.getTimeStep()
        self.ts.setTime(t)
        self.ts.restartStep()

    # Callbacks; PETSc calls them on every rank alike, and nothing is raised in them
    def _before_step(self, ts: Any) -> None:
        self._users_own(0, ts)
        values = ts.getSolution().array_r
        if not np.array_equal(values, self.state):  # an event or a post-step of the user's changed it
            self.state = values.copy()
            self.copies.add(values.nbytes, "the state before a step, changed by the user")
        self.t, self._dt, self._solves = ts.getTime(), ts.getTimeStep(), 0

    def _before_solve(self, x: Any) -> None:
        try:
            self._choose(x)
        except Exception as error:  # agreed over the ranks; the step ends classically, then the run
            self.solver.leave_stage()
            self._ended = self._ended or error

    def _choose(self, x: Any) -> None:
        ts, solver, snes = self.ts, self.solver, self.solver.snes
        solver.guess.users_own(snes, x)
        self._solves += 1
        # BDF starts with a half step of another method.
        start_up = ts.getType() == "bdf" and self._fresh and self._solves == 1
        dt = ts.getTimeStep() * (solver.theta if not start_up else 0.5)
        query = Query(self.state, ts.getTime(), dt, self.steps, parameters=self.parameters, history=self.history)
        snes.setTolerances(rtol=0.0, atol=solver.tolerance(query), stol=0.0)
        if self._ended is not None:
            return
        solver.callbacks.known.forget()
        ask = not start_up and self._classical_step != self.steps
        # A fault that was kept before anybody proposes is no proposal's.
        if not self._hosted.begin(query, ask=ask, fit=self._box.error is None) or start_up:
            return
        solver.enter_stage(x)
        try:
            start = self._hosted.choose(x.array_r.copy() if self.session.mode == "initial_guess" else x.array_r)
        finally:
            solver.leave_stage()
        if start is None:
            solver.callbacks.known.forget()
            return
        x.array[:] = start
        self.copies.add(start.nbytes, "the start of the SNES")
        if solver.can_reuse() and solver.measured is start:
            solver.callbacks.known.arm()
        else:
            solver.callbacks.known.forget()

    def _after_step(self, ts: Any) -> None:
        if ts.getConvergedReason() < 0:  # PETSc calls this after a step that failed, too
            return
        self._users_own(1, ts)
        try:
            self._commit(ts)
        except Exception as error:  # agreed over the ranks, too
            self._ended = self._ended or error
        if self._ended is not None or self.session.interrupted:
            ts.setConvergedReason(PETSc.TS.ConvergedReason.CONVERGED_USER)

    def _commit(self, ts: Any) -> None:
        solver, snes = self.solver, self.solver.snes
        if self.session.heartbeat is not None:
            self.session.heartbeat.beat()
        value = ts.getSolution().array_r
        outcome = None
        if self._hosted.is_open:
            linear = 0 if snes.getKSP().getType() == "preonly" else int(snes.getLinearSolveIterations())
            outcome = self._hosted.commit(
                value, ts.getTime() - self.t, int(snes.getIterationNumber()), linear, tolerance=solver.snes.atol
            )
        self.history = (Snapshot(self.t, self.state), *self.history)[: self._length]
        self.state, self.t = value.copy(), ts.getTime()
        self.copies.add(self.state.nbytes, "the committed state")
        self._dt = ts.getTimeStep()
        self.steps += 1
        self._fresh = False
        if outcome is not None and self._on_commit is not None:
            self._on_commit(self.t, self.state, outcome)

    def _users_own(self, which: int, ts: Any) -> None:
        """Call the user's own pre- or post-step; a fault there makes the next residual NaN."""
        found = self._users[which]
        if found is not None:
            function, args, kwargs = found
            try:
                function(ts, *args, **kwargs)
            except BaseException as error:
                self._box.keep(error)


def _nothing(ts: Any) -> None:
    """Do nothing: PETSc cannot clear a pre- or post-step."""
