"""Runs a case: builds all that it names through the registry, joins it, runs, writes, and closes."""

from __future__ import annotations

import logging
import os
import platform
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from functools import partial
from importlib import metadata
from pathlib import Path
from typing import Any, Final

from cosolve.core import petsc_options
from cosolve.core.case import Case, Part
from cosolve.core.case_reading import load_case
from cosolve.core.communicator import Communicator, world
from cosolve.core.coupling import Coupling, CouplingContext
from cosolve.core.errors import BadInputError, CosolveError, InterruptedRunError, OutputError, PluginError
from cosolve.core.events import RunEvent, StepEvent
from cosolve.core.field_output import FieldOutput
from cosolve.core.governor import Governor, decisions_of
from cosolve.core.hookspecs import hookimpl
from cosolve.core.ledger import Ledger, read_ledger
from cosolve.core.problem import Problem
from cosolve.core.progress import Progress, ProgressObserver
from cosolve.core.registry import Registry
from cosolve.core.result import Result, Status
from cosolve.core.session import Session
from cosolve.core.solver import Solver
from cosolve.core.surrogate import Surrogate
from cosolve.core.together import settle, together
from cosolve.core.verdict import Grade
from cosolve.core.verifier import Verifier
from cosolve.core.watchdog import Watchdog

logger = logging.getLogger(__name__)

_VERSIONS: Final = {"cosolve": "cosolve", "numpy": "numpy", "torch": "torch", "numba": "numba", "scipy": "scipy"}


def run(
    source: Path | str | Mapping[str, Any],
    comm: Communicator | None = None,
    *,
    overrides: Mapping[str, Any] | None = None,
    defaults: Mapping[str, Any] | None = None,
    petsc_options: Sequence[str] = (),
    raise_on_failure: bool = True,
    resume: bool = False,
) -> Result:
    """Read a case and run it (collective): `cosolve.run("case.toml", overrides={"coupling.mode": "shadow"})`.

    Args:
        source: Path of a TOML file, or its tables as nested values.
        comm: Communicator; None for all ranks of the job. It is duplicated, and the duplicate freed.
        overrides: Values by dotted key that beat environment and file.
        defaults: Values by dotted key that environment and file beat.
        petsc_options: PETSc's words, e.g. `["-ksp_type", "cg"]`.
        raise_on_failure: Raise when the run fails; False returns the result with its status.
        resume: Go on from the newest checkpoint in the output folder.

    Returns:
        The result.

    Raises:
        CosolveError: Bad input, a broken plugin, a failed run, an output that cannot be written; see `run_case`.
    """
    registry = Registry.discover()
    case = load_case(source, registry, overrides=overrides, defaults=defaults, petsc_options=petsc_options)
    result = run_case(case, comm, registry=registry, resume=resume)
    return result.raise_on_failure() if raise_on_failure else result


def run_case(
    case: Case,
    comm: Communicator | None = None,
    *,
    registry: Registry | None = None,
    progress: Progress | None = None,
    resume: bool = False,
) -> Result:
    """Build what a case names, run it, write ledger and fields, and close everything (collective).

    Args:
        case: The checked case.
        comm: Communicator; None for all ranks of the job. It is duplicated, and the duplicate freed.
        registry: What is known of plugins; None discovers it.
        progress: What to report progress to on this rank.
        resume: Go on from the newest checkpoint in the output folder.

    Returns:
        The result with its status; a run that failed is not raised here, see `Result.raise_on_failure`.

    Raises:
        BadInputError: A model, mesh or option cannot be used (exit 2).
        PluginError: A plugin is broken or its library is missing (exit 4).
        OutputError: The output cannot be written (exit 7).
    """
    registry = Registry.discover() if registry is None else registry
    with petsc_options.handed_over(case.petsc_options):
        # The problem first: loading it starts MPI where its library needs MPI.
        loaded: list[Any] = []
        if comm is None:
            loaded.append(registry.load("problem", case.problem.name, where=case.problem.where))
            comm = world()
        with ExitStack() as stack:
            own: Communicator = comm.Dup()
            stack.callback(own.Free)
            try:
                return _Assembly(case, registry, own, progress, resume, stack).run()
            except Exception as error:
                # Before the stack closes what it holds, which is collective: this rank may have failed alone.
                code = error.exit_code if isinstance(error, CosolveError) else 1
                settle(own, code, str(error) or type(error).__name__)
                raise


class _LastSource:
    """Remembers who computed the last committed state, and where the run stands."""

    def __init__(self) -> None:
        self.name = ""

    @hookimpl
    def cosolve_committed(self, event: StepEvent) -> None:
        self.name = event.source


