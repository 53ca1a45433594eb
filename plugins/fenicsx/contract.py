"""What `cosolve check-plugin` needs to know to make these objects."""

from __future__ import annotations

import numpy as np
import ufl
from cosolve.core.query import Query
from cosolve.core.solver import Solver
from cosolve.core.testing import SolverContract
from cosolve.plugins.fenicsx import compat
from cosolve.plugins.fenicsx.form_solver import FormSolver
from dolfinx import fem
from mpi4py import MPI


class FormSolverContract(SolverContract):
    """Nonlinear heat conduction on a small square, with a direct solver."""

    rank_rtol = 1e-7

    def make(self) -> FormSolver:
        """Return the solver."""
        return self._on(8)

    def make_with_an_empty_rank(self) -> FormSolver:
        """Return one on two triangles: three ranks cannot all own some."""
        return self._on(1)

    def query(self, solver: Solver) -> Query:
        """Return the first step."""
        return Query(solver.initial_state(), 0.0, 0.02)

    def _on(self, n: int) -> FormSolver:
        comm = MPI.COMM_SELF if self.only_this_rank else MPI.COMM_WORLD
        domain = compat.create_unit_square(comm, n, n)
        space = compat.function_space(domain, ("Lagrange", 1))
        u, previous, v = fem.Function(space), fem.Function(space), ufl.TestFunction(space)
        dt = fem.Constant(domain, 0.02)
        previous.interpolate(lambda x: 1.0 + 0.5 * np.cos(np.pi * x[0]))
        form = (u - previous) / dt * v * ufl.dx + (1.0 + u**2) * ufl.inner(ufl.grad(u), ufl.grad(v)) * ufl.dx
        options = {"ksp_type": "preonly", "pc_type": "lu"}
        return FormSolver(form, u, previous=previous, dt=dt, rtol=1e-9, petsc_options=options)
