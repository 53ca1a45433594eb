"""Load stepping without cosolve: dolfinx and PETSc's SNES alone, to show that the rival is not slowed down.

The same steps, predictor, linear solver and tolerances as `load_stepping` with the same settings; Newton's method with
a fresh Jacobian in each iteration.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import dolfinx.fem.petsc
import numpy as np
import ufl
from cosolve.core.arrays import Array
from cosolve.examples.cantilever.form import residual
from cosolve.examples.cantilever.options import HEIGHT, LENGTH
from cosolve.examples.cantilever.problem import RTOL, load_of, modulus_modes
from cosolve.plugins.fenicsx import compat
from dolfinx import fem, mesh
from mpi4py import MPI
from petsc4py import PETSc

_INSERT, _ADD = PETSc.InsertMode.INSERT, PETSc.InsertMode.ADD


class BareStepping:
    """The script as a class, so that forms are compiled once (serial).

    Args:
        cells: Of the mesh.
        settings: `first_step`, `growth`, `shrink`, `corrector_iterations`, `easy_iterations`, `order`, `loose`.
    """

    def __init__(self, cells: tuple[int, int], settings: Mapping[str, Any]) -> None:
        self.settings = settings
        domain = compat.create_rectangle(MPI.COMM_SELF, (LENGTH, HEIGHT), *cells)
        space = compat.function_space(domain, compat.element(domain, "Lagrange", 1, shape=(2,)))
        scalars = compat.function_space(domain, ("Lagrange", 1))
        self.u, v, self.modulus = fem.Function(space), ufl.TestFunction(space), fem.Function(scalars)
        self.loads = fem.Constant(domain, np.zeros(6))
        self.shapes = modulus_modes(scalars.tabulate_dof_coordinates())
        top = mesh.locate_entities_boundary(domain, 1, lambda x: np.isclose(x[1], HEIGHT))
        marked = mesh.meshtags(domain, 1, np.sort(top), np.full(len(top), 1, dtype=np.int32))
        ds = ufl.Measure("ds", domain=domain, subdomain_data=marked, metadata={"quadrature_degree": 3})(1)
        work = ufl.inner(load_of(ufl.SpatialCoordinate(domain), self.loads), v) * ds
        form = residual(self.u, v, self.modulus) - work
        self.form, self.work = fem.form(form), fem.form(work)
        self.jacobian = fem.form(ufl.derivative(form, self.u, ufl.TrialFunction(space)))
        clamped = mesh.locate_entities_boundary(domain, 1, lambda x: np.isclose(x[0], 0.0))
        self.bcs = [fem.dirichletbc(np.zeros(2), fem.locate_dofs_topological(space, 1, clamped), space)]
        self.matrix = dolfinx.fem.petsc.create_matrix(self.jacobian)
        self.x, self.b = self.matrix.createVecs()
        self.snes = PETSc.SNES().create(MPI.COMM_SELF)
        self.snes.setFunction(self._function, self.b.duplicate())
        self.snes.setJacobian(self._jacobian, self.matrix)
        solver = self.snes.getKSP()
        solver.setType("preonly")
        solver.getPC().setType("cholesky")
        solver.getPC().setFactorOrdering("rcm")
        self.tolerance = 0.0
        self.snes.setConvergenceTest(self._converged)
        self.iterations = 0

    def solve(self, parameters: Mapping[str, Array]) -> tuple[Array, bool]:
        """Follow the load to its end; return the state and whether it was reached."""
        settings = self.settings
        self.modulus.x.array[:] = np.exp(parameters["modulus"] @ self.shapes)
        share, step = 0.0, float(settings["first_step"])
        points = [(0.0, np.zeros(self.b.getLocalSize()))]
        self.snes.setTolerances(max_it=int(settings["corrector_iterations"]))
        while step > 1e-4:
            target = 1.0 if share + step >= 1.0 - 1e-12 else share + step
            self.loads.value[:] = target * parameters["traction"]
            self.tolerance = RTOL * self._load() * (1.0 if target == 1.0 else float(settings["loose"]))
            self.x.array[:] = self._predicted(points, target)
            self.snes.solve(None, self.x)
            used = self.snes.getIterationNumber()
            self.iterations += used
            if self.snes.getConvergedReason() <= 0:
                step *= float(settings["shrink"])
                continue
            value = self.x.array.copy()
            if target == 1.0:
                return value, True
            share, points = target, [*points, (target, value)][-int(settings["order"]) - 1 :]
            if used <= int(settings["easy_iterations"]):
                step *= float(settings["growth"])
        return points[-1][1], False

    def _load(self) -> float:
        with self.b.localForm() as local:
            local.set(0.0)
        dolfinx.fem.petsc.assemble_vector(self.b, self.work)
        dolfinx.fem.petsc.set_bc(self.b, self.bcs, None, 0.0)
        return float(self.b.norm())

    def _predicted(self, points: list[tuple[float, Array]], share: float) -> Array:
        value = np.zeros_like(points[0][1])
        for i, (s_i, state) in enumerate(points):
            value += state * np.prod([(share - s) / (s_i - s) for j, (s, _) in enumerate(points) if j != i])
        return value

    def _function(self, snes: Any, x: Any, f: Any) -> None:
        self.u.x.array[:] = x.array_r
        with f.localForm() as local:
            local.set(0.0)
        dolfinx.fem.petsc.assemble_vector(f, self.form)
        dolfinx.fem.petsc.apply_lifting(f, [self.jacobian], [self.bcs], [x], -1.0)
        dolfinx.fem.petsc.set_bc(f, self.bcs, x, -1.0)

    def _jacobian(self, snes: Any, x: Any, matrix: Any, preconditioner: Any) -> None:
        matrix.zeroEntries()
        dolfinx.fem.petsc.assemble_matrix(matrix, self.jacobian, self.bcs)
        matrix.assemble()

    def _converged(self, snes: Any, iteration: int, norms: tuple[float, float, float]) -> int:
        reasons = PETSc.SNES.ConvergedReason
        norm = snes.getFunction()[0].norm()
        if not np.isfinite(norm):
            return int(reasons.DIVERGED_FNORM_NAN)
        return int(reasons.CONVERGED_FNORM_ABS) if norm <= self.tolerance else 0
