"""Linear solves whose preconditioner a surrogate betters, while that pays; the solver's own test ends each of them.

A surrogate proposes corrections for residuals: a Galerkin correction over learned modes, a whole V-cycle, anything. It
need be neither linear, symmetric nor right. The solver runs a flexible Krylov method with it, measures the true
residual `b - A x`, and goes on with its own preconditioner where proposals do not help. A governor leaves a surrogate
that loses time out of later solves. See `docs/explanation/preconditioner.md`.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from types import TracebackType
from typing import Any, ClassVar, Literal, Self

from cosolve.core.coupling import Coupling, CouplingContext, VerdictFalls
from cosolve.core.errors import BadInputError
from cosolve.core.governor import Governor
from cosolve.core.ledger import Ledger
from cosolve.core.outcome import Outcome
from cosolve.core.query import Query, Transaction
from cosolve.core.result import Result, Status
from cosolve.core.session import Session
from cosolve.core.solver import Solver
from cosolve.core.surrogate import Surrogate
from cosolve.couplings.options import PreconditionerOptions
from cosolve.couplings.time_loop import proposers_of

Combine = Literal["correct", "additive", "replace"]


class PreconditionedSolves:
    """A sequence of solves with a learned preconditioner; a context manager. Made by `preconditioner`.

    Args:
        session: Asks nobody: the solver asks the surrogate itself. Closed with this object.
        proposer: Betters the preconditioner; None leaves the solver as it is.
        settings: For `Solver.precondition`.
        ledger: Closed with this object.
    """

    def __init__(
        self,
        session: Session,
        proposer: Surrogate | None,
        settings: Mapping[str, Any],
        ledger: Ledger | None = None,
    ) -> None:
        self.session = session
        self._ledger = ledger
        self.state = session.solver.initial_state()
        self.solves = 0
        _precondition(session.solver, proposer, settings)

    def solve(
        self, parameters: Mapping[str, Any] | None = None, *, raise_on_failure: bool = True, **context: Any
    ) -> Outcome:
        """Solve once, from the solver's initial state (collective).

        Args:
            parameters: What solver and surrogate see as `Query.parameters`.
            raise_on_failure: Raise when the base method found no solution either; False returns the outcome.
            **context: For `Query.context`.

        Returns:
            The outcome; `solve.notes["preconditioner"]` says what became of the proposals.

        Raises:
            NotConvergedError: Not even the base method led to a solution.
            RankFaultError: The base method failed; on every rank.
        """
        session = self.session
        start = session.solver.initial_state()
        query = Query(start, step=self.solves, transaction="solve", parameters=parameters or {}, context=context)
        outcome = session.attempt(query)
        if not outcome.ok:
            if raise_on_failure:
                raise outcome.status.error(outcome.message)
            return outcome
        if session.ledger is not None and outcome.solve is not None:
            for event in outcome.solve.notes.get("governor", ()):
                session.ledger.write("governor", step=query.step, **event)
        self.state = outcome.value
        self.solves += 1
        return outcome

    @property
    def stats(self) -> dict[str, Any]:
        """Counts and costs so far; see `Session.stats`."""
        return self.session.stats

    def close(self) -> None:
        """Leave the solver as it was; free session and ledger (collective). Solver and surrogate stay open."""
        _precondition(self.session.solver, None, {})
        self.session.close()
        if self._ledger is not None:
            self._ledger.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.close()


def preconditioner(
    solver: Solver,
    proposer: Surrogate,
    *,
    combine: Combine = "correct",
    governor: Governor | None = None,
    directory: str | Path | None = None,
    deadline_seconds: float | None = None,
    **settings: Any,
) -> PreconditionedSolves:
    """Better the preconditioner of a solver's linear solves by a surrogate, in a user's own script (collective).

    Example::

        with cosolve.preconditioner(KspSolver(ksp, b, rtol=1e-8), CoarseSpace(40)) as solves:
            x = solves.solve().value

    Args:
        solver: Has a preconditioner to better (`KspSolver`).
        proposer: Proposes a correction for each residual; not trusted in anything.
        combine: How proposal `S` and base preconditioner `B` make `z` of a residual `r`: `correct` is
            `B r + S (r - A B r)`, `additive` is `B r + S r`, `replace` is `S r`.
        governor: Leaves the surrogate out while it costs more than it saves; by default one that measures.
        directory: Output folder for the ledger; None writes nothing.
        deadline_seconds: A solve that takes longer has failed.
        **settings: Further arguments of the solver's `precondition`, e.g. `inner`, `loss_share`.

    Returns:
        An object with `solve(parameters)`, to be closed or used as a context manager.

    Raises:
        BadInputError: What was given is no solver, no surrogate, or does not fit the solver.
    """
    if not isinstance(solver, Solver):
        raise BadInputError(
            f"preconditioner needs a solver, found {type(solver).__name__}; wrap your KSP as KspSolver(ksp, b)"
        )
    chosen = proposers_of(proposer)
    if len(chosen) != 1:
        raise BadInputError(f"preconditioner takes one surrogate, found {len(chosen)}")
    ledger = None if directory is None else Ledger(Path(directory), solver.comm)
    session = Session(solver, None, mode="off", ledger=ledger, solver_deadline_seconds=deadline_seconds)
    try:
        return PreconditionedSolves(session, chosen[0], {"combine": combine, "governor": governor, **settings}, ledger)
    except BaseException:
        session.close()
        if ledger is not None:
            ledger.close()
        raise


def _precondition(solver: Solver, proposer: Surrogate | None, settings: Mapping[str, Any]) -> None:
    try:
        solver.precondition(proposer, **settings)
    except NotImplementedError as error:
        if proposer is not None:
            raise BadInputError(f"{error}; wrap your KSP as KspSolver(ksp, b)") from None
    except TypeError as error:
        raise BadInputError(f"solver {solver.name!r} refuses a setting of its preconditioner: {error}") from error


class Preconditioner(Coupling):
    """Solves a problem for one or several sets of parameters, with a learned preconditioner.

    A problem may offer `solve_parameters(index) -> Mapping`: the parameters of solve `index`; by default always its
    `parameters`.

    Args:
        context: Session (in the mode `correct`, or `off` for the solver alone), solver, problem, and one proposer or
            none; `settings` are `PreconditionerOptions`.

    Raises:
        BadInputError: There are several proposers, another mode, or the solver has no preconditioner to better.
    """

    name: ClassVar[str] = "preconditioner"
    transaction: ClassVar[Transaction] = "solve"
    verdict_falls: ClassVar[VerdictFalls] = "host"

    def __init__(self, context: CouplingContext) -> None:
        super().__init__(context)
        options = context.settings if isinstance(context.settings, PreconditionerOptions) else PreconditionerOptions()
        if context.session.mode not in ("correct", "off"):
            raise BadInputError(
                f'the coupling preconditioner works in mode = "correct" (or "off" for the solver alone), '
                f"found {context.session.mode!r}"
            )
        if len(context.proposers) > 1:
            names = ", ".join(proposer.name for proposer in context.proposers)
            raise BadInputError(f"the coupling preconditioner takes one surrogate, found {names}")
        self.options = options

    def run(self) -> Result:
        """Run all solves (collective); the result's value is that of the last one."""
        context, options = self.context, self.options
        settings = {
            "combine": options.combine,
            "governor": context.session.governor,
            "loss_share": options.loss_share,
            "patience": options.patience,
        }
        asked = context.proposers and context.session.mode != "off"
        proposer = context.proposers[0] if asked else None
        solves = PreconditionedSolves(context.session, proposer, settings)
        parameters_of = getattr(context.problem, "solve_parameters", None)
        status, message = Status.SUCCESS, ""
        try:
            for index in range(options.solves):
                parameters = context.parameters if parameters_of is None else parameters_of(index)
                outcome = solves.solve(parameters, raise_on_failure=False)
                if not outcome.ok:
                    status, message = outcome.status, outcome.message
                    break
                if context.on_commit is not None:
                    context.on_commit(float(index), outcome.value, outcome.source)
        finally:
            _precondition(context.solver, None, {})
        session = context.session
        return Result(
            solves.state,
            status,
            session.verdicts,
            session.stats,
            message,
            float(solves.solves - 1),
            context.directory,
        )
