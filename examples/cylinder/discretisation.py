"""P2 velocities and P1 pressures on the channel: what a step multiplies by, assembled by dolfinx.

Each component of the velocity is a scalar field, because implicit diffusion and convection by a known velocity do not
couple them: one matrix of half the size serves both. Only that matrix changes from step to step.
"""

from __future__ import annotations

from typing import Any

import dolfinx.fem
import dolfinx.fem.petsc
import dolfinx.mesh
import numpy as np
import numpy.typing as npt
import ufl
from cosolve.examples.cylinder.mesh import CENTRE, HEIGHT, LENGTH, RADIUS, FloatArray, Resolution, channel
from cosolve.plugins.fenicsx import compat
from petsc4py import PETSc

VISCOSITY = 1e-3
"""Kinematic, in square metres per second; the density is 1."""

_NEAR = 1e-8


class Discretisation:
    """Mesh, spaces and matrices (collective to build and to close).

    Attributes:
        mesh: The dolfinx mesh.
        velocities: P2 space of one component.
        pressures: P1 space.
        mass: P2 mass matrix M.
        gradients: Gx and Gy, rows of P2, columns of P1: integrals of p dv/dx and p dv/dy.
        pressure_mass: P1 mass matrix.
        laplacian: P1 stiffness matrix with ones on the diagonal of the outflow's rows.
        fixed: Owned P2 dofs on inflow, walls and cylinder.
        profile: Their velocity along the channel for a mean speed of 1: a parabola at the inflow, else 0.
        outflow: Owned P1 dofs at the outflow.
        points: Coordinates of the owned P2 dofs, shape `(n_u, 2)`.
        pressure_points: Of the owned P1 dofs, shape `(n_p, 2)`.
    """

    def __init__(self, comm: Any, resolution: Resolution, rate: float) -> None:
        """Build everything on `comm`; `rate` is the weight of the mass in the velocity's matrix, in 1/s."""
        self.mesh = channel(comm, resolution)
        self.velocities = compat.function_space(self.mesh, ("Lagrange", 2))
        self.pressures = compat.function_space(self.mesh, ("Lagrange", 1))
        u, v = ufl.TrialFunction(self.velocities), ufl.TestFunction(self.velocities)
        p, q = ufl.TrialFunction(self.pressures), ufl.TestFunction(self.pressures)
        # Exact for convection on straight cells; the curved ones are nearly straight.
        self.dx = ufl.dx(metadata={"quadrature_degree": 5})
        self.mass = compat.assemble_matrix(u * v * self.dx)
        self.gradients = tuple(compat.assemble_matrix(p * v.dx(k) * self.dx) for k in (0, 1))
        self.pressure_mass = compat.assemble_matrix(p * q * self.dx)
        self.points: FloatArray = _coordinates(self.velocities, self.mass.getLocalSize()[0])
        self.pressure_points: FloatArray = _coordinates(self.pressures, self.pressure_mass.getLocalSize()[0])
        self.fixed, self.profile = _boundary(self.points)
        self.outflow = np.flatnonzero(self.pressure_points[:, 0] > LENGTH - _NEAR).astype(np.int32)
        self.laplacian = compat.assemble_matrix(ufl.inner(ufl.grad(p), ufl.grad(q)) * self.dx)
        _identity_rows(self.laplacian, self.outflow, symmetric=True)
        self._convecting = tuple(dolfinx.fem.Function(self.velocities) for _ in range(2))
        w = self._convecting
        self._form = dolfinx.fem.form(
            (
                dolfinx.fem.Constant(self.mesh, rate) * u * v
                + dolfinx.fem.Constant(self.mesh, VISCOSITY) * ufl.inner(ufl.grad(u), ufl.grad(v))
                + (w[0] * u.dx(0) + w[1] * u.dx(1)) * v
            )
            * self.dx
        )
        self.transport = dolfinx.fem.petsc.create_matrix(self._form)
        """rate M + viscosity K + C(w), ones on the diagonal of the fixed rows; see `convect`."""

    def convect(self, w: FloatArray) -> None:
        """Assemble `transport` with the convecting velocity `w`, owned values of shape `(2, n_u)` (collective)."""
        for function, values in zip(self._convecting, w, strict=True):
            function.x.array[: values.size] = values
            function.x.scatter_forward()
        self.transport.zeroEntries()
        dolfinx.fem.petsc.assemble_matrix(self.transport, self._form)
        self.transport.assemble()
        _identity_rows(self.transport, self.fixed)

    def close(self) -> None:
        """Free the PETSc objects (collective)."""
        for matrix in (self.mass, *self.gradients, self.pressure_mass, self.laplacian, self.transport):
            matrix.destroy()


