"""The bench of preconditioners in small: the same answers, all plugins in the table; operators are what they say."""

from __future__ import annotations

import json

import numpy as np
import pytest

pytest.importorskip("petsc4py", reason="petsc4py is not installed here")
pytest.importorskip("torch", reason="PyTorch is not installed here")

from cosolve.examples.preconditioning.bench import compare
from cosolve.examples.preconditioning.operators import diffusion, laplacian, prolongation
from cosolve.examples.preconditioning.proposers import PLUGINS
from cosolve.examples.preconditioning.sequences import Helmholtz3D, Inclusions
from cosolve.examples.preconditioning.unstructured import Tetrahedra


def test_the_bench_gives_the_same_answers_with_every_plugin() -> None:
    random = np.random.default_rng(0)
    report = compare([lambda: Inclusions(31), lambda: Helmholtz3D(8, 6.0, random)], 10, 1)
    content = json.loads(report.as_json())
    metrics = content["metrics"]
    assert metrics["same_answer"] == 1
    assert 0.0 < metrics["worst_residual_over_tolerance"] <= 1.0
    assert metrics["worst_regret"] >= metrics["worst_regret_mean"] > 0.0
    assert set(metrics["regret"]["diffusion 2D, contrast 1e6"]) == set(PLUGINS)
    assert set(metrics["regret"]["Helmholtz 3D, unstructured"]) == set(PLUGINS) - {"learned V-cycle"}
    raced = [case for case in content["cases"] if "method" in case]
    assert len(raced) == 2 * 2 + 4 + 3
    assert all(len(case["seconds"]) == 10 for case in raced)
    noise = [case for case in raced if case["method"] == "noise"]
    assert all(case["asked, with success"].endswith(" 0") and not case["probe"]["linear"] for case in noise)
    tuned = [case for case in content["cases"] if "tuned_classical" in case]
    assert {case["tuned_classical"] for case in tuned} == {*Inclusions.bases, *Helmholtz3D.bases}


def test_operators_on_grids() -> None:
    assert abs(diffusion(np.full((7, 7), 3.0)) - 3.0 * laplacian(7, 2)).max() == pytest.approx(0.0)
    matrix = diffusion(np.exp(np.random.default_rng(1).standard_normal((9, 9))))
    assert abs(matrix - matrix.T).max() == 0.0
    assert np.linalg.eigvalsh(matrix.toarray())[0] > 0.0
    for dimension in (2, 3):
        transfer = prolongation(7, dimension)
        assert transfer.shape == (7**dimension, 3**dimension)
        # A coarse problem of four times the spacing's square, in each direction the same stencil.
        galerkin = transfer.T @ laplacian(7, dimension) @ transfer
        assert abs(galerkin - galerkin.T).max() < 1e-12


def test_the_unstructured_elements_are_exact_on_linear_functions_and_fill_the_cube() -> None:
    mesh = Tetrahedra(6, np.random.default_rng(2))
    inner = mesh.places
    assert len(inner) == 4**3
    mass = mesh.stiffness - mesh.operator(np.ones(mesh.elements))
    assert 0.3 < mass.sum() < 1.0  # the unknowns' part of the cube's volume
    assert np.linalg.eigvalsh(mass.toarray())[0] > 0.0
    # Rows of points without a neighbour on the boundary vanish on constants and on linear functions.
    stiffness = mesh.stiffness
    away = np.flatnonzero(np.abs(inner - 0.5).max(1) < 0.25)
    far = [row for row in away if abs(stiffness[row].sum()) < 1e-10]
    assert far
    for value in (inner[:, 0], inner @ np.array([1.0, -2.0, 0.5])):
        np.testing.assert_allclose((stiffness @ value)[far], 0.0, atol=1e-10)
