from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from cosolve.core.errors import NotConvergedError, RankFaultError
from cosolve.core.query import Query
from cosolve.core.solver import Solver
from cosolve.core.testing.solver_contract import SolverContract
from cosolve.plugins.petsc import SnesSolver
from petsc_problems import Rod


class TestContract(SolverContract):
    def make(self) -> Solver:
        rod = Rod()
        return SnesSolver(rod.snes(), rod.u)

    def query(self, solver: Solver) -> Query:
        return Query(solver.initial_state(), transaction="solve")


def test_a_users_snes_takes_few_lines_and_the_tolerance_is_absolute() -> None:
    rod = Rod()
    with SnesSolver(rod.snes(), rod.u, rtol=1e-6) as solver:
        cold = solver.solve()
        query = Query(solver.initial_state(), transaction="solve")
        reference = np.linalg.norm(solver.residual(query, np.zeros(solver.n_owned)))
        assert cold.notes["tolerance"] == pytest.approx(1e-6 * reference)
        near = solver.solve(cold.value * (1.0 + 1e-5))
        assert near.notes["tolerance"] == cold.notes["tolerance"]
        assert near.iterations < cold.iterations, "PETSc's own rtol would punish the good start"
        assert solver.solve(cold.value).iterations == 0
        assert solver.coordinates().shape == (solver.n_owned, 1)


def test_a_residual_that_was_measured_is_not_evaluated_again() -> None:
    rod = Rod()
    with SnesSolver(rod.snes(), rod.u, rtol=1e-6) as solver:
        query = Query(solver.initial_state(), transaction="solve")
        start = solver.initial_state()
        solver.step(query, start)
        before = rod.evaluations
        alone = solver.step(query, start.copy())
        without = rod.evaluations - before
        solver.measure(query, start)
        before = rod.evaluations
        after = solver.step(query, start)
        assert rod.evaluations - before == without - 1
        np.testing.assert_array_equal(after.value, alone.value)


def test_the_users_own_guess_does_not_overwrite_a_start_and_comes_back() -> None:
    rod = Rod()
    snes = rod.snes()
    called = []

    def guess(snes: Any, x: Any) -> None:
        called.append(1)
        x.set(7.0)

    snes.setInitialGuess(guess)
    with SnesSolver(snes, rod.u) as solver:
        exact = solver.solve().value
        assert solver.solve(exact).iterations == 0
        assert not called
    snes.solve(None, rod.u)
    assert called


@pytest.mark.parametrize("flag", ["", "steady_snes_error_if_not_converged"])
def test_non_convergence_is_a_typed_error_with_petscs_own_reason(options: Any, flag: str) -> None:
    options("steady_snes_max_it", 1)
    if flag:
        options(flag)
    rod = Rod()
    with SnesSolver(rod.snes(), rod.u) as solver:
        with pytest.raises(NotConvergedError) as caught:
            solver.solve(5.0 + solver.initial_state())
        assert caught.value.reason.startswith("SNES_DIVERGED_MAX_IT")


def test_a_diverged_linear_solve_names_the_ksps_reason(options: Any) -> None:
    for name, value in (("ksp_type", "gmres"), ("pc_type", "none"), ("ksp_max_it", 1)):
        options(f"steady_{name}", value)
    rod = Rod()
    with SnesSolver(rod.snes(), rod.u) as solver:
        reason = solver.solve(raise_on_failure=False).reason
        assert reason == "SNES_DIVERGED_LINEAR_SOLVE (KSP_DIVERGED_MAX_IT)"


@pytest.mark.parametrize("where", ["function", "jacobian"])
def test_a_fault_in_a_callback_is_raised_once_outside_and_rolls_back(where: str) -> None:
    rod = Rod()

    def fail() -> None:
        raise ValueError("planted")

    with SnesSolver(rod.snes(), rod.u) as solver:
        state = solver.initial_state()
        solver.tolerance(Query(state, transaction="solve"))
        setattr(rod, "before" if where == "function" else "before_jacobian", fail)
        with pytest.raises(RankFaultError, match="ValueError: planted"):
            solver.step(Query(state, transaction="solve", step=3))
        rod.before = rod.before_jacobian = lambda: None
        assert solver.solve().converged, "the solver works again"
        np.testing.assert_array_equal(state, solver.initial_state())


def test_callbacks_and_tolerances_are_given_back() -> None:
    rod = Rod()
    snes = rod.snes()
    before = snes.getFunction()[1][0], snes.getJacobian()[2][0], snes.getTolerances()
    with SnesSolver(snes, rod.u, rtol=1e-3) as solver:
        assert snes.getFunction()[1][0] is not before[0]
        solver.solve()
    assert (snes.getFunction()[1][0], snes.getJacobian()[2][0], snes.getTolerances()) == before
