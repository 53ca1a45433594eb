"""Card of MgNO: linear, the textbook's V-cycle exactly, and what a finer grid does to it (arXiv:2310.19809)."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import scipy.sparse as sp
import torch
from cosolve.examples.operators.cards.card import Part
from cosolve.examples.operators.cards.resolution import BASE, drift
from cosolve.plugins.pytorch.operators.mgno import MgNO, VCycle

Matrix = npt.NDArray[np.float64]

_WEIGHTING = np.array([[1.0, 2.0, 1.0], [2.0, 4.0, 2.0], [1.0, 2.0, 1.0]])
_POINTS, _LEVELS = 31, 4


def mgno(seed: int, quick: bool) -> list[Part]:
    """Card 1.4, parts (a), (b) and (d)."""
    torch.manual_seed(seed)
    cycle = VCycle(2, 3, 3, 2, 1, "zeros", torch.float64)
    x, y = torch.randn(2, 1, 2, 16, 16, dtype=torch.float64).unbind(0)
    with torch.no_grad():
        apart = cycle(x) + 3.0 * cycle(y)
        linear = float((cycle(x + 3.0 * y) - apart).norm() / apart.norm())
    plain = MgNO(2, 1, 6, 2, 3, boundary="circular", dtype=torch.float64)
    torch.manual_seed(seed)
    cured = MgNO(2, 1, 6, 2, 3, boundary="circular", base=BASE, dtype=torch.float64)
    stays, falls = drift(plain), drift(cured)
    return [
        Part("textbook stencils: relative difference to the V-cycle of sparse matrices", _textbook(seed), 1e-12),
        Part("V-cycle: departure from linearity", linear, 1e-12),
        Part("by itself: drift from 4n to 8n over that from n to 2n, which stays", stays[2] / stays[0], 0.25, True),
        Part("with transfers round the V-cycle: factor of the drift by a refinement", falls[2] / falls[1], 0.6),
    ]


def _textbook(seed: int) -> float:
    cycle = VCycle(1, 1, _LEVELS, 1, 1, "zeros", torch.float64)
    laplace = torch.tensor([[0.0, -1.0, 0.0], [-1.0, 4.0, -1.0], [0.0, -1.0, 0.0]], dtype=torch.float64)
    scales = torch.tensor([4.0**-level for level in range(_LEVELS)], dtype=torch.float64)
    jacobi = torch.zeros(3, 3, dtype=torch.float64)
    jacobi[1, 1] = 0.8 / 4.0
    cycle.set_stencils(
        laplace[None] * scales[:, None, None],
        jacobi[None] / scales[:, None, None],
        torch.from_numpy(_WEIGHTING / 16.0),
        torch.from_numpy(_WEIGHTING / 4.0),
    )
    f = np.random.default_rng(seed).normal(size=(_POINTS, _POINTS))
    with torch.no_grad():
        found = cycle(torch.from_numpy(f)[None, None])[0, 0].numpy()
    expected = _by_matrices(f.ravel(), _POINTS, 1.0, _LEVELS).reshape(found.shape)
    return float(np.abs(found - expected).max() / np.abs(expected).max())


def _by_matrices(f: Matrix, n: int, scale: float, levels: int) -> Matrix:
    """Return one V(1, 1) cycle with damped Jacobi, written with sparse matrices."""
    second = sp.diags([-1.0, 2.0, -1.0], [-1, 0, 1], shape=(n, n))
    matrix = scale * (sp.kron(second, sp.eye(n)) + sp.kron(sp.eye(n), second)).tocsr()
    weight = 0.8 / (4.0 * scale)
    u: Matrix = weight * f
    if levels > 1:
        coarse = (n - 1) // 2
        line = sp.lil_matrix((n, coarse))
        for j in range(coarse):
            line[2 * j, j], line[2 * j + 1, j], line[2 * j + 2, j] = 0.5, 1.0, 0.5
        prolong = sp.kron(line, line).tocsr()
        u = u + prolong @ _by_matrices(prolong.T @ (f - matrix @ u) / 4.0, coarse, scale / 4.0, levels - 1)
    smoothed: Matrix = u + weight * (f - matrix @ u)
    return smoothed
