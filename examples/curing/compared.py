"""The hybrid cycle jump beside its rivals, in the same run: what `cosolve demo` shows.

Rivals are full stepping with two integrators and the classical cycle jump with the same elliptic Newton, each without
session, judge or ledger. All errors are against full stepping that is extrapolated from 48 and 72 steps a period.
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
from cosolve.examples.curing.rivals import errors, reference, step_through

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
        rivals: dict[str, tuple[list[FloatArray], list[float]]] = {}
        for repeat in range(self.options.repeats):
            for name, rival in self._rivals().items():
                if repeat == 0 or "stepping" not in name:
                    found, seconds = self._timed(rival)
                    rivals.setdefault(name, (found, []))[1].append(seconds)
            if repeat:
                costs.append(self._timed(self._again)[1])
        exact = reference(self.cyclic, self.schedule)
        for name, (found, seconds_of_rival) in sorted(rivals.items(), key=lambda item: median(item[1][1])):
            self._record(name, seconds_of_rival, costs, max(errors(self.cyclic, found, exact)),
                         max(errors(self.cyclic, ends, exact)))  # fmt: skip
        return result

    def _prepare(self) -> None:
        """Make all factors: building is left out for hybrid and rivals alike."""
        judge: Any = self.context.verifier
        hybrid = getattr(judge, "hybrid", None)
        counts = {self.options.steps, self.options.classical_steps}
        if hybrid is not None:
            tolerance = self.solver.settings.tolerance
            counts |= {hybrid.steps_for(tolerance)[0], hybrid.audit_steps(tolerance)}
        for steps in sorted(counts):
            self.cyclic.integrator(steps)
        self._bdf = CuringSolver(self.cyclic.discretisation, "bdf3")
        self._bdf.integrator(self.options.steps)

    def _again(self) -> Result:
        """Run the hybrid once more, without a ledger."""
        solver = CycleSolver(self.cyclic, self.cyclic.initial(self.schedule), self.solver.blocks, self.solver.settings)
        session = self.context.session
        return cycle_jump(solver, list(self.context.proposers), mode=session.mode, verifier=self.context.verifier)

    def _rivals(self) -> dict[str, Callable[[], list[FloatArray]]]:
        options = self.options

        def jump() -> list[FloatArray]:
            classical = ClassicalCycleJump(self.cyclic, ClassicalSettings(steps=options.classical_steps))
            state, ends = self.cyclic.initial(self.schedule), []
            for block in blocks_of(self.schedule):
                state = classical.run_block(state, block).state
                ends.append(state.alpha)
            return ends

        return {
            f"full stepping, bdf3, {options.steps} steps": lambda: step_through(
                self._bdf, self.schedule, options.steps
            ),
            f"full stepping, cn-ab2, {options.steps} steps": lambda: step_through(
                self.cyclic, self.schedule, options.steps
            ),
            "classical cycle jump with elliptic Newton": jump,
        }

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
