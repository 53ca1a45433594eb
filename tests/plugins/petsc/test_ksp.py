from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from cosolve.core.errors import BadInputError, NotConvergedError
from cosolve.core.query import Query
from cosolve.core.solver import Solver
from cosolve.core.testing.solver_contract import SolverContract
from cosolve.plugins.petsc import KspSolver
from petsc4py import PETSc
from petsc_problems import poisson, use_own_operators


class TestContract(SolverContract):
    def make(self) -> Solver:
        return KspSolver(*poisson())

    def query(self, solver: Solver) -> Query:
        return Query(solver.initial_state(), transaction="solve")


@pytest.mark.parametrize("prefix", ["mine_", "", None])
def test_the_users_prefix_is_kept_even_when_it_is_empty(prefix: str | None) -> None:
    ksp, b = poisson(prefix=prefix)
    with KspSolver(ksp, b) as solver:
        assert solver.prefix == (prefix or "")
        assert solver.solve().converged
    assert (ksp.getOptionsPrefix() or "") == (prefix or "")


def test_options_are_always_read_and_the_options_wins(options: Any) -> None:
    options("poisson_ksp_type", "minres")
    options("poisson_ksp_rtol", "1e-3")
    options("poisson_ksp_typo", "x")
    ksp, b = poisson()
    with KspSolver(ksp, b, rtol=1e-10) as solver:
        assert ksp.getType() == "minres"
        result = solver.solve()
        assert result.notes["tolerance"] == pytest.approx(1e-3 * b.norm())
        assert solver.unused_options() == ["-poisson_ksp_typo"]
    options("poisson_ksp_type", "cgg")
    with pytest.raises(BadInputError, match="poisson_ksp_type"):
        KspSolver(*poisson())


@pytest.mark.parametrize(("kind", "side"), [("cg", ""), ("gmres", ""), ("gmres", "left"), ("minres", ""), ("bcgs", "")])
def test_the_unpreconditioned_residual_meets_the_tolerance_whatever_the_type_offers(
    options: Any, kind: str, side: str
) -> None:
    options("poisson_ksp_type", kind)
    if side:
        options("poisson_ksp_pc_side", side)
    ksp, b = poisson()
    with KspSolver(ksp, b, rtol=1e-7) as solver:
        query = Query(solver.initial_state(), transaction="solve")
        result = solver.step(query)
        assert result.converged, result.reason
        operator, _ = ksp.getOperators()
        x = b.duplicate()
        x.array[:] = result.value
        assert (b - operator * x).norm() <= 1e-7 * b.norm()
        assert solver.measure(query, result.value).ratio <= 1.0


@pytest.mark.parametrize("kind", ["cg", "gmres", "minres"])
@pytest.mark.parametrize("by_option", [False, True])
def test_a_ksp_that_tested_nothing_meets_the_tolerance_and_goes_back_to_testing_nothing(
    options: Any, kind: str, by_option: bool
) -> None:
    options("poisson_ksp_type", kind)
    if by_option:
        options("poisson_ksp_norm_type", "none")
    ksp, b = poisson()
    if not by_option:
        ksp.setNormType(PETSc.KSP.NormType.NONE)
    ksp.setTolerances(max_it=500)
    with KspSolver(ksp, b, rtol=1e-7) as solver:
        query = Query(solver.initial_state(), transaction="solve")
        cold = solver.step(query)
        assert cold.converged
        assert cold.residual <= 1.0
        assert 0 < cold.linear_iterations < 500
        assert solver.iterations == cold.linear_iterations
        assert solver.step(query, cold.value).linear_iterations == 0
    assert ksp.getNormType() == PETSc.KSP.NormType.NONE
    ksp.setTolerances(max_it=3)
    ksp.solve(b, b.duplicate())
    assert ksp.getIterationNumber() == 3


