"""What `cosolve check-plugin` needs to know to make these objects."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
from cosolve.core.arrays import Array
from cosolve.core.coupling import Coupling, CouplingContext
from cosolve.core.entries import Entry
from cosolve.core.governor import Governor
from cosolve.core.prediction import Prediction
from cosolve.core.query import Query
from cosolve.core.registry import Registry
from cosolve.core.session import Session
from cosolve.core.solver import Solver
from cosolve.core.surrogate import Surrogate
from cosolve.core.testing import CouplingContract, VerifierContract, group
from cosolve.core.testing.contract import Contract
from cosolve.core.testing.coupling_contract import FaultySurrogate
from cosolve.core.testing.two_wells import TwoWells
from cosolve.couplings.branch_check import BranchCheck
from cosolve.couplings.cycle_jump_verifier import CycleSweeps
from cosolve.couplings.cycle_solver import CycleSettings, CycleSolver
from cosolve.couplings.cyclic import CyclicBlock, FloatArray
from cosolve.couplings.initial_guess import InitialGuess
from cosolve.couplings.options import InitialGuessOptions
from cosolve.couplings.small_cycles import PERIODS, Cycles, NearlyExact, blocks_of

_FORCES = (0.3, 0.1, 0.35, 0.2)
_TOLERANCE = 0.005


class _Forces:
    """The parameters of each solve, as a problem gives them."""

    @staticmethod
    def solve_parameters(index: int) -> dict[str, float]:
        """Return the force of solve `index`."""
        return {"force": _FORCES[index]}


class InitialGuessContract(CouplingContract):
    """Solves in double wells, each compared with the continuation: a lie may lead to another well."""

    def make(self, surrogates: list[Surrogate]) -> Coupling:
        """Return the coupling with these surrogates."""
        stepping = Registry.discover().load("solver", "load_stepping", where="check-plugin")
        solver = stepping(TwoWells(self.comm), _grown)
        session = Session(solver, None, mode="initial_guess", governor=Governor("off"))
        problem: Any = _Forces()
        settings = InitialGuessOptions(solves=len(_FORCES), audit_share=1.0)
        return InitialGuess(CouplingContext(session, solver, surrogates, None, problem=problem, settings=settings))


def _grown(query: Query, share: float) -> Query:
    return replace(query, parameters={"force": share * float(query.parameters["force"])})


class _FaultySlow(NearlyExact):
    """Its log-rate goes wrong as a given function says."""

    def __init__(self, propose: Callable[[Query], Array]) -> None:
        super().__init__()
        self._propose = propose

    def rate(self, block: CyclicBlock, tau: float, coefficients: FloatArray) -> FloatArray:
        """Return what the function makes of the right log-rate."""
        return self._propose(Query(super().rate(block, tau, coefficients)))


def _small(contract: Contract) -> CycleSolver:
    cyclic = Cycles(contract.comm, contract.without_values)
    settings = CycleSettings(tolerance=_TOLERANCE, classical_factor=0.3)
    return CycleSolver(cyclic, cyclic.start(), blocks_of(), settings)


class CycleJumpContract(CouplingContract):
    """The small cyclic problem; two answers within its tolerance may differ by it, their slow states by more."""

    rtol = 0.02

    def make(self, surrogates: list[Surrogate]) -> Coupling:
        """Return the coupling with slow surrogates that fail as these do."""
        entry = self.entry
        assert isinstance(entry, Entry)
        solver, judge = _small(self), CycleSweeps()
        slow = [_FaultySlow(one.propose) if isinstance(one, FaultySurrogate) else one for one in surrogates]
        session = Session(solver, judge, governor=Governor("off"))
        coupling: Coupling = entry.load()(CouplingContext(session, solver, slow, judge))
        return coupling


class BranchCheckContract(VerifierContract):
    """A solution in the left well is stable, one on the hill between the wells is not."""

    def make(self) -> BranchCheck:
        """Return one that looks at the Jacobian."""
        return BranchCheck()

    def solver(self) -> Solver:
        """Return the double wells."""
        return TwoWells(self.comm)

    def good(self, solver: Solver) -> tuple[Query, Prediction]:
        """Return the solution in the left well."""
        query = Query(solver.initial_state(), 0.0, 0.1, parameters={"force": 0.3})
        return query, Prediction(solver.step(query).value.copy())

    def bad(self, solver: Solver) -> tuple[Query, Prediction]:
        """Return the top of the hill."""
        query, right = self.good(solver)
        return query, Prediction(np.zeros_like(right.value))

    @group("faults")
    def test_whatever_a_proposal_does_wrong_the_run_ends_well(self) -> None:
        """Left out: it judges what has converged, not what is proposed."""
        self.leave_out("it judges solutions that have converged, never a proposal on its own")


class CycleSweepsContract(VerifierContract):
    """The small cyclic problem."""

    may_accept = False
    fault_rtol = _TOLERANCE
    calls = 40

    def make(self) -> CycleSweeps:
        """Return the judge."""
        return CycleSweeps()

    def solver(self) -> Solver:
        """Return the cycles."""
        return _small(self)

    def good(self, solver: Solver) -> tuple[Query, Prediction]:
        """Return what a nearly exact slow surrogate says."""
        return self._said(solver, 0.0)

    def bad(self, solver: Solver) -> tuple[Query, Prediction]:
        """Return what one says whose rate is far off."""
        return self._said(solver, 3.0)

    @staticmethod
    def _said(solver: Solver, error: float) -> tuple[Query, Prediction]:
        assert isinstance(solver, CycleSolver)
        query = Query(solver.initial_state(), 0.0, float(PERIODS))
        surrogate = NearlyExact(error)
        surrogate.bind(solver)
        solver.begin(query)
        return query, surrogate.predict(query)