class Factorised:
    """A symmetric positive definite matrix, factored once (collective): PETSc's own Cholesky in serial, else MUMPS."""

    def __init__(self, matrix: Any) -> None:
        """Factor `matrix`, which the caller keeps alive."""
        self._ksp = PETSc.KSP().create(matrix.getComm())
        self._ksp.setOperators(matrix)
        self._ksp.setType(PETSc.KSP.Type.PREONLY)
        pc = self._ksp.getPC()
        pc.setType(PETSc.PC.Type.CHOLESKY)
        if matrix.getComm().getSize() == 1:
            pc.setFactorSolverType("petsc")
            pc.setFactorOrdering("nd")
        else:
            pc.setFactorSolverType("mumps")
        self._ksp.setUp()
        self._factor = pc.getFactorMatrix()

    def solve(self, right: Any, solution: Any) -> None:
        """Solve for `solution` (collective)."""
        self._factor.solve(right, solution)

    def close(self) -> None:
        """Free the factor (collective)."""
        self._ksp.destroy()


class Forces:
    """Drag and lift coefficients by the weak form: the momentum equation tested with 1 on the cylinder and 0 elsewhere.

    Only the ring of cells that touch the cylinder counts. The functional converges with the fourth power of the cell
    size, an integral of stresses over the circle with the second (John 2004, doi:10.1002/fld.679).

    Args:
        discretisation: Mesh and spaces.
        dt: Length of a step, for the second-order difference of the last three velocities.
    """

    def __init__(self, discretisation: Discretisation, dt: float) -> None:
        mesh, space = discretisation.mesh, discretisation.velocities
        self._levels = [[dolfinx.fem.Function(space) for _ in range(2)] for _ in range(3)]
        self._pressure = dolfinx.fem.Function(discretisation.pressures)
        near = dolfinx.fem.Function(space)
        dofs = dolfinx.fem.locate_dofs_geometrical(space, lambda x: _on_circle(x.T))
        near.x.array[dofs] = 1.0
        cells = _ring(mesh)
        tags = dolfinx.mesh.meshtags(mesh, mesh.topology.dim, cells, np.ones(len(cells), dtype=np.int32))
        dx = ufl.Measure("dx", domain=mesh, subdomain_data=tags, metadata={"quadrature_degree": 6})(1)
        (u, u1, u2), p = self._levels, self._pressure
        self._forms = [
            dolfinx.fem.form(
                -20.0
                * (
                    (1.5 * u[k] - 2.0 * u1[k] + 0.5 * u2[k]) / dt * near
                    + VISCOSITY * ufl.inner(ufl.grad(u[k]), ufl.grad(near))
                    + (u[0] * u[k].dx(0) + u[1] * u[k].dx(1)) * near
                    - p * near.dx(k)
                )
                * dx
            )
            for k in range(2)
        ]

    def local(self, levels: FloatArray, pressure: FloatArray) -> FloatArray:
        """Return this rank's part of drag and lift (not collective but for the ghosts' update).

        Args:
            levels: Velocities of the last three steps, newest first, owned values of shape `(3, 2, n_u)`.
            pressure: Owned values, shape `(n_p,)`.
        """
        for functions, velocity in zip(self._levels, levels, strict=True):
            for function, values in zip(functions, velocity, strict=True):
                function.x.array[: values.size] = values
                function.x.scatter_forward()
        self._pressure.x.array[: pressure.size] = pressure
        self._pressure.x.scatter_forward()
        return np.array([dolfinx.fem.assemble_scalar(form) for form in self._forms], dtype=np.float64)


def _coordinates(space: Any, owned: int) -> FloatArray:
    points: FloatArray = space.tabulate_dof_coordinates()[:owned, :2].copy()
    return points


def _on_circle(points: FloatArray) -> npt.NDArray[np.bool_]:
    distance = np.hypot(points[:, 0] - CENTRE[0], points[:, 1] - CENTRE[1])
    inside: npt.NDArray[np.bool_] = distance < RADIUS * (1.0 + 1e-4)
    return inside


def _boundary(points: FloatArray) -> tuple[npt.NDArray[np.int32], FloatArray]:
    """Return the dofs with a given velocity, and that velocity along the channel for a mean speed of 1."""
    x, y = points.T
    inflow = x < _NEAR
    walls = (y < _NEAR) | (y > HEIGHT - _NEAR)
    fixed = np.flatnonzero(inflow | walls | _on_circle(points)).astype(np.int32)
    parabola = np.where(inflow & ~walls, 6.0 * y * (HEIGHT - y) / HEIGHT**2, 0.0)
    return fixed, parabola[fixed]


def _identity_rows(matrix: Any, rows: npt.NDArray[np.int32], *, symmetric: bool = False) -> None:
    matrix.setOption(PETSc.Mat.Option.KEEP_NONZERO_PATTERN, True)
    numbers = rows + matrix.getOwnershipRange()[0]
    (matrix.zeroRowsColumns if symmetric else matrix.zeroRows)(numbers, 1.0)


def _ring(mesh: Any) -> npt.NDArray[np.int32]:
    """Return the owned cells that touch the cylinder, at a corner at least."""
    nodes = compat.cell_geometry(mesh)
    touching = _on_circle(mesh.geometry.x[:, :2])[nodes].any(axis=1)
    owned = mesh.topology.index_map(mesh.topology.dim).size_local
    return np.flatnonzero(touching[:owned]).astype(np.int32)
