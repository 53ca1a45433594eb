"""MgNO: linear in its input, and the textbook V-cycle where its stencils are the textbook's."""

from __future__ import annotations

import numpy as np
import pytest
import scipy.sparse as sp
import torch
from cosolve.plugins.pytorch.operators.grid_operator import Boundary
from cosolve.plugins.pytorch.operators.mgno import VCycle

WEIGHTING = np.array([[1.0, 2.0, 1.0], [2.0, 4.0, 2.0], [1.0, 2.0, 1.0]])


def textbook(levels: int, boundary: Boundary, before: int, behind: int) -> VCycle:
    cycle = VCycle(1, 1, levels, before, behind, boundary, torch.float64)
    laplace = torch.tensor([[0.0, -1.0, 0.0], [-1.0, 4.0, -1.0], [0.0, -1.0, 0.0]], dtype=torch.float64)
    scales = torch.tensor([4.0**-level for level in range(levels)], dtype=torch.float64)
    jacobi = torch.zeros(3, 3, dtype=torch.float64)
    jacobi[1, 1] = 0.8 / 4.0
    cycle.set_stencils(
        laplace[None] * scales[:, None, None],
        jacobi[None] / scales[:, None, None],
        torch.from_numpy(WEIGHTING / 16.0),
        torch.from_numpy(WEIGHTING / 4.0),
    )
    return cycle


def interior_matrices(n: int) -> tuple[sp.csr_matrix, sp.csr_matrix]:
    """Five-point matrix and bilinear interpolation for n interior points an axis, written with Kronecker products."""
    second = sp.diags([-np.ones(n - 1), 2 * np.ones(n), -np.ones(n - 1)], [-1, 0, 1])
    matrix = sp.kron(second, sp.eye(n)) + sp.kron(sp.eye(n), second)
    coarse = (n - 1) // 2
    line = sp.lil_matrix((n, coarse))
    for j in range(coarse):
        line[2 * j, j], line[2 * j + 1, j], line[2 * j + 2, j] = 0.5, 1.0, 0.5
    return matrix.tocsr(), sp.kron(line, line).tocsr()


def hand_written(f: np.ndarray, n: int, scale: float, levels: int, before: int, behind: int) -> np.ndarray:
    """The same V-cycle with sparse matrices."""
    matrix, interpolation = interior_matrices(n)
    matrix = matrix * scale
    weight = 0.8 / (4.0 * scale)
    u = np.zeros_like(f)
    for _ in range(before):
        u = u + weight * (f - matrix @ u)
    if levels > 1:
        coarse = interpolation.T @ (f - matrix @ u) / 4.0
        u = u + interpolation @ hand_written(coarse, (n - 1) // 2, scale / 4.0, levels - 1, before, behind)
    for _ in range(behind):
        u = u + weight * (f - matrix @ u)
    return u


@pytest.mark.parametrize(("before", "behind"), [(1, 0), (1, 1), (2, 2)])
def test_with_textbook_stencils_it_is_the_textbook_v_cycle(before: int, behind: int) -> None:
    n, levels = 31, 4
    f = np.random.default_rng(0).normal(size=(n, n))
    with torch.no_grad():
        found = textbook(levels, "zeros", before, behind)(torch.from_numpy(f)[None, None])[0, 0].numpy()
    expected = hand_written(f.ravel(), n, 1.0, levels, before, behind).reshape(n, n)
    assert np.abs(found - expected).max() <= 1e-12 * np.abs(expected).max()


@pytest.mark.parametrize(("n", "boundary"), [(31, "zeros"), (63, "zeros"), (32, "circular"), (64, "circular")])
def test_the_textbook_v_cycle_converges_alike_on_all_grids(n: int, boundary: Boundary) -> None:
    cycle = textbook(6 if n > 40 else 5, boundary, 2, 2)
    laplace = cycle.operator[0]
    f = torch.randn(1, 1, n, n, dtype=torch.float64, generator=torch.Generator().manual_seed(3))
    f -= f.mean() if boundary == "circular" else 0.0
    u, sizes = torch.zeros_like(f), []
    with torch.no_grad():
        for _ in range(8):
            residual = f - cycle._convolve(laplace, u)
            sizes.append(float(residual.norm()))
            u = u + cycle(residual)
    factors = np.array(sizes[1:]) / np.array(sizes[:-1])
    assert factors[-1] < 0.2


@pytest.mark.parametrize("shape", [(16, 16), (15, 15), (16, 9)])
def test_a_v_cycle_is_linear(shape: tuple[int, int]) -> None:
    torch.manual_seed(0)
    cycle = VCycle(2, 3, 3, 2, 1, "zeros", torch.float64)
    x, y = torch.randn(2, 1, 2, *shape, dtype=torch.float64).unbind(0)
    with torch.no_grad():
        together, apart = cycle(x + 3.0 * y), cycle(x) + 3.0 * cycle(y)
    assert together.shape == (1, 3, *shape)
    assert float((together - apart).norm()) <= 1e-12 * float(apart.norm())
