from __future__ import annotations

import numpy as np
import pytest
import ufl
from cosolve.core.query import Query, Snapshot
from cosolve.plugins.fenicsx import FormSolver, compat
from dolfinx import fem
from form_problems import error, heat, march, poisson
from mpi4py import MPI


@pytest.mark.parametrize(("degree", "order"), [(1, 2.0), (2, 3.0)])
def test_a_manufactured_solution_converges_with_the_order_of_the_elements(degree: int, order: float) -> None:
    errors = []
    for n in (8, 16):
        solver, exact = poisson(n, degree)
        with solver:
            result = solver.solve()
            assert result.converged, result.reason
            errors.append(error(solver, result.value, exact))
    assert np.log2(errors[0] / errors[1]) == pytest.approx(order, abs=0.15)


@pytest.mark.parametrize(("theta", "order"), [(1.0, 1.0), (0.5, 2.0)])
def test_time_stepping_converges_with_the_order_of_the_users_form(theta: float, order: float) -> None:
    # Against the exact solution of the semi-discrete problem: an eigenvector of the mesh decays by a known factor.
    with heat(8, theta=theta) as solver:
        fine = march(solver, 512, 0.1 / 512)
        coarse, middle = march(solver, 8, 0.1 / 8), march(solver, 16, 0.1 / 16)
        errors = [solver.norm(value - fine) for value in (coarse, middle)]
    assert np.log2(errors[0] / errors[1]) == pytest.approx(order, abs=0.2)


def test_two_previous_states_give_a_second_order_multistep_method() -> None:
    domain = compat.create_unit_square(MPI.COMM_SELF, 2, 2)
    space = compat.function_space(domain, ("Lagrange", 1))
    u, u_1, u_2, v = (*(fem.Function(space) for _ in range(3)), ufl.TestFunction(space))
    dt = fem.Constant(domain, 0.1)
    form = ((1.5 * u - 2.0 * u_1 + 0.5 * u_2) / dt + u) * v * ufl.dx
    u_1.x.array[:] = 1.0
    errors = []
    with FormSolver(form, u, previous=[u_1, u_2], dt=dt, rtol=1e-12, prefix="bdf2_") as solver:
        for steps in (20, 40):
            h = 1.0 / steps
            before, state = np.exp(h) * np.ones(solver.n_owned), np.ones(solver.n_owned)
            for step in range(steps):
                t = step * h
                result = solver.step(Query(state, t, h, step=step, history=(Snapshot(t - h, before),)))
                before, state = state, result.value
            errors.append(abs(state[0] - np.exp(-1.0)))
        uneven = solver.step(Query(state, 1.0, 0.01, history=(Snapshot(0.9, before),)))
    assert np.log2(errors[0] / errors[1]) == pytest.approx(2.0, abs=0.1)
    assert not uneven.converged
    assert "0.1 apart, with a step of 0.01" in uneven.reason
