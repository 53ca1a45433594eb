from __future__ import annotations

import numpy as np
import pytest

pytest.importorskip("dolfinx", reason="FEniCSx is not installed here")

from cosolve.core.query import Query
from cosolve.couplings.time_loop import time_loop
from cosolve.examples.heat.options import RANGES, HeatOptions, draw
from cosolve.examples.heat.problem import HeatProblem
from mpi4py import MPI


def test_a_training_run_is_what_the_classical_loop_computes() -> None:
    problem = HeatProblem(HeatOptions(cells=8, end_time=0.2))
    parameters = problem.draw_training_run(0, 1)
    run = problem.training_run(parameters)
    assert run.states.shape == (11, 81)
    assert run.parameters == parameters
    same = HeatProblem(problem.options.model_copy(update=dict(parameters)))
    with same.make_solver(MPI.COMM_SELF, {"prefix": "heat_test_"}) as solver:
        result = time_loop(solver, t_end=0.2, dt=0.02, mode="off", parameters=same.parameters)
        assert solver.norm(result.value - run.states[-1]) <= 1e-3 * solver.norm(run.states[-1])
        assert solver.quantities(result.value)["mean"] > 0.0


def test_parameters_of_a_query_reach_the_form() -> None:
    problem = HeatProblem(HeatOptions(cells=4))
    with problem.make_solver(MPI.COMM_SELF, {"prefix": "heat_parameters_"}) as solver:
        weak, strong = (
            solver.step(Query(solver.initial_state(), 0.0, 0.02, parameters={**problem.parameters, "power_3": power}))
            for power in (2.0, 12.0)
        )
    # Ten units more power for 0.02 units of time, less what flows away.
    assert 0.1 < np.max(strong.value - weak.value) < 0.2


def test_parameters_are_drawn_by_seed_inside_their_ranges() -> None:
    drawn = draw(7, 3)
    assert drawn == draw(7, 3) != draw(7, 4)
    assert all(low <= drawn[name] <= high for name, (low, high) in RANGES.items())
    assert HeatOptions(seed=7, power_1=3.0).parameters()["power_1"] == 3.0
    training = HeatProblem().draw_training_run(0, 0)
    assert training != draw(0, 0), "training runs belong to another family"
