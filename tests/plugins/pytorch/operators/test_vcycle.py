"""The V-cycle as a preconditioner: the textbook's to begin with, symmetric, better after training, kept in a file."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import scipy.sparse as sp
from cosolve.core.errors import BadInputError
from cosolve.core.model_file import ModelCard, load_surrogate, save_surrogate
from cosolve.core.query import Query
from cosolve.core.registry import Registry
from cosolve.plugins.pytorch.operators.vcycle import VCycleSurrogate

N = 31


def laplacian() -> Any:
    line = sp.diags([-1.0, 2.0, -1.0], [-1, 0, 1], (N, N))
    return (sp.kron(line, sp.identity(N)) + sp.kron(sp.identity(N), line)).tocsr()


def placed(**settings: Any) -> VCycleSurrogate:
    first = 1.0 / (N + 1)
    surrogate = VCycleSurrogate.make((first, first), (1.0 - first, 1.0 - first), levels=4, double=True, **settings)
    axis = np.arange(1, N + 1) * first
    surrogate.place(np.stack(np.meshgrid(axis, axis, indexing="ij"), -1).reshape(-1, 2))
    return surrogate


def corrected(surrogate: VCycleSurrogate, residual: Any, **parameters: Any) -> Any:
    return surrogate.predict(Query(residual, transaction="solve", parameters=parameters)).value


def test_the_textbook_cycle_halves_the_residual_of_poissons_equation() -> None:
    surrogate, matrix = placed(), laplacian()
    b = np.random.default_rng(0).standard_normal(N * N)
    u, norms = np.zeros_like(b), []
    for _ in range(8):
        residual = b - matrix @ u
        norms.append(np.linalg.norm(residual))
        u = u + corrected(surrogate, residual)
    assert norms[-1] / norms[-2] < 0.5


def test_it_is_linear_symmetric_and_positive() -> None:
    surrogate = placed()
    x, y = np.random.default_rng(1).standard_normal((2, N * N))
    of_x, of_y = corrected(surrogate, x), corrected(surrogate, y)
    np.testing.assert_allclose(corrected(surrogate, x + 2.0 * y), of_x + 2.0 * of_y, atol=1e-12)
    assert y @ of_x == pytest.approx(x @ of_y, rel=1e-10, abs=1e-10)
    assert x @ of_x > 0.0


def test_a_field_scales_residual_and_correction() -> None:
    field = np.exp(np.random.default_rng(2).standard_normal(N * N))
    residual = np.ones(N * N)
    expected = corrected(placed(), residual / np.sqrt(field)) / np.sqrt(field)
    np.testing.assert_allclose(corrected(placed(scale_by="diagonal"), residual, diagonal=field), expected, rtol=1e-12)


def test_training_betters_the_stencils_for_another_operator() -> None:
    surrogate = placed()
    matrix = laplacian() + 0.5 * sp.identity(N * N)
    errors = np.random.default_rng(3).standard_normal((6, N, N))
    residuals = np.array([(matrix @ error.ravel()).reshape(N, N) for error in errors])
    found = surrogate.learn(residuals, errors, epochs=4, batch=2)
    assert found["after"] < 0.9 * found["before"]
    with pytest.raises(BadInputError, match="expected pairs of shape"):
        surrogate.learn(residuals, errors[:3])


def test_it_is_kept_in_a_file(tmp_path: Path) -> None:
    surrogate = placed(scale_by="diagonal")
    path = tmp_path / "cycle.safetensors"
    save_surrogate(path, surrogate, ModelCard(surrogate="vcycle"))
    again = load_surrogate(path, Registry.discover())
    assert isinstance(again, VCycleSurrogate)
    assert again.scale_by == "diagonal"
    again._shape, again._mine = surrogate._shape, surrogate._mine
    residual = np.random.default_rng(4).standard_normal(N * N)
    field = np.full(N * N, 2.0)
    np.testing.assert_array_equal(
        corrected(again, residual, diagonal=field), corrected(surrogate, residual, diagonal=field)
    )