def test_the_tolerance_does_not_depend_on_the_start() -> None:
    with KspSolver(*poisson(), rtol=1e-6) as solver:
        query = Query(solver.initial_state(), transaction="solve")
        cold = solver.step(query)
        near = solver.step(query, cold.value * (1.0 + 1e-4))
        far = solver.step(query, 1e3 * np.ones_like(cold.value))
        assert near.notes["tolerance"] == far.notes["tolerance"] == cold.notes["tolerance"]
        assert near.linear_iterations < cold.linear_iterations < far.linear_iterations
        assert solver.step(query, cold.value).linear_iterations == 0


@pytest.mark.parametrize("flag", ["", "poisson_ksp_error_if_not_converged"])
def test_non_convergence_is_a_typed_error_with_petscs_own_reason(options: Any, flag: str) -> None:
    options("poisson_ksp_max_it", 3)
    if flag:
        options(flag)
    with KspSolver(*poisson()) as solver:
        assert not solver.solve(raise_on_failure=False).converged
        with pytest.raises(NotConvergedError, match="poisson_ksp_monitor") as caught:
            solver.solve()
        assert caught.value.reason.startswith("KSP_DIVERGED_ITS") or "KSP_DIVERGED_MAX_IT" in caught.value.reason


def test_a_right_hand_side_of_zero_has_the_answer_zero() -> None:
    ksp, b = poisson()
    b.set(0.0)
    with KspSolver(ksp, b) as solver:
        assert not solver.solve(np.ones(solver.n_owned)).value.any()


def test_update_sets_each_querys_right_hand_side_once() -> None:
    ksp, b = poisson()
    seen = []

    def update(query: Query) -> None:
        seen.append(query.parameters["load"])
        b.set(query.parameters["load"])

    with KspSolver(ksp, b, update=update, rtol=1e-9) as solver:
        one, two = solver.solve(parameters={"load": 1.0}), solver.solve(parameters={"load": 2.0})
        np.testing.assert_allclose(two.value, 2.0 * one.value, rtol=1e-6)
        query = Query(solver.initial_state(), transaction="solve", parameters={"load": 3.0})
        solver.measure(query, one.value)
        solver.step(query)
    assert seen == [1.0, 2.0, 3.0]


def test_the_ksp_is_given_back_as_it_was() -> None:
    ksp, b = poisson()
    before = ksp.getTolerances(), ksp.getInitialGuessNonzero(), ksp.getNormType()
    with KspSolver(ksp, b, rtol=1e-3) as solver:
        solver.solve()
    assert (ksp.getTolerances(), ksp.getInitialGuessNonzero(), ksp.getNormType()) == before
    x = b.duplicate()
    ksp.solve(b, x)
    assert ksp.getConvergedReason() > 0


def test_a_dmplex_gives_vectors_and_operator() -> None:
    plex = PETSc.DMPlex().createBoxMesh([4, 4], simplex=False, comm=PETSc.COMM_WORLD)
    section = PETSc.Section().create(comm=plex.getComm())
    first, last = plex.getChart()
    section.setChart(first, last)
    for vertex in range(*plex.getDepthStratum(0)):
        section.setDof(vertex, 1)
    section.setUp()
    # The name of petsc4py 3.18 was `setSection`.
    (plex.setLocalSection if hasattr(plex, "setLocalSection") else plex.setSection)(section)
    matrix, b = plex.createMatrix(), plex.createGlobalVec()
    start, stop = matrix.getOwnershipRange()
    for row in range(start, stop):
        matrix.setValue(row, row, 2.0 + row)
    matrix.assemble()
    b.set(1.0)
    ksp = PETSc.KSP().create(comm=plex.getComm())
    ksp.setOperators(matrix)
    ksp.setDM(plex)
    use_own_operators(ksp)
    with KspSolver(ksp, b, rtol=1e-10) as solver:
        np.testing.assert_allclose(solver.solve().value, 1.0 / (2.0 + np.arange(start, stop)), rtol=1e-8)
        with pytest.raises(NotImplementedError, match="coordinates"):
            solver.coordinates()
