"""The bare script as a registered rival: the same case, run by plain dolfinx and PETSc."""

from __future__ import annotations

import time
from typing import ClassVar

import numpy as np
from cosolve.core.coupling import Coupling, CouplingContext
from cosolve.core.errors import BadInputError
from cosolve.core.query import Transaction
from cosolve.core.result import Result, Status
from cosolve.couplings.cycle_solver import CycleSolver
from cosolve.examples.curing.bare import BareStepping
from cosolve.examples.curing.cyclic_solver import CuringSolver
from cosolve.examples.curing.process import Schedule


class BareCuring(Coupling):
    """Runs the problem's schedule by `BareStepping`, with the solver's `stepping_steps`; cosolve only writes its end.

    Args:
        context: As for `cycle_jump`; proposers and verifier are not asked.

    Raises:
        BadInputError: The problem is not `curing`, or its blocks differ in length.
    """

    name: ClassVar[str] = "bare_stepping"
    transaction: ClassVar[Transaction] = "run"

    def __init__(self, context: CouplingContext) -> None:
        super().__init__(context)
        solver, schedule = context.solver, getattr(context.problem, "schedule", None)
        if (
            not isinstance(solver, CycleSolver)
            or not isinstance(solver.cyclic, CuringSolver)
            or not isinstance(schedule, Schedule)
        ):
            raise BadInputError('bare_stepping runs the problem "curing"; use full_stepping for other cyclic ones')
        if len({block.periods for block in schedule.blocks}) != 1:
            raise BadInputError("bare_stepping takes blocks of one length; give problem.periods equal numbers")
        self.solver, self.cyclic, self.schedule = solver, solver.cyclic, schedule

    def run(self) -> Result:
        """Run all blocks (collective)."""
        discretisation, blocks = self.cyclic.discretisation, self.schedule.blocks
        bare = BareStepping(discretisation.n, self.solver.settings.stepping_steps, discretisation.comm)
        start = time.process_time()
        loads = [(block.load.power, block.load.radius, block.load.centre_x) for block in blocks]
        alpha = bare.run(self.schedule.bump.values(bare.x), loads, blocks[0].periods)[-1]
        seconds = time.process_time() - start
        value = self.solver.flat(-np.log1p(-alpha), bare.theta.array.copy())
        if self.context.on_commit is not None:
            self.context.on_commit(float(self.schedule.periods), value, "solver")
        steps = bare.steps * self.schedule.periods
        return Result(
            value,
            Status.SUCCESS if np.isfinite(self.solver.norm(value)) else Status.NOT_CONVERGED,
            stats={"steps": 1, "time_steps": steps, "accepted": 0, "judged": 0, "seconds": {"solve": seconds}},
            t=float(self.schedule.periods),
            directory=self.context.directory,
        )
