"""The coarse space against its formulas, written out densely."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from cosolve.core.errors import BadInputError, PluginError
from cosolve.core.query import Query
from cosolve.core.testing.mean_field import MeanFieldSolver
from cosolve.plugins.petsc import CoarseSpace, KspSolver, slow_modes
from petsc4py import PETSc
from petsc_problems import poisson


def dense(solver: KspSolver) -> Any:
    return solver.ksp.getOperators()[0].convert("dense").getDenseArray().copy()


def query(value: Any) -> Query:
    return Query(value, transaction="solve")


@pytest.mark.parametrize("symmetric", [True, False])
def test_corrections_are_those_of_the_formulas(symmetric: bool) -> None:
    ksp, b = poisson(n=8)
    matrix = ksp.getOperators()[0]
    if not symmetric:
        for row in range(56):
            matrix.setValue(row, row + 8, 0.5, addv=PETSc.InsertMode.ADD_VALUES)
        matrix.assemble()
    random = np.random.default_rng(1)
    modes = random.standard_normal((5, 64))
    with KspSolver(ksp, b) as solver:
        space = CoarseSpace(5, modes)
        space.bind(solver)
        v = np.linalg.qr(modes.T)[0]
        a = dense(solver)
        q = v @ np.linalg.solve(v.T @ a @ v, v.T)
        r, first = random.standard_normal((2, 64))
        np.testing.assert_allclose(space.predict(query(r)).value, q @ r, atol=1e-12)
        np.testing.assert_allclose(space.deflate(r, first), q @ (r - a @ first), atol=1e-12)
        assert space._symmetric is symmetric


def test_solutions_join_while_there_is_room_and_the_galerkin_matrix_grows() -> None:
    random = np.random.default_rng(2)
    with KspSolver(*poisson(n=8)) as solver:
        space = CoarseSpace(3)
        space.bind(solver)
        assert not space.predict(query(np.ones(64))).value.any()
        a = dense(solver)
        for count in (1, 2, 3, 3):
            known = random.standard_normal(64)
            space.observe(query(known), known)
            error = space.predict(query(a @ known)).value - known
            assert len(space.basis) == count
            if len(space.basis) == count and count < 3:
                np.testing.assert_allclose(error, 0.0, atol=1e-10)
        np.testing.assert_allclose(space.basis @ space.basis.T, np.eye(3), atol=1e-12)
        same = CoarseSpace(3)
        same.bind(solver)
        for _ in range(2):
            same.observe(query(known), known)
            same.predict(query(known))
        assert len(same.basis) == 1, "what adds nothing does not join"


def test_slow_modes_are_those_that_jacobi_damps_worst() -> None:
    with KspSolver(*poisson(n=16)) as solver:
        modes = slow_modes(solver, 6, degree=10, rounds=6, seed=3)
        values, vectors = np.linalg.eigh(dense(solver))  # the diagonal is constant: Jacobi changes no eigenvector
        assert values[0] < values[5]
        share = np.linalg.norm(modes @ vectors[:, :4], axis=0)
        assert share.min() > 0.99


def test_bad_input_is_a_sentence() -> None:
    with pytest.raises(BadInputError, match="at least one mode"):
        CoarseSpace(0)
    with pytest.raises(BadInputError, match="shape"):
        CoarseSpace(3, np.ones(4))
    with (
        KspSolver(*poisson(n=8)) as solver,
        pytest.raises(BadInputError, match="the modes have 5 values, this rank owns 64"),
    ):
        CoarseSpace(3, np.ones((2, 5))).bind(solver)
    with pytest.raises(PluginError, match="needs the operator of a KSP"):
        CoarseSpace(3).bind(MeanFieldSolver())
    with pytest.raises(PluginError, match="before `bind"):
        CoarseSpace(3).predict(query(np.ones(4)))
