from __future__ import annotations

import logging
from collections.abc import Iterator

import pytest
from cosolve.core import petsc_database
from cosolve.core.query import Query
from form_problems import heat, march, poisson
from petsc4py import PETSc


@pytest.fixture
def command_line() -> Iterator[object]:
    """What PETSc's database holds as if it had been given on the command line; taken out again afterwards."""
    names: list[str] = []

    def give(name: str, value: object = "") -> None:
        PETSc.Options().setValue(name, value)
        names.append(name)

    yield give
    petsc_database.remove(names)


def test_the_command_line_wins_over_code(command_line) -> None:
    command_line("wins_ksp_type", "cg")
    options = {"ksp_type": "gmres", "pc_type": "jacobi", "ksp_rtol": 1e-12}
    with heat(8, prefix="wins_", petsc_options=options) as solver:
        assert solver.newton.snes.getKSP().getType() == "cg"
        assert solver.newton.snes.getKSP().getPC().getType() == "jacobi"
        result = solver.step(Query(solver.initial_state(), 0.0, 0.01))
        assert result.converged
        assert result.linear_iterations > 0
    assert not PETSc.Options().hasName("wins_pc_type"), "what code put in is taken out again"
    assert PETSc.Options().hasName("wins_ksp_type"), "what the user put in stays"


def test_tolerances_of_the_command_line_replace_the_solvers(command_line) -> None:
    command_line("looser_snes_rtol", "1e-2")
    command_line("looser_snes_atol", "0.125")
    with heat(8, prefix="looser_", rtol=1e-10) as solver:
        assert solver.rtol == 1e-2
        assert solver.atol.tolist() == [0.125]


def test_unused_options_are_reported(command_line, caplog: pytest.LogCaptureFixture) -> None:
    command_line("unused_ksp_typo", "cg")
    with caplog.at_level(logging.WARNING), heat(4, prefix="unused_", petsc_options={"pc_typ": "lu"}) as solver:
        march(solver, 1, 0.01)
        assert solver.unused_options() == ["-unused_ksp_typo", "-unused_pc_typ"]
    assert "-unused_pc_typ" in caplog.text


def test_non_convergence_is_a_result_with_petscs_own_reason() -> None:
    solver, _ = poisson(8, 1, max_iterations=1)
    with solver:
        before = solver.u.x.array.copy()
        result = solver.solve()
        assert not result.converged
        assert result.reason == "SNES_DIVERGED_MAX_IT"
        assert result.residual > 1.0
        assert (solver.u.x.array == before).all(), "the state is rolled back"
    options = {"ksp_type": "cg", "pc_type": "none", "ksp_max_it": 1}
    with heat(16, prefix="linear_", petsc_options=options) as solver:
        result = solver.step(Query(solver.initial_state(), 0.0, 10.0))
        assert result.reason == "SNES_DIVERGED_LINEAR_SOLVE (KSP_DIVERGED_MAX_IT)"


def test_corrections_are_bounded() -> None:
    solver, _ = poisson(8, 1)
    with solver:
        query = Query(solver.initial_state())
        assert solver.correct(query, query.state, 2).iterations == 2
        assert not solver.correct(query, query.state, 2).converged
        exact = solver.solve()
        assert solver.correct(query, 0.999 * exact.value, 3).converged


def test_a_reused_jacobian_gives_the_same_answer_with_fewer_factorisations() -> None:
    with heat(8, prefix="fresh_") as fresh, heat(8, prefix="reused_", reuse_jacobian=True) as reused:
        a, b = march(fresh, 10, 0.01), march(reused, 10, 0.01)
        assert fresh.norm(a - b) <= 1e-8 * fresh.norm(a)
        assert fresh.newton.jacobians == 10
        assert reused.newton.jacobians == 1
        march(reused, 2, 0.1)
        assert reused.newton.jacobians == 2, "a new dt needs a new factorisation"


def test_close_is_idempotent_and_nothing_is_freed_by_garbage_collection() -> None:
    solver = heat(4, prefix="closed_")
    assert not hasattr(type(solver), "__del__")
    solver.close()
    solver.close()
