"""What `cosolve check-plugin` needs to know to make the surrogate of this example: random modes on a coarse mesh."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import torch
from cosolve.core.domain import Domain
from cosolve.core.query import Query
from cosolve.core.solver import Solver
from cosolve.core.surrogate import Surrogate
from cosolve.core.testing import StoredSurrogateContract, inputs
from cosolve.examples.cylinder.options import STANDARD, CylinderOptions
from cosolve.examples.cylinder.problem import CylinderProblem
from cosolve.examples.cylinder.surrogate import CylinderSurrogate, nodes_of
from cosolve.plugins.pytorch.coefficient_network import CoefficientNetwork
from mpi4py import MPI

_SIDE, _MODES, _DT = 4, 2, 0.005


class CylinderSurrogateContract(StoredSurrogateContract):
    """An untrained one."""

    any_size = False
    rank_rtol = 1e-5
    calls = 60

    def make(self) -> CylinderSurrogate:
        """Return modes and weights that are drawn."""
        torch.manual_seed(0)
        nodes, pressure_nodes = nodes_of(_SIDE)
        size = 2 * (len(nodes) + len(pressure_nodes))
        modes = 1e-4 * np.random.default_rng(0).standard_normal((1 + _MODES, size))
        network = CoefficientNetwork(2 + 2 * _MODES, _MODES, 4, 1, 1)
        return CylinderSurrogate(_SIDE, modes, np.ones(3), network)

    def solver(self) -> Solver:
        """Return the flow on a coarse mesh."""
        problem = CylinderProblem(CylinderOptions(side=_SIDE, dt=_DT))
        return problem.make_solver(MPI.COMM_SELF if self.only_this_rank else MPI.COMM_WORLD, {"rtol": 1e-9})

    def first_question(self, solver: Solver) -> Query:
        """Return the first step of the benchmark's inflow."""
        return Query(solver.initial_state(), 0.0, _DT, parameters=STANDARD)

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
