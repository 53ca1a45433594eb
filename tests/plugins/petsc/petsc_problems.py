"""Small problems as PETSc users write them: a KSP, a SNES and a TS of their own on DMDAs."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from typing import Any

import numpy as np
from petsc4py import PETSc

CELLS = 24


def use_own_operators(ksp: Any) -> None:
    """Let the KSP keep the user's matrix though it has a DM; from 3.25 on the call says of what the DM is kept away."""
    kinds = getattr(PETSc.KSP, "DMActive", None)
    ksp.setDMActive(*([] if kinds is None else [kinds.ALL]), False)


def poisson(comm: Any = PETSc.COMM_WORLD, n: int = CELLS, prefix: str | None = "poisson_") -> tuple[Any, Any]:
    """Return a KSP for -lap u = 1 on n x n points with zero boundary, and its right-hand side."""
    da = PETSc.DMDA().create([n, n], dof=1, stencil_width=1, comm=comm)
    da.setUniformCoordinates(0.0, 1.0, 0.0, 1.0)
    matrix, b = da.createMat(), da.createGlobalVec()
    (x0, x1), (y0, y1) = da.getRanges()
    row, column = PETSc.Mat.Stencil(), PETSc.Mat.Stencil()
    for j in range(y0, y1):
        for i in range(x0, x1):
            row.index = (i, j)
            for di, dj, value in ((0, 0, 4.0), (1, 0, -1.0), (-1, 0, -1.0), (0, 1, -1.0), (0, -1, -1.0)):
                if 0 <= i + di < n and 0 <= j + dj < n:
                    column.index = (i + di, j + dj)
                    matrix.setValueStencil(row, column, value)
    matrix.assemble()
    b.set(1.0 / (n + 1) ** 2)
    ksp = PETSc.KSP().create(comm=comm)
    if prefix is not None:
        ksp.setOptionsPrefix(prefix)
    ksp.setOperators(matrix)
    ksp.setType("cg")
    ksp.getPC().setType("jacobi")
    ksp.setTolerances(rtol=1e-8)
    ksp.setDM(da)
    use_own_operators(ksp)
    return ksp, b


class Rod:
    """u_t = d u_xx + u - u^3 + sin(3 t) on n points, zero flux, by DMDA and ghost points.

    Attributes:
        before: Called at the start of the function after its communication; tests plant faults there.
        evaluations: How often the function was called.
        addresses: Where the values of the unknown lay in the last calls.
    """

    def __init__(self, comm: Any = PETSc.COMM_WORLD, n: int = 40, diffusivity: float = 0.05) -> None:
        self.n, self.c = n, diffusivity * (n - 1) ** 2
        self.da = PETSc.DMDA().create([n], dof=1, stencil_width=1, comm=comm)
        self.da.setUniformCoordinates(0.0, 1.0)
        ((self.start, self.stop),) = self.da.getRanges()
        self.local, self.u, self.f = self.da.createLocalVec(), self.da.createGlobalVec(), self.da.createGlobalVec()
        self.jacobian = self.da.createMat()
        x = np.arange(self.start, self.stop) / (n - 1)
        self.u.array[:] = np.cos(np.pi * x)
        self.before: Callable[[], None] = lambda: None
        self.before_jacobian: Callable[[], None] = lambda: None
        self.evaluations = 0
        self.addresses: deque[int] = deque(maxlen=64)

    def spatial(self, u: Any, t: float) -> Any:
        self.evaluations += 1
        self.addresses.append(u.array_r.ctypes.data)
        self.da.globalToLocal(u, self.local)
        self.before()
        ((first, last),) = self.da.getGhostRanges()
        w = np.zeros(self.stop - self.start + 2)
        offset = first - (self.start - 1)
        w[offset : offset + last - first] = self.local.array_r
        if self.start == 0:
            w[0] = w[2] if len(w) > 2 else 0.0
        if self.stop == self.n:
            w[-1] = w[-3] if len(w) > 2 else 0.0
        v = w[1:-1]
        return -self.c * (w[2:] - 2.0 * v + w[:-2]) - v + v**3 - np.sin(3.0 * t)

    def ifunction(self, ts: Any, t: float, u: Any, udot: Any, f: Any) -> None:
        f.array[:] = udot.array_r + self.spatial(u, t)

    def ijacobian(self, ts: Any, t: float, u: Any, udot: Any, shift: float, matrix: Any, precond: Any) -> None:
        self.before_jacobian()
        values = u.array_r
        for i in range(self.start, self.stop):
            precond.setValue(i, i, shift + 2.0 * self.c - 1.0 + 3.0 * values[i - self.start] ** 2)
            for j in (i - 1, i + 1):
                if 0 <= j < self.n:
                    precond.setValue(i, j, -self.c * (2.0 if i in (0, self.n - 1) else 1.0))
        precond.assemble()

    def ts(self, kind: str = "beuler", prefix: str | None = "rod_") -> Any:
        ts = PETSc.TS().create(comm=self.da.getComm())
        if prefix is not None:
            ts.setOptionsPrefix(prefix)
        ts.setDM(self.da)
        ts.setIFunction(self.ifunction, self.f)
        ts.setIJacobian(self.ijacobian, self.jacobian, self.jacobian)
        ts.setType(kind)
        ts.setSolution(self.u)
        _direct(ts.getSNES().getKSP())
        return ts

    def snes(self, prefix: str | None = "steady_") -> Any:
        """Return a SNES for the steady state at t = 1."""
        snes = PETSc.SNES().create(comm=self.da.getComm())
        if prefix is not None:
            snes.setOptionsPrefix(prefix)
        snes.setDM(self.da)

        def function(snes: Any, u: Any, f: Any) -> None:
            f.array[:] = self.spatial(u, 1.0) + 3.0 * u.array_r

        def derivative(snes: Any, u: Any, matrix: Any, precond: Any) -> None:
            self.ijacobian(None, 1.0, u, None, 3.0, matrix, precond)

        snes.setFunction(function, self.f)
        snes.setJacobian(derivative, self.jacobian)
        _direct(snes.getKSP())
        return snes


def _direct(ksp: Any) -> None:
    ksp.setType("preonly")
    ksp.getPC().setType("lu")
    if ksp.getComm().size > 1:
        ksp.getPC().setFactorSolverType("mumps")
