"""Solves from proposed starts into which a fault can be planted: the branch check is the verifier."""

from __future__ import annotations

from typing import Any

import numpy as np
from cosolve.core.communicator import Communicator
from cosolve.core.coupling import CouplingContext
from cosolve.core.governor import Governor
from cosolve.core.ledger import Ledger
from cosolve.core.query import Query
from cosolve.core.registry import Registry
from cosolve.core.result import Result
from cosolve.core.session import Session
from cosolve.core.testing.fault_matrix import CellSettings, FaultCase
from cosolve.core.testing.faults import FaultRole
from cosolve.core.testing.faulty_parts import OracleSurrogate
from cosolve.core.testing.two_wells import TwoWells, left
from cosolve.couplings.initial_guess import InitialGuess
from cosolve.couplings.options import InitialGuessOptions

SOLVES, FORCES = 4, (0.3, 0.1, 0.35, 0.2)
_PROMISE = 1e-8


class _Forces:
    """The parameters of each solve, as a problem gives them."""

    @staticmethod
    def solve_parameters(index: int) -> dict[str, float]:
        """Return the force of solve `index`."""
        return {"force": FORCES[index]}


class InitialGuessCase(FaultCase):
    """Solves in a double well whose starts are good, until a fault is planted; the fallback follows the force.

    Args:
        comm: Communicator of the run.
        role: Whose fault is planted; where it is the solver, nobody proposes.
    """

    def __init__(self, comm: Communicator, role: FaultRole) -> None:
        self._comm = comm
        self._mode: Any = "off" if role == "solver" else "initial_guess"
        self._solver = TwoWells(comm)
        registry = Registry.discover()
        path = registry.load("solver", "load_stepping", where="fault matrix")
        self._whole = path(self._solver, _grown)
        self._oracle = OracleSurrogate(lambda query: left(self._solver, FORCES[query.step]) + 1e-3, comm)
        self._branch = registry.load("verifier", "branch", where="fault matrix")()

    def part(self, role: FaultRole) -> Any:
        """Return the part with that role."""
        return {"solver": self._whole, "surrogate": self._oracle, "verifier": self._branch}[role]

    def run(self, settings: CellSettings) -> Result:
        """Solve all (collective)."""
        ledger = Ledger(settings.directory, self._comm)
        session = Session(
            self._whole,
            None,
            mode=self._mode,
            governor=Governor("off"),
            ledger=ledger,
            deadline_seconds=settings.deadline_seconds,
            solver_deadline_seconds=settings.solver_deadline_seconds,
            heartbeat=settings.heartbeat,
        )
        problem: Any = _Forces()
        options = InitialGuessOptions(solves=SOLVES)
        context = CouplingContext(
            session,
            self._whole,
            [self._oracle],
            None,
            problem=problem,
            directory=settings.directory,
            settings=options,
            checkpoint_every=1,
        )
        coupling = InitialGuess(context)
        session.branch = self._branch
        try:
            return coupling.run()
        finally:
            session.close()
            ledger.close()

    def error(self, result: Result) -> float:
        """Return the distance from the solution in the left well over what is promised (collective)."""
        away = float(np.max(np.abs(result.value - left(self._solver, FORCES[-1])), initial=0.0))
        return float(max(self._comm.allgather(away)) / _PROMISE)

    def close(self) -> None:
        """Free the solver."""
        self._whole.close()


def _grown(query: Query, share: float) -> Query:
    return Query(
        query.state,
        step=query.step,
        transaction="solve",
        parameters={"force": share * float(query.parameters["force"])},
        context=query.context,
    )


def small(comm: Communicator, role: FaultRole) -> InitialGuessCase:
    """Return the case on the double well."""
    return InitialGuessCase(comm, role)