class _Assembly:
    """Builds and runs one case on its own communicator."""

    def __init__(
        self,
        case: Case,
        registry: Registry,
        comm: Communicator,
        progress: Progress | None,
        resume: bool,
        stack: ExitStack,
    ) -> None:
        self.case = case
        self.registry = registry
        self.comm = comm
        self.rank = comm.Get_rank()
        self.progress = progress
        self.resume = resume
        self.stack = stack
        self.watchdog: Watchdog | None = None
        self.observers = registry.observers()
        self.source = _LastSource()
        self.observers.watch("last source", self.source)

    def run(self) -> Result:
        case, comm = self.case, self.comm
        problem, surrogates, verifier, coupling_class = together(comm, "building the case", self._build)
        # Before the ledger is opened: the run to repeat may lie in this very folder.
        governor = together(comm, "reading the decisions to replay", self._governor)
        stack = self.stack
        ledger = Ledger(case.directory, comm, resume=self.resume, rejected_limit=case.output.rejected_limit)
        stack.callback(ledger.close)
        self.observers.record_with(lambda kind, values: ledger.write(kind, **values))
        if case.watchdog.seconds is not None:  # it watches whatever is collective from here on
            self.watchdog = stack.enter_context(Watchdog(case.watchdog.seconds))
        solver = self._solver(problem)
        stack.callback(solver.close)
        for surrogate in surrogates:
            stack.callback(surrogate.close)
        session = self._session(solver, verifier, governor, ledger)
        stack.callback(session.close)
        if self.progress is not None and self.rank == 0:
            start, end, _ = problem.time_span
            self.observers.watch("progress", ProgressObserver(self.progress, start, end))
        output = self._field_output(problem, solver)
        context = CouplingContext(
            session,
            solver,
            surrogates,
            verifier,
            problem=problem,
            parameters=problem.parameters,
            directory=case.directory,
            settings=case.coupling.options,
            checkpoint_every=case.output.checkpoint_every,
            resume=self.resume,
            on_commit=None if output is None else output.commit,
            options=case.effective(),
        )
        self._alive()
        return self._run(coupling_class(context), solver, ledger, output)

    def _alive(self) -> None:
        """Tell the watchdog that what came before did not hang; within the coupling the session tells it."""
        if self.watchdog is not None:
            self.watchdog.beat()

    @contextmanager
    def _unwatched(self) -> Iterator[None]:
        """Write reports without a watchdog: they may take longer than a step, and the other ranks wait for them."""
        if self.watchdog is not None:
            self.watchdog.stop()
        yield
        if self.watchdog is not None:
            self.watchdog.start()

    def _field_output(self, problem: Problem, solver: Solver) -> FieldOutput | None:
        case = self.case
        if not case.output.fields:
            return None
        every = case.output.fields_every
        output = FieldOutput(problem, solver, self.comm, case.directory, every=every, resumed=self.resume)
        self.stack.callback(output.close)
        return output

    def _run(self, coupling: Coupling, solver: Solver, ledger: Ledger, output: FieldOutput | None) -> Result:
        case, comm = self.case, self.comm
        effective = case.effective()
        event = RunEvent(case.directory, effective, self.rank, solver)
        ledger.write("run_started", case=effective, source=case.source, versions=versions(), title=case.name)
        self.observers.run_started(event)
        began = time.perf_counter()
        try:
            result = replace(coupling.run(), directory=case.directory)
        except (Exception, KeyboardInterrupt) as error:
            ended = self._ended_badly(ledger, event, error)
            if ended is error:
                raise
            raise ended from error
        self._alive()
        paths = [] if output is None else output.finish(result, self.source.name)
        self._alive()
        unused = petsc_options.unused(case.petsc_options)
        if unused and self.rank == 0:
            logger.warning("PETSc options that nothing has read: %s", ", ".join(petsc_options.not_told(unused)))
        ledger.write(
            "run_finished",
            status=result.status.name,
            message=result.message,
            t=result.t,
            stats=dict(result.stats),
            seconds=time.perf_counter() - began,
            fields=[str(path) for path in paths],
            unused_petsc_options=unused,
        )
        ledger.flush()
        with self._unwatched():
            self.observers.run_finished(replace(event, result=result))
            together(comm, "writing the ledger", partial(_check_written, ledger))
        return result

    def _ended_badly(self, ledger: Ledger, event: RunEvent, error: BaseException) -> Exception:
        """Record that the coupling raised, so that the ledger says how it ended; return what to raise."""
        if isinstance(error, KeyboardInterrupt):
            kept = f"the ledger in {self.case.directory} is readable"
            error = InterruptedRunError(f"interrupted by Ctrl-C within a transaction; {kept}.")
        status = Status.INTERRUPTED if isinstance(error, InterruptedRunError) else Status.FAULT
        ledger.write("run_finished", status=status.name, message=str(error) or type(error).__name__)
        ledger.flush()
        with self._unwatched():
            self.observers.run_finished(event)
        assert isinstance(error, Exception)
        return error

    # Building: rank-local, so that an error on one rank is agreed on before anything collective
    def _build(self) -> tuple[Problem, list[Surrogate], Verifier, Callable[[CouplingContext], Coupling]]:
        case = self.case
        problem = _made(case.problem, self._factory(case.problem), (case.problem.options,), {}, Problem)
        surrogates = [self._surrogate(part, problem) for part in case.surrogates]
        verifier = _made(case.verifier, self._factory(case.verifier), (), case.verifier.arguments(), Verifier)
        return problem, surrogates, verifier, self._factory(case.coupling)

    def _factory(self, part: Part) -> Any:
        return self.registry.load(part.role, part.name, where=part.where)

    def _surrogate(self, part: Part, problem: Problem) -> Surrogate:
        if part.model is None:
            made: Surrogate = _made(part, self._factory(part), (), part.arguments(), Surrogate)
            return made
        # Imported here: a run without trained models needs no safetensors.
        from cosolve.core.model_file import check_matches, load_card, load_surrogate

        self._factory(part)
        try:
            surrogate = load_surrogate(part.model, self.registry)
            check_matches(load_card(part.model), problem.describe(), model=f"the model file {part.model}")
        except BadInputError as error:
            raise type(error)(f"{part.where}: {error}") from None
        return surrogate

    def _governor(self) -> Governor:
        table = self.case.governor
        if table.replay is None:
            return Governor(table.mode, price_share=table.price_share)
        return Governor(table.mode, decisions_of(read_ledger(table.replay)), price_share=table.price_share)

    def _solver(self, problem: Problem) -> Solver:
        """Build the solver (collective); what it raises alone is settled by the caller."""
        try:
            solver = problem.make_solver(self.comm, self.case.solver_settings)
        except CosolveError:
            raise
        except Exception as error:
            raise PluginError(
                f"{self.case.problem.where}: problem {self.case.problem.name!r} could not build its solver on rank "
                f"{self.rank}: {type(error).__name__}: {error}. Run with -vv for the traceback."
            ) from error
        return solver

    def _session(self, solver: Solver, verifier: Verifier, governor: Governor, ledger: Ledger) -> Session:
        table = self.case.session
        return Session(
            solver,
            verifier,
            mode=table.mode,
            governor=governor,
            ledger=ledger,
            hooks=self.observers,
            grade=Grade(table.grade) if table.grade else None,
            max_corrections=table.max_corrections,
            smallest_step_fraction=table.smallest_step_fraction,
            deadline_seconds=table.deadline_seconds,
            solver_deadline_seconds=table.solver_deadline_seconds,
            heartbeat=self.watchdog,
        )


