"""The host whose loop is ours: `init`, `step`, `terminate`, and `run` that joins them."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from cosolve.core.arrays import Array
from cosolve.core.checkpoint import remove_checkpoints
from cosolve.core.errors import BadInputError, InterruptedRunError, RankFaultError
from cosolve.core.interrupts import Interrupts
from cosolve.core.outcome import Outcome
from cosolve.core.query import Query, Snapshot
from cosolve.core.restart import Restart
from cosolve.core.result import Result, Status
from cosolve.core.session import Session
from cosolve.core.surrogate import Surrogate

# A last step shorter than this part of dt is rounding of the time grid, not a step.
_SLIVER = 1e-9


@dataclass(frozen=True, slots=True)
class LoopState:
    """Where a loop stands.

    Attributes:
        step: Number of the next transaction.
        t: Time that was reached.
        value: The last accepted state, owned values.
        history: Accepted states before it, newest first.
        outcome: The last transaction, None before the first.
        status: `SUCCESS` while all goes well.
        message: The sentence with the details of a failure.
    """

    step: int
    t: float
    value: Array
    history: tuple[Snapshot, ...] = ()
    outcome: Outcome | None = None
    status: Status = Status.SUCCESS
    message: str = ""


@dataclass(slots=True)
class Loop:
    """Marches from `t` to `t_end`, each step an attempt of the session.

    Attributes:
        session: Proposes, agrees, judges, commits.
        proposers: Who may propose, in order of preference.
        t_end: Where to stop.
        dt: The step, or a function of the loop's state that returns the next one (the same on every rank).
        t: Where to start.
        state: Start; None takes the solver's initial state.
        parameters: What proposers see as `Query.parameters`.
        context: What a special coupling adds to each query.
        history_length: How many accepted states before the current one a query carries.
        directory: Where checkpoints go; None writes none.
        checkpoint_every: Steps between checkpoints, beside that of the end; 0 writes one only when the run stops early.
        on_step: Called on every rank after each committed step; must not communicate on some ranks only.
        progress: Called on rank 0 after each committed step.
        handle_signals: Stop after the current step at Ctrl-C or SIGTERM.
        options: Effective options of the run, for its checkpoints; a restart says which of them it changed.
    """

    session: Session
    proposers: Sequence[Surrogate] = ()
    t_end: float = 1.0
    dt: float | Callable[[LoopState], float] = 0.1
    t: float = 0.0
    state: Array | None = None
    parameters: Mapping[str, Any] = field(default_factory=dict)
    context: Mapping[str, Any] = field(default_factory=dict)
    history_length: int = 3
    directory: Path | None = None
    checkpoint_every: int = 0
    on_step: Callable[[LoopState], None] | None = None
    progress: Callable[[LoopState], None] | None = None
    handle_signals: bool = True
    options: Mapping[str, Any] = field(default_factory=dict)
    _kept: Restart | None = field(default=None, init=False, repr=False)

    def __post_init__(self) -> None:
        """Check the settings; raises BadInputError."""
        if not callable(self.dt) and not self.dt > 0.0:
            raise BadInputError(f"dt must be positive, got {self.dt!r}")
        if not self.t_end >= self.t:
            raise BadInputError(f"t_end must not lie before t = {self.t!r}, got {self.t_end!r}")
        if self.history_length < 0 or self.checkpoint_every < 0:
            raise BadInputError("history_length and checkpoint_every must not be negative")
        self.proposers = tuple(self.proposers)

    def init(self, *, resume: bool = False) -> LoopState:
        """Return the state to start from (collective).

        Args:
            resume: Start from the newest checkpoint in `directory`, with the memory of solver, proposers and governor;
                otherwise checkpoints that an earlier run left there are removed.

        Raises:
            BadInputError: There is no usable checkpoint, or it does not fit the solver.
            OutputError: Old checkpoints cannot be removed.
        """
        self.session.bind(self.proposers)
        if not resume:
            if self.directory is not None:
                remove_checkpoints(self.directory, self.session.consensus.comm)
            value = self.session.solver.initial_state() if self.state is None else self.state
            return LoopState(0, self.t, value)
        if self.directory is None:
            raise BadInputError("a run can only be resumed from its output folder; give `directory`")
        checkpoint = self._restart().read()
        return LoopState(checkpoint.step, checkpoint.t, checkpoint.state, checkpoint.history)

    def terminate(self, state: LoopState) -> bool:
        """Return whether the loop ends here: the end is reached, something failed, or all ranks agreed to stop."""
        return state.status is not Status.SUCCESS or self._remaining(state) <= 0.0 or self.session.interrupted

    def step(self, state: LoopState) -> LoopState:
        """Advance by one transaction (collective); a failure is a status of the state that it returns.

        Raises:
            OutputError: The ledger cannot be written any more; on every rank.
        """
        dt, t_next = self._interval(state)
        query = Query(
            state.value,
            state.t,
            dt,
            state.step,
            parameters=self.parameters,
            history=state.history,
            context=self.context,
        )
        try:
            outcome = self.session.attempt(query, self.proposers)
        except RankFaultError as fault:
            return _failed(state, Status.FAULT, str(fault))
        except InterruptedRunError as interrupted:
            return _failed(state, Status.INTERRUPTED, str(interrupted))
        if not outcome.ok:
            return _failed(state, outcome.status, outcome.message, outcome)
        history = (Snapshot(state.t, _frozen(state.value)), *state.history)[: self.history_length]
        return LoopState(state.step + 1, t_next, outcome.value, history, outcome)

    def run(self, *, resume: bool = False) -> Result:
        """Run to the end (collective). Never raises for a failed run: call `raise_on_failure` on the result.

        Raises:
            BadInputError: `resume` without a usable checkpoint.
            OutputError: Ledger or checkpoint cannot be written; on every rank.
        """
        comm = self.session.consensus.comm
        state = self.init(resume=resume)
        if not self.handle_signals:
            return self._run(state)
        with Interrupts(comm):
            return self._run(state)

    def _run(self, state: LoopState) -> Result:
        rank = self.session.consensus.rank
        while not self.terminate(state):
            state = self.step(state)
            if state.status is not Status.SUCCESS:
                break
            if self.on_step is not None:
                self.on_step(state)
            if self.progress is not None and rank == 0:
                self.progress(state)
            if self.checkpoint_every and (state.step % self.checkpoint_every == 0 or self._remaining(state) <= 0.0):
                self.checkpoint(state)
        if state.status is Status.SUCCESS and self._remaining(state) > 0.0:
            message = f"interrupted after step {state.step - 1} at t = {state.t:.6g} of {self.t_end:.6g}"
            state = _failed(state, Status.INTERRUPTED, message)
        if state.status is not Status.SUCCESS:
            state = self._stop(state)
        return self._result(state)

    def checkpoint(self, state: LoopState) -> Path | None:
        """Write a checkpoint and return its folder (collective); None without a `directory`.

        Raises:
            OutputError: It cannot be written; on every rank.
            RankFaultError: The memory of solver or a proposer cannot be had; on every rank.
        """
        if self.directory is None:
            return None
        return self._restart().write(state.step, state.t, state.value, state.history)

    def _restart(self) -> Restart:
        assert self.directory is not None
        if self._kept is None:
            self._kept = Restart(self.session, self.proposers, self.directory, self.options)
        return self._kept

    def _stop(self, state: LoopState) -> LoopState:
        """Leave a checkpoint of the last accepted state and say where it is."""
        path = self.checkpoint(state)
        kept = f"; checkpoint of step {state.step} in {path}, resume from there" if path else ""
        if self.session.ledger is not None:
            self.session.ledger.write(
                "stopped", step=state.step, t=state.t, status=state.status.name, message=state.message
            )
        return _failed(state, state.status, state.message + kept, state.outcome)

    def _result(self, state: LoopState) -> Result:
        session = self.session
        if session.ledger is not None:
            session.ledger.write(
                "finished", step=state.step, t=state.t, status=state.status.name, message=state.message
            )
        return Result(
            state.value, state.status, session.verdicts, session.stats, state.message, state.t, self.directory
        )

    def _remaining(self, state: LoopState) -> float:
        """Return the time left, 0 when less than rounding is left."""
        left = self.t_end - state.t
        scale = max(abs(self.t_end), abs(self.t), 0.0 if callable(self.dt) else self.dt)
        return left if left > _SLIVER * scale and left > 0.0 else 0.0

    def _interval(self, state: LoopState) -> tuple[float, float]:
        """Return the step and the time at its end.

        With a fixed step all steps but the last have exactly that length (a solver keeps its factorisation), and times
        come from the step's number, so that neither drifts.
        """
        left = self.t_end - state.t
        if callable(self.dt):
            dt = float(self.dt(state))
            if not (math.isfinite(dt) and dt > 0.0):
                raise BadInputError(f"the step chosen at t = {state.t:.6g} must be positive and finite, got {dt!r}")
            return (left, self.t_end) if left <= dt * (1.0 + _SLIVER) else (dt, state.t + dt)
        if left > self.dt * (1.0 + 1e-6):
            on_grid = abs(self.t + state.step * self.dt - state.t) <= 1e-6 * self.dt
            # Off the grid is a run that was resumed with another step: its times go on from where it stood.
            return self.dt, (self.t + (state.step + 1) * self.dt if on_grid else state.t + self.dt)
        nearly = abs(left - self.dt) <= 1e-6 * self.dt
        return (self.dt if nearly else left), self.t_end


def _frozen(values: Array) -> Array:
    """Return a view that cannot be written to: a solver of several steps computes with what proposers see."""
    view = values.view()
    view.flags.writeable = False
    return view


def _failed(state: LoopState, status: Status, message: str, outcome: Outcome | None = None) -> LoopState:
    return LoopState(state.step, state.t, state.value, state.history, outcome or state.outcome, status, message)
