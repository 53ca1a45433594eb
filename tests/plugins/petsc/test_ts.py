from __future__ import annotations

from typing import Any

import cosolve
import numpy as np
import pytest
from cosolve.core.errors import BadInputError, RankFaultError
from cosolve.core.governor import Governor
from cosolve.core.query import Query
from cosolve.core.solver import Solver
from cosolve.core.testing.solver_contract import SolverContract
from cosolve.plugins.baselines.extrapolation import QuadraticExtrapolation
from cosolve.plugins.petsc import TsSolver
from petsc_problems import Rod


class TestContract(SolverContract):
    def make(self) -> Solver:
        return TsSolver(Rod().ts(), rtol=1e-8)

    def query(self, solver: Solver) -> Query:
        return Query(solver.initial_state(), 0.0, 0.05)


class TestContractOfCrankNicolson(TestContract):
    def make(self) -> Solver:
        return TsSolver(Rod().ts("cn"), rtol=1e-8)


@pytest.mark.parametrize("kind", ["beuler", "cn"])
def test_the_residual_is_that_of_petscs_own_step(kind: str) -> None:
    rod = Rod()
    with TsSolver(rod.ts(kind), rtol=1e-6) as solver:
        query = Query(solver.initial_state(), 0.2, 0.05)
        norms = []
        solver.snes.setMonitor(lambda snes, its, norm: norms.append(norm))
        start = solver.initial_state() * 1.01
        result = solver.step(query, start)
        solver.snes.cancelMonitor()
        assert solver.measure(query, start).norms["residual"] == pytest.approx(norms[0], rel=1e-12)
        assert solver.measure(query, result.value).norms["residual"] == pytest.approx(norms[-1], rel=1e-6)
        assert result.residual <= 1.0
        assert np.linalg.norm(solver.residual(query, start)) == pytest.approx(norms[0], rel=1e-12)


def test_rtol_is_about_the_relative_error_of_a_step() -> None:
    rod = Rod()
    with TsSolver(rod.ts(), rtol=1e-3) as loose, TsSolver(Rod().ts(prefix="tight_"), rtol=1e-12) as tight:
        query = Query(loose.initial_state(), 0.0, 0.05)
        difference = loose.step(query).value - tight.step(query).value
        assert np.linalg.norm(difference) <= 1e-3 * np.linalg.norm(query.state)


def test_a_time_loop_of_ours_runs_a_users_ts() -> None:
    with TsSolver(Rod().ts("cn"), rtol=1e-3) as solver:
        classical = cosolve.time_loop(solver, t_end=1.0, dt=0.01, mode="off")
        hybrid = cosolve.time_loop(solver, QuadraticExtrapolation(), t_end=1.0, dt=0.01, governor=Governor("off"))
        assert hybrid.stats["accepted"] > 10
        assert solver.norm(hybrid.value - classical.value) <= 2e-2 * solver.norm(classical.value)


@pytest.mark.parametrize("kind", ["bdf", "arkimex", "rk"])
def test_a_method_whose_step_is_not_one_equation_is_refused_by_name(kind: str) -> None:
    with TsSolver(Rod().ts(kind)) as solver, pytest.raises(BadInputError, match=f"'{kind}'.*petsc_ts"):
        cosolve.time_loop(solver, t_end=1.0, dt=0.1, mode="off")


@pytest.mark.parametrize("where", ["before", "before_jacobian"])
def test_a_fault_in_a_callback_is_raised_once_outside(where: str) -> None:
    rod = Rod()
    with TsSolver(rod.ts()) as solver:
        query = Query(solver.initial_state(), 0.0, 0.05, step=2)
        solver.tolerance(query)
        setattr(rod, where, lambda: 1 / 0)
        with pytest.raises(RankFaultError, match="ZeroDivisionError"):
            solver.step(query)
        setattr(rod, where, lambda: None)
        assert solver.step(query).converged


def test_petscs_reason_is_in_the_result() -> None:
    with TsSolver(Rod().ts()) as solver:
        result: Any = solver.correct(Query(solver.initial_state(), 0.0, 5.0), solver.initial_state() + 9.0, 1)
        assert not result.converged
        assert "SNES_DIVERGED_MAX_IT" in result.reason
        assert "TS_DIVERGED_NONLINEAR_SOLVE" in result.reason


def test_a_step_that_petsc_never_tests_is_measured() -> None:
    """KSPONLY solves once and calls that converged, however large the residual of a nonlinear step is left."""
    ts = Rod().ts()
    ts.getSNES().setType("ksponly")
    with TsSolver(ts, rtol=1e-10) as solver:
        result = solver.step(Query(solver.initial_state(), 0.0, 0.5))
    assert not result.converged
    assert result.residual > 1.0
    assert "times the tolerance" in result.reason
