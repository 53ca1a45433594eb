"""The Brusselator as a PETSc user writes it: a DMDA, an implicit function and its Jacobian for a TS.

    u_t = a - (b + 1) u + u^2 v + d_u lap u,    v_t = b u - u^2 v + d_v lap v,    periodic on the unit square,

second order in h. Nothing here knows of cosolve.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
from petsc4py import PETSc

Plane = npt.NDArray[np.float64]

_STENCIL = ((0, 0), (0, -1), (0, 1), (-1, 0), (1, 0))


class Brusselator:
    """Function and Jacobian on a DMDA with two components.

    Args:
        comm: Communicator.
        cells: Grid points along each side.
        a: Feed.
        b: Rate.
        diffusivities: Of u and v.
    """

    def __init__(self, comm: Any, cells: int, a: float, b: float, diffusivities: tuple[float, float]) -> None:
        self.a, self.b = a, b
        periodic = PETSc.DM.BoundaryType.PERIODIC
        self.da = PETSc.DMDA().create(
            [cells, cells], dof=2, stencil_width=1, boundary_type=(periodic, periodic), comm=comm
        )
        self.da.setUniformCoordinates(0.0, 1.0, 0.0, 1.0)
        (self.x0, self.x1), (self.y0, self.y1) = self.da.getRanges()
        self.coefficients = np.array(diffusivities) * cells**2
        self.local = self.da.createLocalVec()
        self.u = self.da.createGlobalVec()
        self.f = self.da.createGlobalVec()
        self.jacobian = self.da.createMat()
        self.rows, self.columns = self._pattern()

    def function(self, ts: Any, t: float, x: Any, xdot: Any, f: Any) -> None:
        """Compute F(t, x, x_t), all terms on one side: communication first, then this rank's own points."""
        self.da.globalToLocal(x, self.local)
        w = self.local.array_r.reshape(self.y1 - self.y0 + 2, self.x1 - self.x0 + 2, 2)
        inner = w[1:-1, 1:-1]
        laplacian = w[1:-1, :-2] + w[1:-1, 2:] + w[:-2, 1:-1] + w[2:, 1:-1] - 4.0 * inner
        out = xdot.array_r.reshape(inner.shape) - self.coefficients * laplacian - self.reaction(inner)
        f.array[:] = out.reshape(-1)

    def reaction(self, w: Plane) -> Plane:
        """Return the rates of u and v, which are the last axis of `w`."""
        u, v = w[..., 0], w[..., 1]
        rate = u * u * v
        return np.stack([self.a - (self.b + 1.0) * u + rate, self.b * u - rate], axis=-1)

    def derivative(self, ts: Any, t: float, x: Any, xdot: Any, shift: float, matrix: Any, precond: Any) -> None:
        """Assemble shift dF/dx_t + dF/dx."""
        w = x.array_r.reshape(-1, 2)
        u, v = w[:, 0], w[:, 1]
        values = np.zeros((len(w), 2, 1 + len(_STENCIL)))
        # The two components at the point itself, then the same component at the four neighbours.
        values[:, 0, 0] = shift + (self.b + 1.0) - 2.0 * u * v + 4.0 * self.coefficients[0]
        values[:, 0, 1] = -u * u
        values[:, 1, 0] = 2.0 * u * v - self.b
        values[:, 1, 1] = shift + u * u + 4.0 * self.coefficients[1]
        values[:, :, 2:] = -self.coefficients[None, :, None]
        precond.setValuesCSR(self.rows, self.columns, values.reshape(-1))
        precond.assemble()
        if matrix != precond:
            matrix.assemble()

    def start(self, seed: int) -> None:
        """Set `u` to the steady state with three waves of random phase, the same on any number of ranks."""
        rng = np.random.default_rng(seed)
        nx, ny = self.da.getSizes()
        x, y = np.meshgrid(np.arange(self.x0, self.x1) / nx, np.arange(self.y0, self.y1) / ny)
        w = self.u.array.reshape(*x.shape, 2)
        w[..., 0], w[..., 1] = self.a, self.b / self.a
        for k, m in ((1, 0), (0, 1), (1, 1)):
            phase, size = rng.uniform(0.0, 2.0 * np.pi), rng.uniform(0.2, 0.4)
            wave = size * np.cos(2.0 * np.pi * (k * x + m * y) + phase)
            w[..., 0] += wave
            w[..., 1] -= 0.5 * wave

    def timestepper(self, prefix: str) -> Any:
        """Return a TS: Crank-Nicolson, GMRES with point-block ILU inside Newton's method; options may change it all."""
        ts = PETSc.TS().create(comm=self.da.getComm())
        ts.setOptionsPrefix(prefix)
        ts.setDM(self.da)
        ts.setType(PETSc.TS.Type.CN)
        ts.setIFunction(self.function, self.f)
        ts.setIJacobian(self.derivative, self.jacobian, self.jacobian)
        ts.setSolution(self.u)
        snes = ts.getSNES()
        snes.getKSP().setType("gmres")
        snes.getKSP().getPC().setType("bjacobi" if self.da.getComm().size > 1 else "ilu")
        snes.getKSP().setTolerances(rtol=1e-4)
        return ts

    def destroy(self) -> None:
        """Free vectors, matrix and DM (collective)."""
        for item in (self.local, self.u, self.f, self.jacobian, self.da):
            item.destroy()

    def _pattern(self) -> tuple[Any, Any]:
        """Return the CSR pattern of this rank's rows in PETSc's own numbering."""
        width = self.x1 - self.x0 + 2
        points = self.da.getLGMap().getBlockIndices()
        j, i = np.meshgrid(np.arange(1, self.x1 - self.x0 + 1), np.arange(1, self.y1 - self.y0 + 1))
        near = [points[((i + di) * width + (j + dj)).reshape(-1)] for di, dj in _STENCIL]
        columns = np.empty((near[0].size, 2, 1 + len(_STENCIL)), dtype=PETSc.IntType)
        for component in (0, 1):
            columns[:, component, 0] = 2 * near[0]
            columns[:, component, 1] = 2 * near[0] + 1
            for place, other in enumerate(near[1:], 2):
                columns[:, component, place] = 2 * other + component
        rows = np.arange(0, columns.size + 1, columns.shape[2], dtype=PETSc.IntType)
        return rows, columns.reshape(-1)
