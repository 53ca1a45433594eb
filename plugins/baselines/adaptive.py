"""The rival of time loops: classical stepping with error control, without any proposal."""

from __future__ import annotations

import time
from typing import ClassVar

from cosolve.core.arrays import Array
from cosolve.core.coupling import Coupling, CouplingContext
from cosolve.core.errors import BadInputError
from cosolve.core.query import Query, Transaction
from cosolve.core.result import Result, Status
from cosolve.plugins.baselines.options import AdaptiveOptions
from cosolve.plugins.baselines.step_control import run_adaptively


class AdaptiveStepping(Coupling):
    """Steps from the start to the end of the problem's time span, each step as large as its error allows.

    Every committed value is the solver's own converged step, so that nothing is left to judge.

    Args:
        context: Needs `problem`, for the time span, unless `span` is given; `proposers` are not asked, and `session`
            may be None: only its ledger and its heartbeat are used.
        span: Start, end and first step; None for those of the problem.
    """

    name: ClassVar[str] = "adaptive_stepping"
    transaction: ClassVar[Transaction] = "step"

    def __init__(self, context: CouplingContext, span: tuple[float, float, float] | None = None) -> None:
        super().__init__(context)
        if span is None and context.problem is None:
            raise BadInputError("adaptive_stepping needs a problem with a time span, or `span=(start, end, step)`")
        self._span = span

    def run(self) -> Result:
        """Run to the end (collective)."""
        context = self.context
        span = self._span
        if span is None:
            assert context.problem is not None
            span = context.problem.time_span
        options = context.settings if isinstance(context.settings, AdaptiveOptions) else AdaptiveOptions()
        start = time.perf_counter()
        run = run_adaptively(
            context.solver,
            context.solver.initial_state(),
            span,
            options,
            parameters=context.parameters,
            committed=self._committed,
        )
        return Result(
            value=run.state,
            status=Status.SUCCESS if run.reached_end else Status.NOT_CONVERGED,
            stats={
                "steps": run.steps,
                "rejected_steps": run.rejected,
                "solves": run.solves,
                "iterations": run.iterations,
                "accepted": 0,
                "judged": 0,
                "sources": {"solver": run.steps},
                "seconds": {"solve": time.perf_counter() - start},
            },
            message=run.message,
            t=run.t,
            directory=context.directory,
        )

    def _committed(self, query: Query, value: Array) -> None:
        """Record an accepted step and hand it to whoever writes fields (collective)."""
        session = self.context.session
        if session is not None and session.ledger is not None:
            session.ledger.write("adaptive_step", step=query.step, t=query.t, dt=query.dt)
        if session is not None and session.heartbeat is not None:
            session.heartbeat.beat()
        if self.context.on_commit is not None:
            self.context.on_commit(query.t_end, value, "solver")
