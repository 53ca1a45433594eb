"""What `cosolve check-plugin` needs to know to make the parts of this example: a coarse mesh and short blocks."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any, Final

import numpy as np
from cosolve.core.coupling import Coupling, CouplingContext
from cosolve.core.domain import Domain
from cosolve.core.governor import Governor
from cosolve.core.model_file import load_surrogate
from cosolve.core.problem import Problem
from cosolve.core.query import Query
from cosolve.core.registry import Registry
from cosolve.core.session import Session
from cosolve.core.solver import Solver
from cosolve.core.surrogate import StoredSurrogate, Surrogate
from cosolve.core.testing import Contract, CouplingContract, ProblemContract, StoredSurrogateContract, inputs
from cosolve.couplings.cycle_jump_verifier import CycleSweeps
from cosolve.examples.curing.options import ComparedOptions, CuringOptions
from cosolve.examples.curing.problem import CuringProblem
from mpi4py import MPI

MODEL: Final = Path(__file__).with_name("curing.safetensors")
_PERIODS: Final = (14, 14, 14, 14)


def _problem() -> CuringProblem:
    return CuringProblem(CuringOptions(cells=8, periods=_PERIODS))


def _solver(contract: Contract) -> Any:
    return _problem().make_solver(MPI.COMM_SELF if contract.only_this_rank else MPI.COMM_WORLD, {})


class CuringContract(ProblemContract):
    """Three short blocks; a block has no equation of its own, and nothing to measure by."""

    measured = False
    steps = len(_PERIODS)
    rank_rtol = 1e-6
    calls = 12

    def problem(self) -> Problem:
        """Return the problem."""
        return _problem()

    def make(self) -> Solver:
        """Return its solver."""
        solver: Solver = _solver(self)
        return solver


class CuringSurrogateContract(StoredSurrogateContract):
    """The trained model of this example."""

    any_size = False
    steps = len(_PERIODS)
    rank_rtol = 1e-6
    calls = 40

    def make(self) -> StoredSurrogate:
        """Return the model."""
        return load_surrogate(MODEL, Registry.discover())

    def solver(self) -> Solver:
        """Return the problem's solver."""
        solver: Solver = _solver(self)
        return solver

    def first_question(self, solver: Solver) -> Query:
        """Return the question of the first block."""
        return Query(solver.initial_state(), 0.0, float(_PERIODS[0]), parameters=_problem().parameters)

    def domain(self, surrogate: Surrogate, query: Query) -> Domain:
        """Return what the states of a run are like."""
        return replace(inputs.around(query), dtypes=surrogate.domain.dtypes)

    def test_file_round_trip_gives_the_same_answer(self) -> None:
        """Bound before it is asked: a file holds no mesh."""
        surrogate, query, solver = self.make(), self.query(), self.solver()
        again = type(surrogate).from_file(surrogate.tensors(), surrogate.settings())
        answers = []
        for one in (surrogate, again):
            one.bind(solver)
            answers.append(one.predict(query).value)
        solver.close()
        assert np.array_equal(answers[0], answers[1]), "its file gives another answer"


class _CuringCouplingContract(CouplingContract):
    rtol = 0.02  # two answers within the tolerance of the estimate
    rank_rtol = 1e-5
    settings: Any = None

    def make(self, surrogates: list[Surrogate]) -> Coupling:
        """Return the coupling with these surrogates."""
        assert self.entry is not None
        solver, judge = _solver(self), CycleSweeps()
        session = Session(solver, judge, governor=Governor("off"))
        context = CouplingContext(session, solver, surrogates, judge, problem=_problem(), settings=self.settings)
        coupling: Coupling = self.entry.load()(context)
        return coupling


class ComparedCycleJumpContract(_CuringCouplingContract):
    """The hybrid beside its rivals, which are run with few steps and once."""

    settings = ComparedOptions(steps=(8, 12), classical_steps=8, repeats=1)


class BareCuringContract(_CuringCouplingContract):
    """Plain dolfinx and PETSc."""
