"""The coupling `petsc_ts`: a case whose loop is `TS.solve`."""

from __future__ import annotations

from typing import ClassVar

from cosolve.core.arrays import Array
from cosolve.core.coupling import Coupling, CouplingContext, VerdictFalls
from cosolve.core.errors import BadInputError, InterruptedRunError, NotConvergedError, RankFaultError
from cosolve.core.interrupts import Interrupts
from cosolve.core.loop import Loop, LoopState
from cosolve.core.outcome import Outcome
from cosolve.core.query import Transaction
from cosolve.core.result import Result, Status
from cosolve.plugins.petsc.options import PetscTsOptions
from cosolve.plugins.petsc.ts import TsSolver
from cosolve.plugins.petsc.ts_attachment import TsAttachment


class PetscTs(Coupling):
    """Runs the problem's own TS by `TS.solve`; its SNES accepts proposals at iteration 0, or starts from them.

    Args:
        context: The solver is a `TsSolver`; `settings` are `PetscTsOptions`.

    Raises:
        BadInputError: The solver wraps no TS.
    """

    name: ClassVar[str] = "petsc_ts"
    transaction: ClassVar[Transaction] = "step"
    verdict_falls: ClassVar[VerdictFalls] = "host"

    def __init__(self, context: CouplingContext) -> None:
        super().__init__(context)
        if not isinstance(context.solver, TsSolver):
            raise BadInputError(
                f"the coupling 'petsc_ts' runs a TS, but the solver is {context.solver.name!r}; "
                'use `name = "time_loop"` in [coupling], or a problem whose solver is a TsSolver'
            )
        options = context.settings if isinstance(context.settings, PetscTsOptions) else PetscTsOptions()
        start, t_end, dt = (0.0, None, None) if context.problem is None else context.problem.time_span
        self._start = start
        self._t_end = t_end if options.t_end is None else options.t_end
        self._dt = dt if options.dt is None else options.dt
        self._solver = context.solver

    def run(self) -> Result:
        """Run to the end (collective)."""
        context = self.context
        solver, session = self._solver, context.session
        # Checkpoints are those of a loop of ours: written and read alike.
        store = Loop(
            session,
            context.proposers,
            t=self._start,
            t_end=max(self._start, self._t_end or self._start),
            dt=self._dt or 1.0,
            directory=context.directory,
        )
        state = store.init(resume=context.resume)

        def commit(t: float, value: Array, outcome: Outcome) -> None:
            if context.on_commit is not None:
                context.on_commit(t, value, outcome.source)
            if context.checkpoint_every and attached.steps % context.checkpoint_every == 0:
                store.checkpoint(LoopState(attached.steps, t, value, attached.history))

        attached = TsAttachment(
            session, solver, context.proposers, parameters=context.parameters, history=state.history, on_commit=commit
        )
        attached.start_at(state.t, state.value, state.step)
        status, message, reason = Status.SUCCESS, "", ""
        with Interrupts(session.consensus.comm), attached:
            try:
                attached.run(self._t_end, self._dt)
            except NotConvergedError as error:
                status, message, reason = Status.NOT_CONVERGED, str(error), error.reason
            except RankFaultError as error:
                status, message = Status.FAULT, str(error)
            except InterruptedRunError as error:
                status, message = Status.INTERRUPTED, str(error)
        if status is Status.SUCCESS and session.interrupted:
            status = Status.INTERRUPTED
            message = f"interrupted after step {attached.steps - 1} at t = {attached.t:.6g} of {self._t_end:.6g}"
        if status is not Status.SUCCESS:
            path = store.checkpoint(LoopState(attached.steps, attached.t, attached.state, attached.history))
            message += f"; checkpoint of step {attached.steps} in {path}, resume from there" if path else ""
        if session.ledger is not None:
            session.ledger.write("finished", step=attached.steps, t=attached.t, status=status.name, message=message)
        return Result(
            attached.state,
            status,
            session.verdicts,
            session.stats | {"host_copies": attached.copies.copies, "host_bytes": attached.copies.bytes},
            message,
            attached.t,
            context.directory,
            reason=reason,
        )
