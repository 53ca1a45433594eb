"""The step-level coupling: each step is proposed, judged by the residual of that very step, corrected or solved.

What a proposal may become is the session's mode:

* `replace`: the state itself when its residual is below a stated fraction of the step's tolerance (certified), a start
  of a few Newton or chord iterations when it is near, nothing when it is far;
* `correct`: a start of a few iterations;
* `initial_guess`: a start of the full solve, in a tournament with the previous and the extrapolated states;
* `shadow`: nothing, but it is judged and compared with the solver's value;
* `off`: nothing, the classical run.
"""

from __future__ import annotations

import inspect
import math
from collections.abc import Callable, Mapping, Sequence
from numbers import Real
from pathlib import Path
from typing import Any, ClassVar, TypeAlias

from cosolve.core.arrays import Array
from cosolve.core.coupling import Coupling, CouplingContext, Mode, VerdictFalls
from cosolve.core.errors import BadInputError
from cosolve.core.governor import Governor, GovernorMode
from cosolve.core.ledger import Ledger
from cosolve.core.loop import Loop, LoopState
from cosolve.core.query import Transaction
from cosolve.core.registry import Registry
from cosolve.core.result import Result
from cosolve.core.session import Session
from cosolve.core.session_settings import checked_options
from cosolve.core.solver import Solver
from cosolve.core.surrogate import Surrogate
from cosolve.core.verdict import Grade
from cosolve.core.verifier import Verifier
from cosolve.couplings.options import TimeLoopOptions

OnStep: TypeAlias = Callable[[LoopState], None]
"""Called on every rank after each committed step, with its time, value and outcome, to write fields for instance."""

CLASSICAL_STARTS = ("linear_extrapolation", "quadratic_extrapolation")


class TimeLoop(Coupling):
    """Advances the solver's initial state over the time span, one transaction for each step.

    Args:
        context: Session, solver, proposers and problem; `settings` are `TimeLoopOptions`.
        span: Start, end and step; None for those of the problem.
        on_step: Called after each committed step.
        state: State to start from; None for the solver's initial state.

    Raises:
        BadInputError: There is no time span, or it is empty.
    """

    name: ClassVar[str] = "time_loop"
    transaction: ClassVar[Transaction] = "step"
    verdict_falls: ClassVar[VerdictFalls] = "now"

    def __init__(
        self,
        context: CouplingContext,
        span: tuple[float, float, float] | None = None,
        *,
        on_step: OnStep | None = None,
        state: Array | None = None,
    ) -> None:
        super().__init__(context)
        options = context.settings if isinstance(context.settings, TimeLoopOptions) else TimeLoopOptions()
        if span is None and context.problem is not None:
            span = context.problem.time_span
        if span is None:
            raise BadInputError("time_loop needs a problem with a time span, or `span=(start, end, step)`")
        t, t_end, dt = span
        self.span = (t, t_end if options.t_end is None else options.t_end, dt if options.dt is None else options.dt)
        check_span(*self.span)
        self.proposers: list[Surrogate] = proposers_of(context.proposers)
        check_solver(context.solver, self.span[2])
        if context.session.mode == "initial_guess" and options.classical_starts:
            self.proposers += classical_starts({proposer.name for proposer in self.proposers})
        self._on_step = on_step
        self._state = state

    def run(self) -> Result:
        """Run to the end (collective)."""
        context = self.context
        t, t_end, dt = self.span
        loop = Loop(
            context.session,
            self.proposers,
            t=t,
            t_end=t_end,
            dt=dt,
            state=context.solver.initial_state() if self._state is None else self._state,
            parameters=context.parameters,
            directory=context.directory,
            checkpoint_every=context.checkpoint_every,
            on_step=self._committed,
            options=context.options,
        )
        return loop.run(resume=context.resume)

    def _committed(self, state: LoopState) -> None:
        if self._on_step is not None:
            self._on_step(state)
        if self.context.on_commit is not None and state.outcome is not None:
            self.context.on_commit(state.t, state.value, state.outcome.source)


