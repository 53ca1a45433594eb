"""Conjugate gradients with a symmetric multigrid V-cycle for `a x - c div grad x = b` on a square grid.

Cell-centred finite volumes, zero flux at the boundary, a > 0 a field, c > 0 a number. Red-black Gauss-Seidel (red-black
before, black-red after, so that the cycle is symmetric), bilinear prolongation and its transpose, operators of the
coarse grids by discretisation. U. Trottenberg, C. W. Oosterlee, A. Schueller, Multigrid, Academic Press 2001,
ISBN 978-0-12-701070-0, sections 2.8 and 7.8.

The levels lie one after the other in flat arrays: level l starts at `offsets[l]` and has `sizes[l]` squared cells.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
from cosolve.core.errors import BadInputError
from cosolve.plugins.numba_kernels.compiled import compiled

Plane = npt.NDArray[np.float64]
Counts = npt.NDArray[np.int64]

_COARSEST = 8
_COARSE_SWEEPS = 12


def grid_levels(n: int) -> tuple[Counts, Counts]:
    """Return the sizes of the levels, finest first, and their offsets, with the total length at the end.

    Raises:
        BadInputError: The grid does not coarsen to at most 8 cells a side.

    >>> grid_levels(32)[0].tolist()
    [32, 16, 8, 4]
    """
    sizes = [n]
    while sizes[-1] % 2 == 0 and sizes[-1] > 4:
        sizes.append(sizes[-1] // 2)
    if sizes[-1] > _COARSEST:
        near = _COARSEST * 2 ** max(round(np.log2(n / _COARSEST)), 0)
        raise BadInputError(
            f"a grid of {n} cells a side does not coarsen: take m * 2^k with m <= 8, {near} for example"
        )
    offsets = np.concatenate([[0], np.cumsum(np.array(sizes) ** 2)])
    return np.array(sizes, dtype=np.int64), offsets.astype(np.int64)


@compiled
def _relax_cell(x: Plane, b: Plane, a: Plane, s: float, i: int, j: int) -> None:
    n = x.shape[0]
    total = b[i, j]
    diagonal = a[i, j]
    if i > 0:
        total += s * x[i - 1, j]
        diagonal += s
    if i < n - 1:
        total += s * x[i + 1, j]
        diagonal += s
    if j > 0:
        total += s * x[i, j - 1]
        diagonal += s
    if j < n - 1:
        total += s * x[i, j + 1]
        diagonal += s
    x[i, j] = total / diagonal


@compiled
def _relax(x: Plane, b: Plane, a: Plane, s: float, colour: int) -> None:
    """Relax the cells of one colour, s = c / h^2."""
    n = x.shape[0]
    for j in range(colour, n, 2):
        _relax_cell(x, b, a, s, 0, j)
    for i in range(1, n - 1):
        first = (i + colour) % 2
        if first == 0:
            _relax_cell(x, b, a, s, i, 0)
            first = 2
        for j in range(first, n - 1, 2):
            total = b[i, j] + s * (x[i - 1, j] + x[i + 1, j] + x[i, j - 1] + x[i, j + 1])
            x[i, j] = total / (a[i, j] + 4.0 * s)
        if (n - 1 + i + colour) % 2 == 0:
            _relax_cell(x, b, a, s, i, n - 1)
    for j in range((n - 1 + colour) % 2, n, 2):
        _relax_cell(x, b, a, s, n - 1, j)


@compiled
def apply_operator(x: Plane, a: Plane, s: float, out: Plane) -> None:
    """Compute out = a x - c div grad x, s = c / h^2."""
    n = x.shape[0]
    for i in range(n):
        up = max(i - 1, 0)
        down = min(i + 1, n - 1)
        out[i, 0] = a[i, 0] * x[i, 0] - s * (x[up, 0] + x[down, 0] + x[i, 1] - 3.0 * x[i, 0])
        for j in range(1, n - 1):
            out[i, j] = a[i, j] * x[i, j] - s * (x[up, j] + x[down, j] + x[i, j - 1] + x[i, j + 1] - 4.0 * x[i, j])
        m = n - 1
        out[i, m] = a[i, m] * x[i, m] - s * (x[up, m] + x[down, m] + x[i, m - 1] - 3.0 * x[i, m])


@compiled
def _restrict(fine: Plane, coarse: Plane) -> None:
    """Apply the transpose of `_prolong_add`, over four: averages of the residual."""
    n = coarse.shape[0]
    for i in range(n):
        for j in range(n):
            coarse[i, j] = 0.0
    for i in range(2 * n):
        near_i = i // 2
        far_i = min(max(near_i - 1 + 2 * (i % 2), 0), n - 1)
        for j in range(2 * n):
            near_j = j // 2
            far_j = min(max(near_j - 1 + 2 * (j % 2), 0), n - 1)
            value = fine[i, j] / 64.0
            coarse[near_i, near_j] += 9.0 * value
            coarse[near_i, far_j] += 3.0 * value
            coarse[far_i, near_j] += 3.0 * value
            coarse[far_i, far_j] += value


@compiled
def _prolong_add(coarse: Plane, fine: Plane) -> None:
    """Add the bilinear interpolation of cell averages, mirrored at the boundary."""
    n = coarse.shape[0]
    for i in range(2 * n):
        near_i = i // 2
        far_i = min(max(near_i - 1 + 2 * (i % 2), 0), n - 1)
        for j in range(2 * n):
            near_j = j // 2
            far_j = min(max(near_j - 1 + 2 * (j % 2), 0), n - 1)
            fine[i, j] += (
                9.0 * coarse[near_i, near_j]
                + 3.0 * (coarse[near_i, far_j] + coarse[far_i, near_j])
                + coarse[far_i, far_j]
            ) / 16.0


@compiled
def coarsen_field(a: Plane, sizes: Counts, offsets: Counts, levels: Plane) -> None:
    """Fill `levels` with the cell averages of `a` on all levels."""
    n = sizes[0]
    levels[: n * n] = a.ravel()
    for level in range(1, len(sizes)):
        m = sizes[level]
        fine = levels[offsets[level - 1] : offsets[level]].reshape((2 * m, 2 * m))
        coarse = levels[offsets[level] : offsets[level + 1]].reshape((m, m))
        for i in range(m):
            for j in range(m):
                coarse[i, j] = 0.25 * (
                    fine[2 * i, 2 * j] + fine[2 * i + 1, 2 * j] + fine[2 * i, 2 * j + 1] + fine[2 * i + 1, 2 * j + 1]
                )


@compiled
def v_cycle(a: Plane, s: float, x: Plane, b: Plane, r: Plane, sizes: Counts, offsets: Counts) -> None:
    """One V(1,1) cycle from zero for the right-hand side in `b`; all arrays hold all levels."""
    last = len(sizes) - 1
    scale = s
    for level in range(last):
        n = sizes[level]
        m = sizes[level + 1]
        lo, hi, end = offsets[level], offsets[level + 1], offsets[level + 2]
        xl, bl = x[lo:hi].reshape((n, n)), b[lo:hi].reshape((n, n))
        al, rl = a[lo:hi].reshape((n, n)), r[lo:hi].reshape((n, n))
        x[lo:hi] = 0.0
        _relax(xl, bl, al, scale, 0)
        _relax(xl, bl, al, scale, 1)
        apply_operator(xl, al, scale, rl)
        for k in range(lo, hi):
            r[k] = b[k] - r[k]
        _restrict(rl, b[hi:end].reshape((m, m)))
        scale *= 0.25
    n = sizes[last]
    lo, hi = offsets[last], offsets[last + 1]
    xl, bl, al = x[lo:hi].reshape((n, n)), b[lo:hi].reshape((n, n)), a[lo:hi].reshape((n, n))
    x[lo:hi] = 0.0
    for _ in range(_COARSE_SWEEPS):
        _relax(xl, bl, al, scale, 0)
        _relax(xl, bl, al, scale, 1)
    for _ in range(_COARSE_SWEEPS):
        _relax(xl, bl, al, scale, 1)
        _relax(xl, bl, al, scale, 0)
    for level in range(last - 1, -1, -1):
        scale *= 4.0
        n = sizes[level]
        m = sizes[level + 1]
        lo, hi, end = offsets[level], offsets[level + 1], offsets[level + 2]
        xl, bl, al = x[lo:hi].reshape((n, n)), b[lo:hi].reshape((n, n)), a[lo:hi].reshape((n, n))
        _prolong_add(x[hi:end].reshape((m, m)), xl)
        _relax(xl, bl, al, scale, 1)
        _relax(xl, bl, al, scale, 0)


@compiled
def conjugate_gradients(
    a: Plane, s: float, b: Plane, x: Plane, target: float, most: int, work: Plane, sizes: Counts, offsets: Counts
) -> tuple[int, float]:
    """Solve from zero until the Euclidean residual norm is at most `target`.

    Args:
        a: The field a on all levels, from `coarsen_field`.
        s: c / h^2 on the finest level.
        b: Right-hand side, shape `(n * n,)`; overwritten by the residual.
        x: The solution, shape `(n * n,)`.
        target: Residual norm to reach.
        most: Most iterations.
        work: Work space, shape `(5, offsets[-1])`.
        sizes: Sizes of the levels.
        offsets: Their offsets.

    Returns:
        Iterations and the residual norm; NaN when the operator is not positive definite.
    """
    n = sizes[0]
    cells = n * n
    p = work[3, :cells]
    q = work[4, :cells]
    fine = a[:cells].reshape((n, n))
    norm = np.sqrt(np.dot(b, b))
    x[:] = 0.0
    before = 1.0
    for iteration in range(most):
        if not norm > target:
            return iteration, norm
        work[1, :cells] = b
        v_cycle(a, s, work[0], work[1], work[2], sizes, offsets)
        z = work[0, :cells]
        product = np.dot(b, z)
        beta = product / before if iteration > 0 else 0.0
        before = product
        for k in range(cells):
            p[k] = z[k] + beta * p[k] if iteration > 0 else z[k]
        apply_operator(p.reshape((n, n)), fine, s, q.reshape((n, n)))
        curvature = np.dot(p, q)
        if not curvature > 0.0:
            return iteration, np.nan
        alpha = product / curvature
        for k in range(cells):
            x[k] += alpha * p[k]
            b[k] -= alpha * q[k]
        norm = np.sqrt(np.dot(b, b))
    return most, norm


def work_space(n: int) -> tuple[Any, ...]:
    """Return sizes, offsets, the field on all levels and the work space for a grid of n x n cells."""
    sizes, offsets = grid_levels(n)
    total = int(offsets[-1])
    return sizes, offsets, np.zeros(total), np.zeros((5, total))
