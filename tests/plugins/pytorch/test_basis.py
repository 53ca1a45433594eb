"""Bases: exact where they must be, the same on any numbering, refused where they are not known."""

from __future__ import annotations

import numpy as np
import pytest
from cosolve.core.errors import BadInputError, ModelMismatchError
from cosolve.plugins.pytorch.basis import GridBasis, PointBasis, TrunkBasis, basis_from, basis_on, pod
from cosolve.plugins.pytorch.basis_choice import as_trunk
from hypothesis import given
from hypothesis import strategies as st


def grid_points(*counts: int) -> np.ndarray:
    axes = [np.linspace(0.0, 1.0, count) for count in counts]
    return np.stack([axis.ravel() for axis in np.meshgrid(*axes, indexing="ij")], axis=1)


@given(st.integers(0, 3), st.integers(0, 3), st.integers(0, 2**32 - 1))
def test_cubic_interpolation_reproduces_cubics_on_uneven_grids(p: int, q: int, seed: int) -> None:
    rng = np.random.default_rng(seed)
    axes = [np.sort(np.concatenate([[0.0, 1.0], rng.uniform(0.05, 0.95, n)])) for n in (4, 5)]
    if min(float(np.diff(axis).min()) for axis in axes) < 0.02:
        return
    x, y = np.meshgrid(*axes, indexing="ij")
    basis = GridBasis(axes, (x**p * y**q)[None])
    points = rng.uniform(0.0, 1.0, (20, 2))
    assert np.allclose(basis.at(points)[0], points[:, 0] ** p * points[:, 1] ** q, atol=1e-8)


@pytest.mark.parametrize(("degree", "order"), [(1, 2), (3, 4)])
def test_interpolation_converges_with_its_order(degree: int, order: int) -> None:
    points = np.random.default_rng(0).uniform(0.0, 1.0, (200, 2))
    errors = []
    for n in (17, 33):
        nodes = grid_points(n, n)
        values = np.sin(3.0 * nodes[:, 0]) * np.cos(2.0 * nodes[:, 1])
        basis = basis_on(nodes, values[None], degree)
        errors.append(np.max(np.abs(basis.at(points)[0] - np.sin(3.0 * points[:, 0]) * np.cos(2.0 * points[:, 1]))))
    assert np.log2(errors[0] / errors[1]) == pytest.approx(order, abs=0.4)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_a_known_mesh_gets_the_very_values_in_any_numbering(dtype: str) -> None:
    rng = np.random.default_rng(0)
    points = grid_points(5, 4)[rng.permutation(20)]
    functions = rng.standard_normal((3, 20)).astype(dtype)
    basis = basis_on(points, functions)
    assert isinstance(basis, GridBasis)
    order = rng.permutation(20)
    noisy = points[order] + 1e-13 * rng.standard_normal((20, 2))
    assert np.array_equal(basis.at(noisy), functions[:, order].astype(np.float64))


def test_scattered_points_are_known_at_themselves_only() -> None:
    rng = np.random.default_rng(0)
    points, functions = rng.uniform(size=(30, 2)), rng.standard_normal((2, 30))
    basis = basis_on(points, functions)
    assert isinstance(basis, PointBasis)
    part = rng.permutation(30)[:7]
    assert np.array_equal(basis.at(points[part] + 1e-12), functions[:, part])
    assert basis.at(points[:0]).shape == (2, 0)
    with pytest.raises(ModelMismatchError, match=r"1 of 2 points of this mesh are not among the 30 points"):
        basis.at(np.array([points[0], [2.0, 2.0]]))


def test_another_domain_or_dimension_is_refused() -> None:
    basis = basis_on(grid_points(5, 4), np.ones((1, 20)))
    with pytest.raises(ModelMismatchError, match=r"coordinate 1 in \[0, 1\], the problem has points in \[0, 2\]"):
        basis.at(np.array([[0.5, 0.0], [0.5, 2.0]]))
    with pytest.raises(ModelMismatchError, match=r"lives in 2 dimensions, .* shape \(3, 3\)"):
        basis.at(np.zeros((3, 3)))
    with pytest.raises(BadInputError, match="the grid has"):
        GridBasis([np.linspace(0, 1, 3)], np.ones((2, 4)))


def test_components_are_one_more_coordinate() -> None:
    """A vector field's components are told apart by a column that holds their index."""
    nodes = grid_points(4, 3)
    points = np.concatenate([np.column_stack([nodes, np.full(12, c)]) for c in (0.0, 1.0)])
    values = np.concatenate([nodes[:, 0], 10.0 + nodes[:, 1]])
    basis = basis_on(points, values[None])
    asked = np.array([[0.4, 0.3, 1.0], [0.4, 0.3, 0.0]])
    assert np.allclose(basis.at(asked)[0], [10.3, 0.4])


def test_a_trunk_is_known_everywhere_and_close_to_what_it_was_fitted_to() -> None:
    nodes = grid_points(12, 12)
    functions = np.array([np.sin(np.pi * nodes[:, 0]), nodes[:, 0] * nodes[:, 1] ** 2])
    basis = as_trunk(nodes, functions, 24, seed=0, seconds=20.0)
    points = np.random.default_rng(1).uniform(0.0, 1.0, (100, 2))
    truth = np.array([np.sin(np.pi * points[:, 0]), points[:, 0] * points[:, 1] ** 2])
    assert np.linalg.norm(basis.at(points) - truth) <= 5e-3 * np.linalg.norm(truth)
    assert isinstance(basis_from(basis.tensors(), basis.settings()), TrunkBasis)
    assert np.array_equal(basis_from(basis.tensors(), basis.settings()).at(points), basis.at(points))


def test_pod_finds_the_space_of_the_snapshots() -> None:
    rng = np.random.default_rng(0)
    low_rank = rng.standard_normal((30, 4)) @ rng.standard_normal((4, 50))
    modes, singular, coefficients = pod(low_rank, 10)
    assert modes.shape == (4, 50)
    assert np.allclose(modes @ modes.T, np.eye(4), atol=1e-12)
    assert np.allclose(coefficients @ modes, low_rank, atol=1e-10)
    assert np.all(np.diff(singular) <= 0.0)
    two = pod(low_rank, 2)[0]
    missed = np.linalg.norm(low_rank - (low_rank @ two.T) @ two) ** 2
    assert missed == pytest.approx(float(np.sum(singular[2:] ** 2)), rel=1e-10)
