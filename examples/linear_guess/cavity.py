"""Right-hand sides of pressure solves: a lid-driven cavity whose lid speeds up and slows down, by splitting (serial).

The projection scheme of A. J. Chorin and R. Temam, without pressure increments, see J.-L. Guermond, P. Minev and
J. Shen, Comput. Methods Appl. Mech. Engrg. 195 (2006) 6011, doi:10.1016/j.cma.2005.10.010: a velocity with explicit
convection and implicit diffusion, a pressure that makes it free of divergence, a correction. All unknowns are P1.
"""

from __future__ import annotations

from typing import Any, Final

import dolfinx.fem
import dolfinx.fem.petsc
import numpy as np
import ufl
from cosolve.core.arrays import Array
from cosolve.plugins.fenicsx import compat
from mpi4py import MPI
from petsc4py import PETSc

VISCOSITY: Final = 5e-3
DT: Final = 2.5e-3
"""Below the limit 2 VISCOSITY / speed^2 of explicit convection, for lids up to a speed of 2."""

_RTOL: Final = 1e-9


class Cavity:
    """The unit square with a moving lid.

    Args:
        cells: Squares in each direction, two triangles each.

    Attributes:
        matrix: Of the pressure solves: the Laplacian with one pressure fixed, symmetric positive definite.
    """

    def __init__(self, cells: int) -> None:
        mesh = compat.create_unit_square(MPI.COMM_SELF, cells, cells)
        space = compat.function_space(mesh, ("Lagrange", 1))
        u, v = ufl.TrialFunction(space), ufl.TestFunction(space)
        self.matrix = compat.assemble_matrix(ufl.inner(ufl.grad(u), ufl.grad(v)) * ufl.dx)
        self._gradients = [compat.assemble_matrix(u.dx(k) * v * ufl.dx) for k in (0, 1)]
        mass = compat.assemble_matrix(u * v * ufl.dx)
        # Vectors that nobody destroys pile up: petsc4py frees what Python drops only when it is told to.
        self._product = self.matrix.createVecLeft()
        x = self.matrix.createVecRight()
        x.set(1.0)
        self._lumped = self._times(mass, x).copy()
        x.destroy()
        self._mass = mass
        diffusion = compat.assemble_matrix((u * v / DT + VISCOSITY * ufl.inner(ufl.grad(u), ufl.grad(v))) * ufl.dx)
        places = space.tabulate_dof_coordinates()[:, :2]
        self._walls = np.flatnonzero(np.any((places < 1e-9) | (places > 1.0 - 1e-9), axis=1)).astype(np.int32)
        along, height = places[self._walls].T
        # Regularised: at rest in both corners.
        self._profile = np.where(height > 1.0 - 1e-9, (1.0 - (2.0 * along - 1.0) ** 4) ** 2, 0.0)
        self._velocity = [dolfinx.fem.Function(space) for _ in (0, 1)]
        w = self._velocity
        self._convection = [dolfinx.fem.form((w[0] * w[k].dx(0) + w[1] * w[k].dx(1)) * v * ufl.dx) for k in (0, 1)]
        self._columns = diffusion.copy()
        self._fix(diffusion, self._walls)
        self._fix(self.matrix, np.zeros(1, dtype=np.int32))
        self._diffuse = _solver(diffusion, "jacobi")
        self._press = _solver(self.matrix, "hypre" if PETSc.Sys.hasExternalPackage("hypre") else "gamg")

    def right_hand_sides(self, count: int, random: np.random.Generator) -> Array:
        """Return those of the pressure solves of the first `count` steps from rest, shape `(count, n)`.

        The lid's speed is one, with three random waves on top.
        """
        phases, rates = random.uniform(0.0, 2.0 * np.pi, 3), random.uniform(0.5, 4.0, 3)
        size = self.matrix.getSize()[0]
        velocity, old = np.zeros((2, size)), np.zeros((2, size))
        right, x = self.matrix.createVecRight(), self.matrix.createVecRight()
        found = np.zeros((count, size))
        pressure = np.zeros(size)
        for step in range(count):
            time = DT * (step + 1)
            speed = 1.0 + 0.25 * float(np.sin(2.0 * np.pi * rates * time + phases).sum())
            convected = self._convected(velocity)
            forward = 1.5 * convected - 0.5 * old if step else convected
            old = convected
            divergence = np.zeros(size)
            for k in (0, 1):
                boundary = speed * self._profile if k == 0 else np.zeros(len(self._walls))
                x.array[:] = velocity[k]
                right.array[:] = self._times(self._mass, x) / DT - forward[k]
                self._lift(right, boundary)
                self._diffuse.solve(right, x)
                velocity[k] = x.array_r
                divergence += self._times(self._gradients[k], x)
            divergence[0] = 0.0
            found[step] = -divergence / DT
            right.array[:] = found[step]
            x.array[:] = pressure
            self._press.solve(right, x)
            pressure = x.array_r.copy()
            for k in (0, 1):
                velocity[k] -= DT * self._times(self._gradients[k], x) / self._lumped
                velocity[k][self._walls] = speed * self._profile if k == 0 else 0.0
        right.destroy()
        x.destroy()
        return found

    def _convected(self, velocity: Array) -> Array:
        for function, values in zip(self._velocity, velocity, strict=True):
            function.x.array[:] = values
        found = []
        for form in self._convection:
            vector = dolfinx.fem.petsc.assemble_vector(form)
            found.append(vector.array_r.copy())
            vector.destroy()
        return np.array(found)

    def _lift(self, right: Any, boundary: Array) -> None:
        """Impose the velocity on the walls on a right-hand side."""
        known = right.duplicate()
        known.set(0.0)
        known.array[self._walls] = boundary
        right.array[:] -= self._times(self._columns, known)
        right.array[self._walls] = boundary
        known.destroy()

    def _times(self, matrix: Any, x: Any) -> Array:
        """Return the product, values that hold until the next one."""
        matrix.mult(x, self._product)
        values: Array = self._product.array_r
        return values

    @staticmethod
    def _fix(matrix: Any, rows: Any) -> None:
        matrix.setOption(PETSc.Mat.Option.KEEP_NONZERO_PATTERN, True)
        matrix.zeroRowsColumns(rows, 1.0)


def _solver(matrix: Any, preconditioner: str) -> Any:
    ksp = PETSc.KSP().create(matrix.getComm())
    ksp.setOperators(matrix)
    ksp.setType("cg")
    ksp.getPC().setType(preconditioner)
    ksp.setTolerances(rtol=_RTOL)
    ksp.setInitialGuessNonzero(True)
    return ksp
