"""Residual DMD: keeps the eigenvalues that are there, rejects those that are not, and certifies nothing of chaos."""

from __future__ import annotations

import numpy as np
import pytest
from cosolve.core.errors import BadInputError
from cosolve.plugins.reduced.residual_dmd import KoopmanData
from hypothesis import given, settings
from hypothesis import strategies as st

THETA = np.sqrt(2.0)


def rotation(functions: int, samples: int = 400) -> KoopmanData:
    """A rotation of the circle with e^(ikx), k = -n..n, and one function whose image leaves the dictionary."""
    x = 2 * np.pi * np.arange(samples) / samples
    k = np.arange(-functions, functions + 1)

    def dictionary(at: np.ndarray) -> np.ndarray:
        spoiler = np.exp(np.cos(at)) * np.sign(np.sin(3 * at))
        return np.column_stack([np.exp(1j * np.outer(at, k)), spoiler])

    return KoopmanData(dictionary(x), dictionary(x + THETA))


def test_known_eigenvalues_of_a_rotation_are_certified_and_the_spurious_one_is_not() -> None:
    pairs = rotation(5).eigenpairs()
    certified = pairs.certified(1e-6)
    expected = np.exp(1j * THETA * np.arange(-5, 6))
    assert len(certified.values) == 11
    assert max(np.abs(certified.values - value).min() for value in expected) < 1e-8
    assert pairs.residuals[-1] > 0.1


def test_the_residual_is_that_of_the_definition() -> None:
    rng = np.random.default_rng(0)
    x, y, w = rng.normal(size=(80, 6)), rng.normal(size=(80, 6)), rng.uniform(0.5, 2.0, size=80)
    data = KoopmanData(x, y, w)
    g_matrix, a, l_matrix = x.T @ (w[:, None] * x), x.T @ (w[:, None] * y), y.T @ (w[:, None] * y)
    pairs = data.eigenpairs()
    koopman = np.linalg.solve(g_matrix, a)
    assert np.allclose(np.sort_complex(np.linalg.eigvals(koopman)), np.sort_complex(pairs.values), atol=1e-10)
    for value, vector, residual in zip(pairs.values, pairs.vectors.T, pairs.residuals, strict=True):
        direct = np.linalg.norm(np.sqrt(w) * (y @ vector - value * (x @ vector)))
        direct /= np.linalg.norm(np.sqrt(w) * (x @ vector))
        pencil = l_matrix - value * a.T - np.conj(value) * a + abs(value) ** 2 * g_matrix
        form = np.real(vector.conj() @ pencil @ vector) / np.real(vector.conj() @ g_matrix @ vector)
        assert residual == pytest.approx(direct, rel=1e-10)
        assert residual == pytest.approx(np.sqrt(form), rel=1e-8)
        assert residual == pytest.approx(data.residual(value, vector), rel=1e-10)


def test_nothing_of_a_chaotic_map_is_certified_but_the_constant() -> None:
    """The doubling map of the circle is mixing: 1 is its only eigenvalue, all else is continuous spectrum."""
    x = (np.arange(2000) + 0.5) / 2000
    k = np.arange(-12, 13)
    pairs = KoopmanData(np.exp(2j * np.pi * np.outer(x, k)), np.exp(2j * np.pi * np.outer(2 * x, k))).eigenpairs()
    certified = pairs.certified(0.1)
    assert certified.values == pytest.approx([1.0])
    assert np.sum(np.abs(pairs.values) > 1e-6) >= 1
    assert pairs.residuals[1:].min() > 0.5


def test_the_pseudospectrum_of_a_rotation_is_small_at_eigenvalues_alone() -> None:
    data = rotation(3)
    on, off = np.exp(1j * THETA * np.arange(-3, 4)), np.array([0.0, 0.5j, 2.0])
    assert data.pseudospectrum(on).max() < 1e-6
    assert data.pseudospectrum(off).min() > 0.4


@settings(max_examples=25, deadline=None)
@given(seed=st.integers(0, 10**6), columns=st.integers(1, 5), repeated=st.booleans())
def test_residuals_bound_the_distance_to_the_pseudospectrum(seed: int, columns: int, repeated: bool) -> None:
    rng = np.random.default_rng(seed)
    x, y = rng.normal(size=(40, columns)), rng.normal(size=(40, columns))
    if repeated:  # a dictionary with a function twice
        x, y = np.column_stack([x, x[:, :1]]), np.column_stack([y, y[:, :1]])
    data = KoopmanData(x, y)
    assert data.rank == columns
    pairs = data.eigenpairs()
    assert np.all(data.pseudospectrum(pairs.values) <= pairs.residuals * (1 + 1e-8) + 1e-8)


@pytest.mark.parametrize(
    ("x", "y", "w", "sentence"),
    [
        (np.ones((3, 2)), np.ones((3, 3)), None, r"found \(3, 2\) and \(3, 3\)"),
        (np.ones((1, 2)), np.ones((1, 2)), None, "1 snapshot pairs are too few for a dictionary of 2 functions"),
        (np.full((3, 1), np.nan), np.ones((3, 1)), None, "is NaN or infinite"),
        (np.ones((3, 1)), np.ones((3, 1)), np.array([1.0, -1.0, 1.0]), "positive values"),
    ],
)
def test_data_that_cannot_be_used_are_refused(
    x: np.ndarray, y: np.ndarray, w: np.ndarray | None, sentence: str
) -> None:
    with pytest.raises(BadInputError, match=sentence):
        KoopmanData(x, y, w)
