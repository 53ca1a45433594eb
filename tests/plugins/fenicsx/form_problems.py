"""Small problems that the tests of the FEniCSx plugin share."""

from __future__ import annotations

from typing import Any

import numpy as np
import ufl
from cosolve.core.arrays import Array
from cosolve.core.query import Query, Snapshot
from cosolve.plugins.fenicsx import FormSolver, compat
from dolfinx import fem, mesh
from mpi4py import MPI


def boundary_dofs(space: Any) -> Any:
    domain = space.mesh
    facets = mesh.locate_entities_boundary(domain, domain.topology.dim - 1, lambda x: np.full(x.shape[1], True))
    return fem.locate_dofs_topological(space, domain.topology.dim - 1, facets)


def poisson(n: int, degree: int, comm: Any = MPI.COMM_SELF, **settings: Any) -> tuple[FormSolver, Any]:
    """Nonlinear Poisson with u = 1 + sin(2x) + y^2 on the boundary; returns solver and exact solution."""
    domain = compat.create_unit_square(comm, n, n)
    space = compat.function_space(domain, ("Lagrange", degree))
    u, g, v = fem.Function(space), fem.Function(space), ufl.TestFunction(space)
    x = ufl.SpatialCoordinate(domain)
    exact = 1.0 + ufl.sin(2.0 * x[0]) + x[1] ** 2
    f = -ufl.div((1.0 + exact**2) * ufl.grad(exact))
    form = (1.0 + u**2) * ufl.inner(ufl.grad(u), ufl.grad(v)) * ufl.dx - f * v * ufl.dx(
        metadata={"quadrature_degree": 8}
    )
    g.interpolate(lambda x: 1.0 + np.sin(2.0 * x[0]) + x[1] ** 2)
    bc = fem.dirichletbc(g, boundary_dofs(space))
    settings = {"prefix": "poisson_", "rtol": 1e-10} | settings
    return FormSolver(form, u, bcs=[bc], **settings), exact


def error(solver: FormSolver, state: Array, exact: Any) -> float:
    solver.assembly.set_state(state)
    squared = fem.assemble_scalar(fem.form((solver.u - exact) ** 2 * ufl.dx(metadata={"quadrature_degree": 8})))
    return float(np.sqrt(solver.mesh.comm.allreduce(squared)))


def heat(
    n: int = 8, comm: Any = MPI.COMM_SELF, *, theta: float = 1.0, source: float = 0.0, **settings: Any
) -> FormSolver:
    """Linear heat conduction, zero flux, from cos(pi x): decays by exp(-pi^2 t) about its mean of one."""
    domain = compat.create_unit_square(comm, n, n)
    space = compat.function_space(domain, ("Lagrange", 1))
    u, u_n, v = fem.Function(space), fem.Function(space), ufl.TestFunction(space)
    dt = fem.Constant(domain, 0.01)
    u_n.interpolate(lambda x: 1.0 + np.cos(np.pi * x[0]))
    middle = theta * u + (1.0 - theta) * u_n
    form = (u - u_n) / dt * v * ufl.dx + ufl.inner(ufl.grad(middle), ufl.grad(v)) * ufl.dx
    if source:
        form -= fem.Constant(domain, source) * v * ufl.dx
    settings = {"prefix": "test_heat_", "rtol": 1e-10, "invariants": {"mass": u * ufl.dx}} | settings
    return FormSolver(form, u, previous=u_n, dt=dt, **settings)


def march(solver: FormSolver, steps: int, dt: float, t: float = 0.0) -> Array:
    state, history = solver.initial_state(), ()
    for step in range(steps):
        query = Query(state, t, dt, step=step, history=history)
        result = solver.step(query)
        assert result.converged, result.reason
        history = (Snapshot(t, state), *history)[:3]
        state, t = result.value, t + dt
    return state
