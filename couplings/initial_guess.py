"""Starts for whole solves: proposals compete by their residual, the solver answers from the best one.

What is saved is whatever a classical solve does before its last iterations: load stepping, Reynolds continuation, a
sequence of meshes. The answer is the solver's own, to its own absolute tolerance, whoever proposed the start.

0. Conjugate gradients need no tournament: proposals join a space over the history, and the best start over that
   space in the energy norm is never worse than without them. Which starts and proposals are worth their price is
   found out while solving (`adaptive_start` of the plugin `petsc`). Elsewhere starts compete:
1. Each candidate (network, nearest snapshot, extrapolation, projection, the user's own) is made to meet the boundary
   conditions and costs one residual. The smallest wins; who keeps losing is asked less often.
2. The solver iterates from the winner, `fine_iterations` at most. It stops at an absolute tolerance from a reference
   that does not depend on the start, so that a good start is not punished.
3. A branch check may look at the solution, where the equations have several: see `cosolve.couplings.branch_check`.
4. Whatever fails goes to the fallback, which is the solver without a start: its own continuation where it has one.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
from cosolve.core.coupling import Coupling, CouplingContext, VerdictFalls
from cosolve.core.errors import BadInputError, InterruptedRunError, RankFaultError
from cosolve.core.governor import Governor, GovernorMode
from cosolve.core.interrupts import Interrupts
from cosolve.core.ledger import Ledger
from cosolve.core.loop import Loop
from cosolve.core.query import Query, Transaction
from cosolve.core.registry import Registry
from cosolve.core.result import Result, Status
from cosolve.core.session import Session
from cosolve.core.session_settings import checked_options
from cosolve.core.solver import Solver
from cosolve.core.surrogate import Surrogate
from cosolve.core.verifier import Verifier
from cosolve.couplings.branch_check import BranchCheck
from cosolve.couplings.coarse_start import CoarseLevel, CoarseStart
from cosolve.couplings.guessed_solves import FunctionStart, GuessedSolves, Start
from cosolve.couplings.options import InitialGuessOptions
from cosolve.couplings.time_loop import proposers_of


def initial_guess(
    solver: Solver,
    proposers: Surrogate | Start | Sequence[Surrogate | Start] = (),
    *,
    path: str | Sequence[str] | Callable[[Query, float], Query] | None = None,
    coarse: CoarseLevel | None = None,
    polish: int = 16,
    loose: float = 1.0,
    fine_iterations: int = 12,
    branch: Verifier | None = None,
    starts: Sequence[str] = (),
    join: bool = True,
    governor: Governor | GovernorMode | None = None,
    directory: str | Path | None = None,
    **session_options: Any,
) -> GuessedSolves:
    """Start solves from proposals, in a user's own script (collective).

    Example::

        with cosolve.initial_guess(solver, network, path="traction") as guess:
            u = guess.solve({"traction": [0.0, -3e-3]}).value

    Args:
        solver: The classical solver; its residual ranks the starts, its test ends the solve.
        proposers: Surrogates, or functions of the parameters that return owned values; none of them is trusted.
        path: Makes the fallback an adaptive continuation: names of the parameters that grow from zero, or a function of
            the query and the share of the path. None leaves the fallback to the solver.
        coarse: A coarser discretisation: proposals are made and polished there, and the fallback begins there.
        polish: Most iterations on the coarse mesh.
        loose: Tolerance of these, as a multiple of the coarse solver's own.
        fine_iterations: Iterations of a solve from a proposed start, after which the fallback takes over.
        branch: Judges solutions by their branch; None where there is one solution only.
        starts: Names of registered classical proposers that take part, e.g. `["linear_extrapolation", "projection"]`.
        join: Let proposals join a space of starts instead of competing, where the solver has one (conjugate
            gradients), no classical proposer takes part and there is no coarser discretisation.
        governor: Leaves the tournament out while it costs more than it saves; by default one that measures, or none
            where proposals join: the space has its own.
        directory: Output folder for the ledger; None writes nothing.
        **session_options: Further arguments of `Session`, e.g. `deadline_seconds`.

    Returns:
        An object with `solve(parameters)`, to be closed or used as a context manager.

    Raises:
        BadInputError: What was given is no solver, no surrogate, or an unknown name.
    """
    if not isinstance(solver, Solver):
        raise BadInputError(
            f"initial_guess needs a solver, found {type(solver).__name__}; wrap a UFL form as FormSolver(F, u, "
            "bcs=...), or derive a class of your own from cosolve.Solver"
        )
    registry = Registry.discover()
    chosen = _proposers(proposers) + _classical(registry, starts)
    if join and coarse is None:
        chosen = joined(registry, solver, chosen)
    if governor is None and any(proposer.covers for proposer in chosen):
        governor = Governor("off")
    whole = _with_continuation(registry, solver, path, coarse)
    why = whole.unfit("solve", 0.0)
    if why:
        raise BadInputError(f"{why}.")
    candidates = candidates_of(chosen, coarse, polish=polish, loose=loose, branch=branch)
    folder = None if directory is None else Path(directory)
    further = checked_options(session_options, Session, "initial_guess", inspect.signature(initial_guess).parameters)
    ledger = None if folder is None else Ledger(folder, solver.comm)
    session = Session(
        whole,
        None,
        mode="initial_guess",
        governor=governor,
        ledger=ledger,
        branch=branch,
        max_guess_iterations=fine_iterations,
        **further,
    )
    return GuessedSolves(session, candidates, None if ledger is None else ledger.close)


def joined(registry: Registry, solver: Solver, proposers: list[Surrogate]) -> list[Surrogate]:
    """Return the one proposer that all others have joined, where the solver has such; else the proposers as they are.

    Classical proposers, and those that communicate, compete: whoever names them wants a tournament.
    """
    name = solver.joining()
    if not name or any(proposer.is_baseline or proposer.collective for proposer in proposers):
        return proposers
    space: Callable[..., Surrogate] = registry.load("surrogate", name, where="initial_guess")
    return [space(joined=proposers)]


def candidates_of(
    proposers: Sequence[Surrogate],
    coarse: CoarseLevel | None,
    *,
    polish: int,
    loose: float = 1.0,
    branch: Verifier | None = None,
    correction: Surrogate | None = None,
) -> list[Surrogate]:
    """Return the candidates of the tournament: surrogates polished on the coarse mesh, classical ones as they are."""
    if coarse is None:
        return list(proposers)
    # An audit belongs to the fine mesh: its continuation is what the answer is compared with.
    cheap = BranchCheck(stable=branch.stable) if isinstance(branch, BranchCheck) and branch.stable else None
    return [
        proposer
        if proposer.is_baseline or isinstance(proposer, CoarseStart | FunctionStart)
        else CoarseStart(proposer, coarse, iterations=polish, loose=loose, branch=cheap, correction=correction)
        for proposer in proposers
    ]


def _proposers(given: Any) -> list[Surrogate]:
    several = isinstance(given, Sequence) and not isinstance(given, str | bytes)
    items = list(given) if several else [given]
    functions = [
        item for item in items if callable(item) and not isinstance(item, type) and not isinstance(item, Surrogate)
    ]
    names = {id(item): "own" if len(functions) == 1 else f"own{n}" for n, item in enumerate(functions, 1)}
    return proposers_of([FunctionStart(item, names[id(item)]) if id(item) in names else item for item in items])


def _classical(registry: Registry, names: Sequence[str]) -> list[Surrogate]:
    return [registry.load("surrogate", name, where="initial_guess.starts")() for name in names]


def _with_continuation(registry: Registry, solver: Solver, path: Any, coarse: CoarseLevel | None) -> Solver:
    """Return the solver whose way without a start is the cheapest safe one: continuation, on the coarse mesh first."""
    if path is None:
        return solver
    stepping = registry.load("solver", "load_stepping", where="initial_guess.path")
    followed = path if callable(path) else _grown((path,) if isinstance(path, str) else tuple(path))
    fine: Solver = stepping(solver, followed)
    if coarse is None:
        return fine
    sequencing = registry.load("solver", "grid_sequencing", where="initial_guess.path")
    below = coarse.solver if coarse.solver.continues else stepping(coarse.solver, followed)
    made: Solver = sequencing(fine, below, coarse.prolong)
    return made


def _grown(names: Sequence[str]) -> Callable[[Query, float], Query]:
    def path(query: Query, share: float) -> Query:
        missing = [name for name in names if name not in query.parameters]
        if missing:
            known = ", ".join(sorted(query.parameters)) or "none"
            raise BadInputError(f"path names the parameter {missing[0]!r}, which this solve has not; it has {known}")
        grown = {name: share * np.asarray(query.parameters[name]) for name in names}
        return replace(query, parameters={**query.parameters, **grown})

    return path


class InitialGuess(Coupling):
    """Solves a problem for one or several sets of parameters, each from the best start.

    A problem may offer, beyond `Problem`:

    * `solve_parameters(index) -> Mapping`: the parameters of solve `index`; by default always its `parameters`;
    * `make_coarse(solver) -> (solver, prolong) | None`: a coarser mesh for the polish, and how its values get to the
      mesh of `solver`;
    * `correction(surrogates) -> Surrogate | None`: which of the case's surrogates corrects prolonged solutions.

    Args:
        context: Session (in the mode `initial_guess` or `off`), solver, proposers, problem; `settings` are
            `InitialGuessOptions`.

    Raises:
        BadInputError: The session's mode makes no sense here.
    """

    name: ClassVar[str] = "initial_guess"
    transaction: ClassVar[Transaction] = "solve"
    verdict_falls: ClassVar[VerdictFalls] = "now"

    def __init__(self, context: CouplingContext) -> None:
        super().__init__(context)
        options = context.settings if isinstance(context.settings, InitialGuessOptions) else InitialGuessOptions()
        if context.session.mode not in ("initial_guess", "off"):
            raise BadInputError(
                f'the coupling initial_guess works in mode = "initial_guess" (or "off" for the classical solves), '
                f"found {context.session.mode!r}"
            )
        self.options = options
        branch = BranchCheck(
            stable=options.stable,
            energy=options.energy,
            audit_share=options.audit_share,
            distance=options.audit_distance,
            seed=options.audit_seed,
        )
        context.session.branch = branch if options.stable or options.energy or options.audit_share else None
        context.session.max_guess_iterations = options.fine_iterations
        self.level: CoarseLevel | None = None
        make_coarse = getattr(context.problem, "make_coarse", None)
        if make_coarse is not None and options.polish and context.session.mode != "off":
            made = make_coarse(context.solver)
            self.level = None if made is None else CoarseLevel(*made)
        self.proposers = self._candidates(context, context.session.branch)

    def _candidates(self, context: CouplingContext, branch: Verifier | None) -> list[Surrogate]:
        chosen = list(context.proposers)
        choose = getattr(context.problem, "correction", None)
        correction: Surrogate | None = None if choose is None else choose(chosen)
        chosen = [proposer for proposer in chosen if proposer is not correction]
        registry = Registry.discover()
        chosen += _classical(registry, self.options.starts)
        if self.options.join and self.level is None and context.session.mode != "off":
            chosen = joined(registry, context.solver, chosen)
        polish, loose = self.options.polish, self.options.loose
        return candidates_of(chosen, self.level, polish=polish, loose=loose, branch=branch, correction=correction)

    def run(self) -> Result:
        """Run all solves (collective); the result's value is that of the last one."""
        context = self.context
        session = context.session
        guessed = GuessedSolves(session, self.proposers)
        # Checkpoints are those of a loop: written and read alike.
        store = Loop(
            session,
            self.proposers,
            t_end=float(self.options.solves),
            dt=1.0,
            directory=context.directory,
            options=context.options,
        )
        status, message = Status.SUCCESS, ""
        try:
            guessed.go_on(store.init(resume=context.resume))
            with Interrupts(session.consensus.comm):
                status, message = self._run(guessed, store)
            if status is not Status.SUCCESS:
                path = store.checkpoint(guessed.reached)
                message += f"; checkpoint of solve {guessed.solves} in {path}, resume from there" if path else ""
        finally:
            if self.level is not None:
                self.level.solver.close()
        return Result(
            guessed.state,
            status,
            session.verdicts,
            session.stats,
            message,
            float(guessed.solves - 1),
            context.directory,
        )

    def _run(self, guessed: GuessedSolves, store: Loop) -> tuple[Status, str]:
        """Run the solves that are left; return how it ended, and why."""
        context, session, solves = self.context, self.context.session, self.options.solves
        parameters_of = getattr(context.problem, "solve_parameters", None)
        while guessed.solves < solves:
            index = guessed.solves
            parameters = context.parameters if parameters_of is None else parameters_of(index)
            try:
                outcome = guessed.solve(parameters, raise_on_failure=False)
            except RankFaultError as error:
                return Status.FAULT, str(error)
            except InterruptedRunError as error:
                return Status.INTERRUPTED, str(error)
            if not outcome.ok:
                return outcome.status, outcome.message
            if context.on_commit is not None:
                context.on_commit(float(index), outcome.value, outcome.source)
            every = context.checkpoint_every
            if every and (guessed.solves % every == 0 or guessed.solves == solves):
                store.checkpoint(guessed.reached)
            if session.interrupted and guessed.solves < solves:
                return Status.INTERRUPTED, f"interrupted after solve {index} of {solves}"
        return Status.SUCCESS, ""