def time_loop(
    solver: Solver,
    proposers: Surrogate | Sequence[Surrogate] = (),
    *,
    t_end: float,
    dt: float,
    t: float = 0.0,
    state: Array | None = None,
    mode: Mode = "replace",
    verifier: Verifier | None = None,
    parameters: Mapping[str, Any] | None = None,
    grade: Grade | None = None,
    governor: Governor | GovernorMode | None = None,
    directory: str | Path | None = None,
    checkpoint_every: int = 0,
    resume: bool = False,
    on_step: OnStep | None = None,
    raise_on_failure: bool = True,
    **session_options: Any,
) -> Result:
    """Run a hybrid time loop from a user's own script (collective).

    Example::

        result = cosolve.time_loop(solver, [surrogate], t_end=1.0, dt=0.01, directory="runs/mine")
        print(result.stats["accepted"], "of", result.stats["steps"], "steps came from the surrogate")

    Args:
        solver: The classical solver; its residual judges, and it takes over where a proposal fails.
        proposers: Surrogates in order of preference; none of them is trusted. Empty for the classical run.
        t_end: End, in the problem's unit of time.
        dt: Length of a step; the last one is shortened to meet `t_end`.
        t: Start.
        state: State at the start, owned values; None for the solver's initial state.
        mode: What a proposal may become, see this module.
        verifier: The judge; by default the solver's residual, accepted below half of the step's tolerance (certified).
        parameters: What surrogates see as `Query.parameters`, and what the solver's constants of that name are set to;
            all of these, or none to leave the constants as they are.
        grade: `Grade.CERTIFIED` refuses acceptances by estimates.
        governor: Drops a surrogate that costs more than it saves, or its mode as text; by default one that measures.
        directory: Output folder for ledger and checkpoints; None writes nothing.
        checkpoint_every: Steps between checkpoints; 0 writes one only when the run stops early (Ctrl-C, SIGTERM, no
            convergence).
        resume: Go on from the newest checkpoint in `directory`, with the ledger in the same file.
        on_step: Called on every rank with the loop's state after each committed step.
        raise_on_failure: Raise when the run fails; False returns the result with its status.
        **session_options: Further arguments of `Session`, e.g. `max_corrections`.

    Returns:
        The result: final state, status, verdicts, counts and costs.

    Raises:
        BadInputError: The time span or an option has no meaning, the solver cannot be stepped, or what was given is no
            solver or no surrogate.
        NotConvergedError: The solver did not converge and no rung of the ladder was left.
        RankFaultError: Code failed on a rank where no fallback could take over; raised on every rank.
        OutputError: The output folder cannot be written.
    """
    check_span(t, t_end, dt)
    check_solver(solver, dt)
    chosen = proposers_of(proposers)
    if verifier is None and mode not in ("off", "initial_guess"):
        verifier = Registry.discover().load("verifier", "residual", where="time_loop")()
    folder = None if directory is None else Path(directory)
    further = checked_options(session_options, Session, "time_loop", inspect.signature(time_loop).parameters)
    ledger = None if folder is None else Ledger(folder, solver.comm, resume=resume)
    session = Session(solver, verifier, mode=mode, governor=governor, ledger=ledger, grade=grade, **further)
    try:
        context = CouplingContext(
            session,
            solver,
            chosen,
            verifier,
            parameters=parameters or {},
            directory=folder,
            checkpoint_every=checkpoint_every,
            resume=resume,
        )
        result = TimeLoop(context, (t, t_end, dt), on_step=on_step, state=state).run()
    finally:
        session.tell_faults()
        session.close()
        if ledger is not None:
            ledger.close()
    return result.raise_on_failure() if raise_on_failure else result


def classical_starts(taken: set[str]) -> list[Surrogate]:
    """Return the registered extrapolations that are not among the names `taken`."""
    registry = Registry.discover()
    return [registry.load("surrogate", name, where="time_loop")() for name in CLASSICAL_STARTS if name not in taken]


def check_solver(solver: Any, dt: float) -> None:
    """Check that the solver is one, and can be stepped.

    Raises:
        BadInputError: It is not, or was closed, or its form has no time step; says what to do.
    """
    if isinstance(solver, type):
        raise BadInputError(f"time_loop needs a solver, found the class {solver.__name__}; make one: {_called(solver)}")
    if not isinstance(solver, Solver):
        raise BadInputError(
            f"time_loop needs a solver, found {type(solver).__name__}; wrap a UFL form as "
            "FormSolver(F, u, previous=u_n, dt=dt), or derive a class of your own from cosolve.Solver"
        )
    why = solver.unfit("step", dt)
    if why:
        raise BadInputError(f"{why}.")


def proposers_of(given: Any) -> list[Surrogate]:
    """Return the surrogates that were given, one or several.

    Raises:
        BadInputError: Something else was given (a bare network, a class, a name); says how to make a surrogate of it.
    """
    several = isinstance(given, Sequence) and not isinstance(given, str | bytes)
    chosen = list(given) if several else [given]
    for one in chosen:
        if isinstance(one, Surrogate):
            continue
        if isinstance(one, type):
            what, cure = f"the class {one.__name__}", f"make one: {_called(one)}"
        elif isinstance(one, str):
            what, cure = f"the text {one!r}", "pass the object; names belong into a case file"
        elif one is None:
            what, cure = "None", "leave the proposers out for the classical run"
        else:
            what = f"an object of {type(one).__module__}.{type(one).__qualname__}"
            cure = (
                "wrap a torch.nn.Module as cosolve.plugins.pytorch.TorchSurrogate(module), or derive a class of your "
                "own from cosolve.Surrogate"
            )
        raise BadInputError(f"a proposer must be a surrogate, found {what}; {cure}")
    return chosen


def _called(cls: type) -> str:
    return f"{cls.__name__}(...)" if "__init__" in vars(cls) else f"{cls.__name__}()"


def check_span(t: float, t_end: float, dt: float) -> None:
    """Raise `BadInputError` unless `t < t_end` and `dt > 0`, all finite."""
    given: dict[str, object] = {"t": t, "t_end": t_end, "dt": dt}
    for name, value in given.items():
        if isinstance(value, bool) or not isinstance(value, Real):
            raise BadInputError(f"{name} of a time loop must be a number, found {value!r}")
    if not (math.isfinite(t) and math.isfinite(t_end) and t < t_end):
        raise BadInputError(f"the end of a time loop must come after its start, found t = {t!r} and t_end = {t_end!r}")
    if not (math.isfinite(dt) and dt > 0.0):
        raise BadInputError(f"dt must be a positive number, found {dt!r}")
