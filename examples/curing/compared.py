"""The hybrid cycle jump beside its rivals, in the same run: what `cosolve demo` shows.

Rivals are full stepping with two integrators and the classical cycle jump with the same elliptic Newton, each without
session, judge or ledger. All errors are against full stepping that is extrapolated from 48 and 72 steps a period. Full
stepping is run with fewer and with more steps than it needs, and compared at the hybrid's error, between the two.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from statistics import median
from typing import Any, ClassVar, TypeVar

import numpy as np
from cosolve.core.arrays import Array
from cosolve.core.coupling import Coupling, CouplingContext
from cosolve.core.errors import BadInputError
from cosolve.core.loop import LoopState
from cosolve.core.query import Transaction
from cosolve.core.result import Result
from cosolve.couplings.cycle_jump import CycleJump, cycle_jump
from cosolve.couplings.cycle_jump_classical import ClassicalCycleJump, ClassicalSettings
from cosolve.couplings.cycle_solver import CycleSolver
from cosolve.examples.curing.cyclic_solver import CuringSolver, blocks_of
from cosolve.examples.curing.options import ComparedOptions
from cosolve.examples.curing.process import FloatArray, Schedule
from cosolve.examples.curing.rivals import at_equal_error, errors, reference, stepping_rows

T = TypeVar("T")


class ComparedCycleJump(Coupling):
    """Runs `cycle_jump`, then its rivals, and writes a record of each comparison into the ledger.

    Args:
        context: As for `cycle_jump`; the problem must have a schedule and its solver be one of the curing process.

    Raises:
        BadInputError: The problem is another one.
    """

    name: ClassVar[str] = "compared_cycle_jump"
    transaction: ClassVar[Transaction] = "run"

    def __init__(self, context: CouplingContext) -> None:
        super().__init__(context)
        solver = context.solver
        schedule = getattr(context.problem, "schedule", None)
        if (
            not isinstance(solver, CycleSolver)
            or not isinstance(solver.cyclic, CuringSolver)
            or not isinstance(schedule, Schedule)
        ):
            raise BadInputError('compared_cycle_jump compares runs of the problem "curing"; use cycle_jump for others')
        self.solver, self.cyclic, self.schedule = solver, solver.cyclic, schedule
        self.options = context.settings if isinstance(context.settings, ComparedOptions) else ComparedOptions()

    def run(self) -> Result:
        """Run the hybrid and its rivals (collective); the result is that of the hybrid."""
        ends: list[FloatArray] = []
        writing = [0.0]
        on_commit = self.context.on_commit

        def keep(state: LoopState) -> None:
            ends.append(-np.expm1(-self.solver.parts(state.value)[0]))

        def write(t: float, value: Array, source: str) -> None:
            begin = time.process_time()
            if on_commit is not None:
                on_commit(t, value, source)
            writing[0] += time.process_time() - begin

        self._prepare()
        context = replace(self.context, settings=None, on_commit=write)
        result, seconds = self._timed(CycleJump(context, keep).run)
        if not result.ok or len(ends) != len(self.schedule.blocks):
            return result
        costs = [seconds - writing[0]]
        jump_ends, jump_costs = self._timed_jump()
        for _ in range(1, self.options.repeats):
            costs.append(self._timed(self._again)[1])
            jump_costs += self._timed_jump()[1]
        exact = reference(self.cyclic, self.schedule)
        found = errors(self.cyclic, ends, exact)
        self._record_errors(found, result)
        name = "classical cycle jump with elliptic Newton"
        self._record(name, jump_costs, costs, max(errors(self.cyclic, jump_ends, exact)), max(found))
        solvers = {"cn-ab2": self.cyclic, "bdf3": self._bdf}
        rows = stepping_rows(solvers, self.schedule, exact, dict.fromkeys(solvers, self.options.steps))
        for scheme, run in sorted(rows.items()):
            row = at_equal_error({scheme: run}, max(found))
            name = f"full stepping at that error, {scheme}, {row.steps} steps"
            seconds = max(float(part) for part in self.solver.comm.allgather(row.seconds))
            self._record(name, [seconds], costs, row.error, max(found))
        alpha, none = ends[-1], np.zeros_like(ends[-1])
        return replace(
            result,
            fields={
                **result.fields,
                "alpha": self.solver.flat(alpha, none),
                "error of alpha": self.solver.flat(np.abs(alpha - exact[-1]), none),
            },
        )

    def _prepare(self) -> None:
        """Make all factors: building is left out for hybrid and rivals alike."""
        judge: Any = self.context.verifier
        hybrid = getattr(judge, "hybrid", None)
        counts = {*self.options.steps, self.options.classical_steps}
        if hybrid is not None:
            tolerance = self.solver.settings.tolerance
            counts |= {hybrid.steps_for(tolerance)[0], hybrid.audit_steps(tolerance)}
        for steps in sorted(counts):
            self.cyclic.integrator(steps)
        self._bdf = CuringSolver(self.cyclic.discretisation, "bdf3")
        for steps in self.options.steps:
            self._bdf.integrator(steps)

    def _again(self) -> Result:
        """Run the hybrid once more, without a ledger."""
        solver = CycleSolver(self.cyclic, self.cyclic.initial(self.schedule), self.solver.blocks, self.solver.settings)
        session = self.context.session
        return cycle_jump(solver, list(self.context.proposers), mode=session.mode, verifier=self.context.verifier)

    def _timed_jump(self) -> tuple[list[FloatArray], list[float]]:
        """Return alpha at the block ends of the classical cycle jump, and its cost (collective)."""

        def jump() -> list[FloatArray]:
            classical = ClassicalCycleJump(self.cyclic, ClassicalSettings(steps=self.options.classical_steps))
            state, ends = self.cyclic.initial(self.schedule), []
            for block in blocks_of(self.schedule):
                state = classical.run_block(state, block).state
                ends.append(state.alpha)
            return ends

        ends, seconds = self._timed(jump)
        return ends, [seconds]

    def _record_errors(self, found: Sequence[float], result: Result) -> None:
        """Write the error at each block's end beside what the judge estimated there."""
        ledger, t = self.context.session.ledger, 0.0
        one_each = len(result.verdicts) == len(found)
        for index, (error, block) in enumerate(zip(found, self.schedule.blocks, strict=True)):
            t += block.periods
            if ledger is not None:
                ledger.write("error", t=t, error=error, estimate=result.verdicts[index].measure if one_each else None)

    def _record(
        self, name: str, seconds: Sequence[float], costs: Sequence[float], rival_error: float, error: float
    ) -> None:
        ledger = self.context.session.ledger
        if ledger is None:
            return
        cards = [card for proposer in self.context.proposers if (card := getattr(proposer, "model_card", None))]
        ledger.write(
            "comparison",
            rival=name,
            rival_cost_seconds=median(seconds),
            run_cost_seconds=median(costs),
            rival_costs=list(seconds),
            run_costs=list(costs),
            measure="largest relative L2 error of alpha over the block ends, against extrapolated full stepping",
            error=error,
            rival_error=rival_error,
            data_seconds=sum(card.cost_data_seconds for card in cards),
            training_seconds=sum(card.cost_training_seconds for card in cards),
        )

    def _timed(self, work: Callable[[], T]) -> tuple[T, float]:
        """Return what `work` returns and its CPU seconds, the largest over the ranks (collective)."""
        begin = time.process_time()
        value = work()
        spent = time.process_time() - begin
        return value, max(float(part) for part in self.solver.comm.allgather(spent))
