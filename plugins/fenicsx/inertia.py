"""The number of negative eigenvalues of a symmetric matrix, from the signs of a factorisation (Sylvester's law)."""

from __future__ import annotations

from typing import Any

from petsc4py import PETSc

_COUNT_NULL_PIVOTS, _NO_SCALAPACK_AT_THE_ROOT = 24, 13


def negative_eigenvalues(matrix: Any) -> int:
    """Return how many eigenvalues of a symmetric PETSc matrix are negative (collective over its communicator).

    The matrix is factorised by MUMPS as L D L^T and has as many negative eigenvalues as D has negative pivots.

    Raises:
        PETSc.Error: MUMPS is missing, or the factorisation failed; on every rank alike.
    """
    factor = PETSc.PC().create(matrix.comm)
    try:
        factor.setOperators(matrix)
        factor.setType("cholesky")
        factor.setFactorSolverType("mumps")
        factor.setFactorSetUpSolverType()
        held = factor.getFactorMatrix()
        held.setMumpsIcntl(_COUNT_NULL_PIVOTS, 1)
        held.setMumpsIcntl(_NO_SCALAPACK_AT_THE_ROOT, 1)
        factor.setUp()
        negative: int = factor.getFactorMatrix().getInertia()[0]
        return int(negative)
    finally:
        factor.destroy()
