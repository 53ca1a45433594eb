"""The number of negative eigenvalues of a symmetric matrix, from the signs of a factorisation (Sylvester's law)."""

from __future__ import annotations

from typing import Any

from petsc4py import PETSc

_COUNT_NULL_PIVOTS, _NO_SCALAPACK_AT_THE_ROOT = 24, 13


def negative_eigenvalues(matrix: Any) -> int:
    """Return how many eigenvalues of a symmetric PETSc matrix are negative (collective over its communicator).

    The matrix is factorised by MUMPS as L D L^T and has as many negative eigenvalues as D has negative pivots. On one
    rank a factorisation without pivoting is tried first, in a fraction of the time: where all of its pivots are
    positive it is Cholesky's, which is stable, and so the matrix is definite. Any other outcome of it says nothing.

    Raises:
        PETSc.Error: MUMPS is missing, or the factorisation failed; on every rank alike.
    """
    if matrix.comm.size == 1 and _definite(matrix):
        return 0
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


def _definite(matrix: Any) -> bool:
    """Return whether PETSc's own Cholesky factorisation has positive pivots only; False where it fails."""
    factor = PETSc.PC().create(matrix.comm)
    try:
        factor.setOperators(matrix)
        factor.setType("cholesky")
        factor.setFactorSolverType("petsc")
        factor.setFactorOrdering("rcm")
        factor.setUp()
        # A factorisation that broke off has counted fewer pivots than rows.
        positive: int = factor.getFactorMatrix().getInertia()[2]
        return positive == int(matrix.getSize()[0])
    except PETSc.Error:
        return False
    finally:
        factor.destroy()
