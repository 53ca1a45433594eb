"""An unstructured plate with three holes, pulled and bent at its right end: a mesh that has no coarser companion.

The mesh stands for an imported one. It is made in numpy: points on the outline and the holes, a jittered grid within,
Delaunay's triangulation, and the triangles inside of the holes left out.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
import ufl
from cosolve.core.arrays import Array
from cosolve.examples.cantilever.form import residual
from cosolve.plugins.fenicsx import FormSolver, compat
from dolfinx import fem, mesh
from scipy.spatial import Delaunay

LENGTH, HEIGHT = 4.0, 1.0
HOLES: tuple[tuple[float, float, float], ...] = ((0.8, 0.55, 0.22), (1.9, 0.4, 0.2), (3.0, 0.6, 0.24))
"""Centre and radius of each hole."""

LOADS = np.array([6e-3, 4e-3, 4e-3])
"""Largest traction at the right end: along, across, and across growing with y."""


def plate_mesh(size: float = 0.08, seed: int = 0) -> tuple[Array, npt.NDArray[np.int64]]:
    """Return nodes, shape `(n, 2)`, and triangles, shape `(m, 3)`.

    Args:
        size: Distance of neighbouring nodes.
        seed: Draws the jitter of the inner nodes.
    """
    generator = np.random.default_rng(seed)
    nx, ny = round(LENGTH / size), round(HEIGHT / size)
    x, y = np.meshgrid(np.linspace(0.0, LENGTH, nx + 1), np.linspace(0.0, HEIGHT, ny + 1), indexing="ij")
    grid = np.column_stack([x.ravel(), y.ravel()])
    edge = (grid[:, 0] % LENGTH == 0.0) | (grid[:, 1] % HEIGHT == 0.0)
    grid = grid + np.where(edge[:, None], 0.0, generator.uniform(-0.2, 0.2, grid.shape) * size)
    rings = []
    for cx, cy, radius in HOLES:
        grid = grid[np.hypot(grid[:, 0] - cx, grid[:, 1] - cy) > radius + 0.5 * size]
        angles = np.linspace(0.0, 2.0 * np.pi, round(2.0 * np.pi * radius / size), endpoint=False)
        rings.append(np.column_stack([cx + radius * np.cos(angles), cy + radius * np.sin(angles)]))
    nodes = np.concatenate([grid, *rings])
    cells = Delaunay(nodes).simplices.astype(np.int64)
    centres = nodes[cells].mean(axis=1)
    within = np.zeros(len(cells), dtype=bool)
    for cx, cy, radius in HOLES:
        within |= np.hypot(centres[:, 0] - cx, centres[:, 1] - cy) < radius
    first, second = (nodes[cells[:, k]] - nodes[cells[:, 0]] for k in (1, 2))
    areas = 0.5 * np.abs(first[:, 0] * second[:, 1] - first[:, 1] * second[:, 0])
    cells = cells[~within & (areas > 1e-3 * size**2)]
    used, numbers = np.unique(cells, return_inverse=True)
    return nodes[used], numbers.reshape(-1, 3).astype(np.int64)


def plate_solver(comm: Any, size: float = 0.08, **settings: Any) -> FormSolver:
    """Return Newton's method for the plate; its parameter `pull` has three numbers between -1 and 1 (collective).

    Args:
        comm: An mpi4py communicator.
        size: Distance of neighbouring nodes.
        settings: Arguments of `FormSolver`.
    """
    nodes, cells = plate_mesh(size)
    mine = np.array_split(cells, comm.Get_size())[comm.Get_rank()]
    # Every rank makes the mesh, but the nodes enter once.
    domain = compat.create_triangles(comm, nodes if comm.Get_rank() == 0 else nodes[:0], mine)
    space = compat.function_space(domain, compat.element(domain, "Lagrange", 1, shape=(2,)))
    u, v = fem.Function(space, name="u"), ufl.TestFunction(space)
    pull = fem.Constant(domain, np.zeros(3))
    right = mesh.locate_entities_boundary(domain, 1, lambda x: np.isclose(x[0], LENGTH))
    marked = mesh.meshtags(domain, 1, np.sort(right), np.full(len(right), 1, dtype=np.int32))
    ds = ufl.Measure("ds", domain=domain, subdomain_data=marked)(1)
    y = ufl.SpatialCoordinate(domain)[1]
    traction = ufl.as_vector([LOADS[0] * pull[0], LOADS[1] * pull[1] + LOADS[2] * pull[2] * (2.0 * y / HEIGHT - 1.0)])
    clamped = mesh.locate_entities_boundary(domain, 1, lambda x: np.isclose(x[0], 0.0))
    clamp = fem.dirichletbc(np.zeros(2), fem.locate_dofs_topological(space, 1, clamped), space)
    form = residual(u, v, 1.0) - ufl.inner(traction, v) * ds
    return FormSolver(form, u, bcs=[clamp], parameters={"pull": pull}, **({"prefix": "plate_"} | settings))
