"""A small TS of a user's own into which a fault can be planted: `TS.solve` runs the loop."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from cosolve.core.arrays import Array
from cosolve.core.communicator import Communicator
from cosolve.core.coupling import Coupling, CouplingContext
from cosolve.core.query import Query
from cosolve.core.registry import Registry
from cosolve.core.solver import Solver
from cosolve.core.testing.faults import FaultRole
from cosolve.examples.brusselator.grid import Brusselator
from cosolve.examples.brusselator.options import BrusselatorOptions
from cosolve.examples.brusselator.problem import BrusselatorProblem, BrusselatorSolver
from cosolve.examples.faults.time_loop_case import STEPS, TimeLoopCase

DT = 0.05


class Reaction:
    """The user's own part of the function that PETSc calls, with the question that it belongs to.

    Args:
        grid: The user's grid, whose reaction is evaluated.
    """

    def __init__(self, grid: Brusselator) -> None:
        self._rates = grid.reaction

    def rates(self, query: Query, w: Array) -> Array:
        """Return the rates of u and v at the points of this rank; communicates nothing."""
        return self._rates(w)


class PetscTsCase(TimeLoopCase):
    """The Brusselator by `TS.solve`; what fails of the solver is the user's reaction, inside a callback of PETSc.

    Args:
        comm: Communicator of the run.
        role: Whose fault is planted; where it is the solver, nobody proposes.
    """

    def __init__(self, comm: Communicator, role: FaultRole) -> None:
        self._problem = BrusselatorProblem(BrusselatorOptions(cells=8, dt=DT, end_time=STEPS * DT))
        super().__init__(comm, role, self._make, dt=DT, promise=1e-6)

    def _make(self, comm: Communicator) -> Solver:
        solver = self._problem.make_solver(comm, {"rtol": 1e-9})
        reaction = Reaction(solver.grid)
        solver.grid.reaction = self._told(solver, reaction)  # type: ignore[method-assign]  # the fault's way in
        self._reaction = reaction
        return solver

    @staticmethod
    def _told(solver: BrusselatorSolver, reaction: Reaction) -> Any:
        def rates(w: Array) -> Array:
            query = Query(w.reshape(-1), solver.ts.getTime(), DT, solver.ts.getStepNumber())
            return reaction.rates(query, w)

        return rates

    def part(self, role: FaultRole) -> Any:
        """Return the part with that role; of the solver the user's reaction."""
        return self._reaction if role == "solver" else super().part(role)

    def _couple(self, context: CouplingContext) -> Coupling:
        before = [Query(self._solver.initial_state(), 0.0, DT)]

        def keep(t: float, value: Array, source: str) -> None:
            if source == "oracle":
                self._accepted.append((before[0], value.copy()))
            before[0] = Query(value.copy(), t, DT, before[0].step + 1)

        coupling = Registry.discover().load("coupling", "petsc_ts", where="fault matrix")
        made: Coupling = coupling(replace(context, problem=self._problem, on_commit=keep))
        return made


def small(comm: Communicator, role: FaultRole) -> PetscTsCase:
    """Return the case."""
    return PetscTsCase(comm, role)
