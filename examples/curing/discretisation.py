"""P1 finite elements for the curing process in dolfinx: assembled once, so that a time step is a few matrix products.

The diffusion term K(c) theta with a coefficient c that changes in every step is the dear part. On P1 the gradient is
constant on a cell, so with the nodal interpolant of c

    K(c) theta = Gx^T diag(mean of c / area) Gx theta + the same in y,    (Gx theta)_cell = area * d theta / dx,

exactly: five products with sparse matrices that dolfinx assembles once replace the assembly of a form (a fifth of its
time), and the same PETSc products work on any number of ranks.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
import ufl
from cosolve.examples.curing.process import FloatArray
from cosolve.plugins.fenicsx import compat
from petsc4py import PETSc


class Discretisation:
    """The mesh and the matrices of the unit square (collective to build).

    Attributes:
        mesh: dolfinx mesh, n x n squares of two triangles.
        space: P1 space.
        mass: Mass matrix M.
        stiffness: Stiffness matrix K.
        gradient: Gx and Gy, one row for each owned cell: area times the derivative.
        mean: One row for each owned cell: minus the mean over the cell divided by the cell's area.
        inverse_area: 1 / area of the owned cells, shape `(n_cells,)`.
        points: Coordinates of the owned nodes, shape `(n_owned, 2)`.
        axes: The different x, the different y, and the index of each node in the grid `(y, x)` of both; None where the
            nodes are no grid, or a small part of one.
    """

    def __init__(self, comm: Any, n: int) -> None:
        """Build everything on `comm` (an mpi4py communicator) for an `n` x `n` mesh. Collective."""
        self.comm = comm
        self.n = n
        self.mesh = compat.create_unit_square(comm, n, n)
        self.space = compat.function_space(self.mesh, ("Lagrange", 1))
        cells = compat.function_space(self.mesh, ("DG", 0))
        u, v, w = ufl.TrialFunction(self.space), ufl.TestFunction(self.space), ufl.TestFunction(cells)
        self.mass = compat.assemble_matrix(u * v * ufl.dx)
        self.stiffness = compat.assemble_matrix(ufl.inner(ufl.grad(u), ufl.grad(v)) * ufl.dx)
        self.gradient = (compat.assemble_matrix(u.dx(0) * w * ufl.dx), compat.assemble_matrix(u.dx(1) * w * ufl.dx))
        self.mean = compat.assemble_matrix(u * w * ufl.dx)

        one = self.node_vector()
        one.set(1.0)
        area = self.cell_vector()
        self.mean.mult(one, area)
        self.inverse_area: FloatArray = 1.0 / area.array
        # A row of `mean` sums up to the area; minus 1 / area^2 turns it into minus the mean over the area.
        scale = self.cell_vector()
        scale.array[:] = -(self.inverse_area**2)
        self.mean.diagonalScale(L=scale)
        self.points: FloatArray = self.space.tabulate_dof_coordinates()[: self.n_owned, :2].copy()
        self.axes = _axes(self.points)
        self._left, self._right = self.node_vector(), self.node_vector()
        for vector in (one, area, scale):
            vector.destroy()

    @property
    def n_owned(self) -> int:
        """Number of nodes that this rank owns."""
        return int(self.mass.getLocalSize()[0])

    def node_vector(self) -> Any:
        """Return a new PETSc vector of nodal values (collective)."""
        return self.mass.createVecRight()

    def cell_vector(self) -> Any:
        """Return a new PETSc vector with one value for each cell (collective)."""
        return self.mean.createVecLeft()

    def inner(self, a: FloatArray, b: FloatArray) -> float:
        """Return the L2 inner product of two nodal fields (collective).

        Args:
            a: Owned values, shape `(n_owned,)`.
            b: Owned values, shape `(n_owned,)`.
        """
        self._left.array[:] = b
        self.mass.mult(self._left, self._right)
        self._left.array[:] = a
        return float(self._left.dot(self._right))

    def norm(self, a: FloatArray) -> float:
        """Return the L2 norm of a nodal field (collective), `a` of shape `(n_owned,)`."""
        return float(np.sqrt(max(self.inner(a, a), 0.0)))

    def close(self) -> None:
        """Free the PETSc objects (collective)."""
        for item in (self.mass, self.stiffness, *self.gradient, self.mean, self._left, self._right):
            item.destroy()


def _axes(points: FloatArray) -> tuple[FloatArray, FloatArray, npt.NDArray[np.int64]] | None:
    """Return different coordinates and flat indices of nodes on a grid, see `Discretisation.axes`."""
    x, ix = np.unique(np.round(points[:, 0], 12), return_inverse=True)
    y, iy = np.unique(np.round(points[:, 1], 12), return_inverse=True)
    return (x, y, iy * len(x) + ix) if len(x) * len(y) <= 4 * len(points) else None


class Factorised:
    """A symmetric positive definite combination a M + b K, factored once by a direct solver (collective).

    PETSc's own sparse Cholesky solves a 64 x 64 system in 0.13 ms, MUMPS in 0.9 ms; only MUMPS works on several ranks.
    """

    def __init__(self, discretisation: Discretisation, mass: float, stiffness: float) -> None:
        """Factor `mass * M + stiffness * K`."""
        self._matrix = discretisation.mass.copy()
        self._matrix.scale(mass)
        self._matrix.axpy(stiffness, discretisation.stiffness, PETSc.Mat.Structure.SAME_NONZERO_PATTERN)
        self._ksp = PETSc.KSP().create(discretisation.comm)
        self._ksp.setOperators(self._matrix)
        self._ksp.setType(PETSc.KSP.Type.PREONLY)
        pc = self._ksp.getPC()
        pc.setType(PETSc.PC.Type.CHOLESKY)
        if discretisation.comm.size == 1:
            pc.setFactorSolverType("petsc")
            pc.setFactorOrdering("nd")
        else:
            pc.setFactorSolverType("mumps")
        self._ksp.setUp()
        self._factor = pc.getFactorMatrix()

    def solve(self, right: Any, solution: Any) -> None:
        """Solve for `solution` (collective). The factor is called directly: a KSP adds a norm and a copy."""
        self._factor.solve(right, solution)

    def close(self) -> None:
        """Free the factor (collective)."""
        self._ksp.destroy()
        self._matrix.destroy()
