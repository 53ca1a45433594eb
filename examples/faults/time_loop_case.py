"""A small time loop into which a fault can be planted: on a solver in numpy, and on a form in FEniCSx."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from cosolve.core.arrays import Array
from cosolve.core.communicator import Communicator
from cosolve.core.coupling import Coupling, CouplingContext
from cosolve.core.governor import Governor
from cosolve.core.ledger import Ledger
from cosolve.core.loop import LoopState
from cosolve.core.query import Query
from cosolve.core.registry import Registry
from cosolve.core.result import Result
from cosolve.core.session import Session
from cosolve.core.solver import Solver
from cosolve.core.testing.fault_matrix import CellSettings, FaultCase
from cosolve.core.testing.faults import FaultRole
from cosolve.core.testing.faulty_parts import OracleSurrogate
from cosolve.core.testing.mean_field import MeanFieldSolver
from cosolve.couplings.time_loop import TimeLoop

STEPS = 6
_ROUNDING = 1.0 + 1e-6


class TimeLoopCase(FaultCase):
    """A time loop whose surrogate knows the answer, until a fault is planted into it.

    Args:
        comm: Communicator of the run.
        role: Whose fault is planted; where it is the solver, nobody proposes.
        make_solver: Makes the solver of the classical answer and of the run with the fault.
        dt: Length of a step.
        promise: What the answer may be off, relative to its largest value.
    """

    def __init__(
        self,
        comm: Communicator,
        role: FaultRole,
        make_solver: Callable[[Communicator], Solver],
        *,
        dt: float,
        promise: float,
    ) -> None:
        self._comm, self._dt, self._promise = comm, dt, promise
        self._mode: Any = "off" if role == "solver" else "replace"
        # One solver for both: two meshes of one domain may be divided among the ranks in two ways.
        self._solver = make_solver(comm)
        states = [self._solver.initial_state()]
        for step in range(STEPS):
            states.append(self._solver.step(Query(states[-1], dt * step, dt, step)).value.copy())
        self._answer = states[-1]
        self._parts: dict[FaultRole, Any] = {
            "solver": self._solver,
            "surrogate": OracleSurrogate(lambda query: states[query.step + 1].copy(), comm),
            "verifier": Registry.discover().load("verifier", "residual", where="fault matrix")(),
        }
        self._accepted: list[tuple[Query, Array]] = []

    def part(self, role: FaultRole) -> Any:
        """Return the part with that role."""
        return self._parts[role]

    def run(self, settings: CellSettings) -> Result:
        """March all steps (collective)."""
        solver, verifier, surrogate = self._solver, self._parts["verifier"], self._parts["surrogate"]
        self._accepted.clear()
        ledger = Ledger(settings.directory, self._comm)
        session = Session(
            solver,
            verifier,
            mode=self._mode,
            governor=Governor("off"),
            ledger=ledger,
            deadline_seconds=settings.deadline_seconds,
            solver_deadline_seconds=settings.solver_deadline_seconds,
            smallest_step_fraction=settings.smallest_step_fraction,
            heartbeat=settings.heartbeat,
        )
        context = CouplingContext(
            session, solver, [surrogate], verifier, directory=settings.directory, checkpoint_every=1
        )
        try:
            return self._couple(context).run()
        finally:
            session.close()
            ledger.close()

    def _couple(self, context: CouplingContext) -> Coupling:
        """Return the coupling, which notes what it accepted."""
        return TimeLoop(context, (0.0, STEPS * self._dt, self._dt), on_step=self._keep)

    def _keep(self, state: LoopState) -> None:
        outcome = state.outcome
        if outcome is not None and outcome.solve is None:
            before = state.history[0]
            query = Query(before.state.copy(), before.t, self._dt, state.step - 1)
            self._accepted.append((query, outcome.value.copy()))

    def error(self, result: Result) -> float:
        """Return the largest difference from the classical run, relative to what is promised (collective)."""
        difference = float(np.max(np.abs(result.value - self._answer), initial=0.0))
        scale = float(np.max(np.abs(self._answer), initial=0.0))
        everyone = self._comm.allgather((difference, scale))
        return float(max(one for one, _ in everyone) / (self._promise * max(one for _, one in everyone)))

    def bad_answers(self) -> int:
        """Return how many accepted states have a residual above the solver's tolerance, measured anew (collective)."""
        return sum(not self._solver.measure(query, value).ratio <= _ROUNDING for query, value in self._accepted)

    def close(self) -> None:
        """Free the solver."""
        self._solver.close()


def small(comm: Communicator, role: FaultRole) -> TimeLoopCase:
    """Return the case on the solver in numpy."""
    return TimeLoopCase(comm, role, lambda world: MeanFieldSolver(comm=world), dt=0.1, promise=1e-9)


def heat(comm: Communicator, role: FaultRole) -> TimeLoopCase:
    """Return the case on nonlinear heat conduction in FEniCSx, with a direct solver."""
    # Imported here: the matrix is listed where there is no dolfinx.
    from cosolve.examples.heat.options import HeatOptions
    from cosolve.examples.heat.problem import HeatProblem
    from mpi4py import MPI

    problem = HeatProblem(HeatOptions(cells=8, dt=0.05, power_1=4.0, power_2=6.0, power_3=3.0, frequency=1.0))
    world: Any = MPI.COMM_SELF if comm.Get_size() == 1 else comm

    def make(_: Communicator) -> Solver:
        return problem.make_solver(world, {"rtol": 1e-9, "prefix": "fault_", "reuse_jacobian": False})

    return TimeLoopCase(comm, role, make, dt=0.05, promise=1e-6)