def _check_written(ledger: Ledger) -> None:
    """Raise `OutputError` where the last records could not be written: no agreement of the session has told it."""
    if ledger.failure:
        raise OutputError(ledger.failure)


def _made(part: Part, factory: Any, arguments: Sequence[Any], options: Mapping[str, Any], kind: type[Any]) -> Any:
    """Call a factory and check what it made.

    Raises:
        PluginError: It raised something unexpected, or made another kind of thing.
    """
    try:
        made = factory(*arguments, **options)
    except CosolveError:
        raise
    except Exception as error:
        raise PluginError(
            f"{part.where}: {part.role} {part.name!r} could not be built: {type(error).__name__}: {error}. "
            "Run with -vv for the traceback."
        ) from error
    if not isinstance(made, kind):
        raise PluginError(
            f"{part.where}: {part.role} {part.name!r}: expected its factory {part.entry.factory!r} to make a "
            f"{kind.__name__}, found {type(made).__name__}; correct the entry of that plugin."
        )
    return made


def versions() -> dict[str, str]:
    """Return the versions that a run depends on, without importing anything."""
    found = {"python": platform.python_version(), "system": f"{platform.system()} {os.uname().release}"}
    for distribution, label in _VERSIONS.items():
        try:
            found[label] = metadata.version(distribution)
        except metadata.PackageNotFoundError:
            continue
    return found
