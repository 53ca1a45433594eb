"""Operators on regular grids: diffusion with a coefficient, the Laplacian in two and three dimensions, transfers."""

from __future__ import annotations

from typing import Any

import numpy as np
import scipy.sparse as sp
from cosolve.core.arrays import Array
from petsc4py import PETSc


def petsc_matrix(matrix: Any) -> Any:
    """Return a PETSc matrix with the values of a sparse one (serial)."""
    csr = matrix.tocsr()
    csr.sort_indices()
    return PETSc.Mat().createAIJ(csr.shape, csr=(csr.indptr, csr.indices, csr.data), comm=PETSc.COMM_SELF)


def refill(target: Any, matrix: Any) -> None:
    """Set the values of a PETSc matrix to those of a sparse one of the same pattern."""
    csr = matrix.tocsr()
    csr.sort_indices()
    target.setValuesCSR(csr.indptr, csr.indices, csr.data)
    target.assemble()


def axis_laplacian(n: int) -> Any:
    """Return `-u''` on n interior points of the unit interval, times the square of the spacing."""
    return sp.diags([-1.0, 2.0, -1.0], [-1, 0, 1], (n, n))


def laplacian(n: int, dimension: int) -> Any:
    """Return the stencil of 4 (or 6) and -1 on n interior points in each direction."""
    total, one = sp.csr_matrix((n**dimension, n**dimension)), axis_laplacian(n)
    for axis in range(dimension):
        term = sp.identity(1)
        for other in range(dimension):
            term = sp.kron(term, one if other == axis else sp.identity(n))
        total = total + term
    return total.tocsr()


def diffusion(k: Array) -> Any:
    """Return `-div(k grad u)` times the square of the spacing, u = 0 outside; k at the points, harmonic on faces.

    Args:
        k: Shape `(n, n)`.
    """
    n = len(k)
    around = np.pad(k, 1, mode="edge")
    middle = around[1:-1, 1:-1]

    def face(other: Array) -> Array:
        mean: Array = 2.0 * middle * other / (middle + other)
        return mean

    south, north = face(around[:-2, 1:-1]), face(around[2:, 1:-1])
    west, east = face(around[1:-1, :-2]), face(around[1:-1, 2:])
    inside_east, inside_north = east.copy(), north
    inside_east[:, -1] = 0.0
    return sp.diags(
        [
            -inside_north[:-1].ravel(),
            -inside_east.ravel()[:-1],
            (south + north + west + east).ravel(),
            -inside_east.ravel()[:-1],
            -inside_north[:-1].ravel(),
        ],
        [-n, -1, 0, 1, n],
        (n * n, n * n),
    ).tocsr()


def prolongation(n: int, dimension: int) -> Any:
    """Return linear interpolation to n (odd) interior points in each direction from (n - 1) / 2 of them."""
    coarse = (n - 1) // 2
    columns = np.repeat(np.arange(coarse), 3)
    rows = 2 * columns + np.tile([0, 1, 2], coarse)
    one = sp.coo_matrix((np.tile([0.5, 1.0, 0.5], coarse), (rows, columns)), (n, coarse))
    total = one
    for _ in range(dimension - 1):
        total = sp.kron(total, one)
    return total.tocsr()


def transfers(n: int, dimension: int, grids: int) -> tuple[Any, ...]:
    """Return the interpolations between a number of grids as PETSc matrices, the finest first."""
    found = []
    for _ in range(grids - 1):
        found.append(petsc_matrix(prolongation(n, dimension)))
        n = (n - 1) // 2
    return tuple(found)
