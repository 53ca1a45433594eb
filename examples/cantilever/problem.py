"""A cantilever of random stiffness under random tractions: large bending in plane strain, neo-Hookean, dead loads.

The beam is 5 x 1 and clamped at its left end; bilinear elements. Its modulus is log-normal with 12 modes,
E = exp(sum_ij s xi_ij / (1 + i + j) cos(i pi x / 5) cos(j pi y)), and the traction on its top has 6 coefficients:
Legendre polynomials of x, three for each direction. From rest Newton's method finds the solution of a quarter of the
beams; the classical way is to follow the load.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any, ClassVar

import dolfinx.fem.petsc
import numpy as np
import ufl
from cosolve.core.arrays import Array
from cosolve.core.communicator import Communicator
from cosolve.core.problem import Problem
from cosolve.core.progress import Progress
from cosolve.core.query import Query
from cosolve.core.registry import Registry
from cosolve.core.solver import Solver
from cosolve.core.surrogate import Surrogate
from cosolve.core.training import TrainingReport, TrainingSettings
from cosolve.examples.cantilever.form import residual
from cosolve.examples.cantilever.options import HEIGHT, LENGTH, MODES, ROUGHNESS, TRACTION, CantileverOptions
from cosolve.plugins.fenicsx import FieldWriter, FormSolver, Prolongation, compat
from cosolve.plugins.fenicsx.blocks import BOUNDARY
from dolfinx import fem, mesh
from petsc4py import PETSc

RTOL = 1e-8
"""The solver stops at a residual of this share of the norm of the load."""

SERIAL = {"ksp_type": "preonly", "pc_type": "cholesky", "pc_factor_mat_ordering_type": "rcm"}
"""On one rank PETSc's own factorisation takes less time than any other at this size: half of that of MUMPS."""

COARSE = (40, 8)
"""Cells of the mesh of the training data, on which proposals are made and polished."""


class CantileverProblem(Problem):
    """The problem of this module for the beams of one family.

    Args:
        options: Mesh, family and first beam.
    """

    name: ClassVar[str] = "cantilever"

    def __init__(self, options: CantileverOptions | None = None) -> None:
        self.options = options or CantileverOptions()
        self.parameters: Mapping[str, Any] = self.options.parameters()

    @property
    def time_span(self) -> tuple[float, float, float]:
        """A steady problem: one step of nothing."""
        return 0.0, 1.0, 1.0

    def solve_parameters(self, index: int) -> Mapping[str, Array]:
        """Return the parameters of solve `index` of a run: the beams of the family, one after the other."""
        return self.options.parameters(index)

    def make_solver(self, comm: Communicator, settings: Mapping[str, Any]) -> Solver:
        """Build the solver with its continuation on `comm` (collective).

        Args:
            comm: An mpi4py communicator.
            settings: `continuation`, and arguments of `FormSolver`.
        """
        chosen = dict(settings)
        continuation = chosen.pop("continuation", None) or "grid_sequencing"
        fine = form_solver(comm, self.options.nx, self.options.ny, **chosen)
        if continuation == "none":
            return fine
        registry = Registry.discover()
        stepping = registry.load("solver", "load_stepping", where="solver.continuation")
        if continuation == "load_stepping" or (self.options.nx, self.options.ny) == COARSE:
            followed: Solver = stepping(fine, grown)
            return followed
        coarse, prolong = coarse_of(fine, "cantilever_below_")
        sequencing = registry.load("solver", "grid_sequencing", where="solver.continuation")
        made: Solver = sequencing(stepping(fine, grown), stepping(coarse, grown), prolong)
        return made

    def make_coarse(self, solver: Solver) -> tuple[Solver, Callable[[Array], Array]] | None:
        """Return the solver on the coarse mesh and what takes its values to the mesh of `solver` (collective)."""
        if (self.options.nx, self.options.ny) == COARSE:
            return None
        return coarse_of(innermost(solver), "cantilever_coarse_")

    def correction(self, surrogates: list[Surrogate]) -> Surrogate | None:
        """Return the surrogate that adds the discretisation error of the coarse mesh: it sees a state."""
        return next((one for one in surrogates if getattr(one, "base", "") == "previous"), None)

    def describe(self) -> Mapping[str, Any]:
        """Return what a model must match."""
        return {
            "problem": self.name,
            "parameters": ["modulus", "traction"],
            "fields": ["u"],
            "units": {"u": "height"},
            # The number of cells may differ: the basis carries over between meshes of this beam.
            "spaces": {"u": {"kind": "dofs", "element": "Lagrange 1 x 2", "domain": [[0.0, 0.0], [LENGTH, HEIGHT]]}},
            "dtype": "float64",
        }

    def open_fields(self, solver: Solver, directory: Path) -> FieldWriter:
        """Open a series of the displacements, one for each solve, for ParaView (collective)."""
        return FieldWriter(directory / "fields", innermost(solver).u.function_space, ["u"])

    def train(self, settings: TrainingSettings, progress: Progress) -> TrainingReport:
        """Make the data and fit both surrogates, see `cosolve.examples.cantilever.training`."""
        # Imported here: the problem runs without torch.
        from cosolve.examples.cantilever.training import train

        return train(self, settings, progress)


def coarse_of(fine: FormSolver, prefix: str, cells: tuple[int, int] = COARSE) -> tuple[FormSolver, Prolongation]:
    """Return the solver on a coarser mesh and the interpolation from there to the mesh of `fine` (collective)."""
    coarse = form_solver(fine.mesh.comm, *cells, prefix=prefix)
    return coarse, Prolongation(coarse.u.function_space, fine.u.function_space)


def innermost(solver: Any) -> Any:
    """Return the solver within all continuations."""
    while hasattr(solver, "solver"):
        solver = solver.solver
    return solver


def grown(query: Query, share: float) -> Query:
    """Return the query with a share of its traction: the path of the load."""
    parameters = {**query.parameters, "traction": share * np.asarray(query.parameters["traction"])}
    return replace(query, parameters=parameters)


def form_solver(comm: Communicator, nx: int, ny: int, **settings: Any) -> FormSolver:
    """Return Newton's method for the beam on a mesh of nx x ny cells (collective).

    Args:
        comm: An mpi4py communicator.
        nx: Cells along the beam.
        ny: Cells across it.
        settings: Arguments of `FormSolver`; None for the problem's own choice.
    """
    domain = compat.create_rectangle(comm, (LENGTH, HEIGHT), nx, ny)
    space = compat.function_space(domain, compat.element(domain, "Lagrange", 1, shape=(2,)))
    scalars = compat.function_space(domain, ("Lagrange", 1))
    u, v, modulus = fem.Function(space, name="u"), ufl.TestFunction(space), fem.Function(scalars)
    waves = fem.Constant(domain, np.zeros(len(MODES)))
    loads = fem.Constant(domain, np.zeros(6))
    shapes = modulus_modes(scalars.tabulate_dof_coordinates())

    seen = [np.zeros(0)]

    def update(t: float) -> None:
        # Along a path of the load the modulus stays.
        if not np.array_equal(seen[0], waves.value):
            modulus.x.array[:] = np.exp(waves.value @ shapes)
            seen[0] = waves.value.copy()

    top = mesh.locate_entities_boundary(domain, 1, lambda x: np.isclose(x[1], HEIGHT))
    marked = mesh.meshtags(domain, 1, np.sort(top), np.full(len(top), 1, dtype=np.int32))
    ds = ufl.Measure("ds", domain=domain, subdomain_data=marked, metadata={"quadrature_degree": 3})(1)
    traction = load_of(ufl.SpatialCoordinate(domain), loads)
    clamped = mesh.locate_entities_boundary(domain, 1, lambda x: np.isclose(x[0], 0.0))
    clamp = fem.dirichletbc(np.zeros(2), fem.locate_dofs_topological(space, 1, clamped), space)
    chosen: dict[str, Any] = {
        "rtol": RTOL,
        "prefix": "cantilever_",
        "reuse_jacobian": True,
        "petsc_options": SERIAL if comm.Get_size() == 1 else {},
    } | {name: value for name, value in settings.items() if value is not None}
    return FormSolver(
        residual(u, v, modulus) - ufl.inner(traction, v) * ds,
        u,
        bcs=[clamp],
        parameters={"modulus": waves, "traction": loads},
        update=update,
        **({"reference": load_norm(v, traction, ds, loads, clamp)} | chosen),
    )


def load_norm(v: Any, traction: Any, ds: Any, loads: Any, clamp: Any) -> Callable[[Query], dict[str, float]]:
    """Return the reference norms as a function of the query (collective; the function is not).

    The load is linear in its coefficients, so its norm follows from the inner products of the six unit loads, and no
    query assembles it. Without a load it is that of the first coefficient at one. What is clamped does not move: its
    reference is that of a displacement of one.
    """
    form, kept, units = fem.form(ufl.inner(traction, v) * ds), loads.value.copy(), []
    for unit in np.eye(len(kept)):
        loads.value[:] = unit
        vector = dolfinx.fem.petsc.assemble_vector(form)
        vector.ghostUpdate(addv=PETSc.InsertMode.ADD, mode=PETSc.ScatterMode.REVERSE)
        dolfinx.fem.petsc.set_bc(vector, [clamp], None, 0.0)
        units.append(vector)
    loads.value[:] = kept
    products = np.array([[float(one.dot(other)) for other in units] for one in units])
    clamped = units[0].duplicate()
    clamped.set(0.0)
    owned = clamp.dof_indices()[0]
    clamped.array[owned[owned < clamped.getLocalSize()]] = 1.0
    fixed = float(clamped.norm())
    for vector in (*units, clamped):
        vector.destroy()

    def norms(query: Query) -> dict[str, float]:
        given = np.asarray(query.parameters.get("traction", kept))
        load = float(np.sqrt(max(given @ products @ given, 0.0))) or float(np.sqrt(products[0, 0]))
        return {"residual": load, BOUNDARY: fixed}

    return norms


def modulus_modes(points: Array) -> Array:
    """Return the modes of the logarithm of the modulus at points of shape `(n, 3)`, shape `(12, n)`."""
    along, across = np.pi * points[:, 0] / LENGTH, np.pi * points[:, 1] / HEIGHT
    return np.array([ROUGHNESS / (1.0 + i + j) * np.cos(i * along) * np.cos(j * across) for i, j in MODES])


def load_of(x: Any, loads: Any) -> Any:
    """Return the traction on the top, a UFL vector: `loads` has three coefficients for y, then three for x."""
    s = 2.0 * x[0] / LENGTH - 1.0
    legendre = (1.0, s, (3.0 * s**2 - 1.0) / 2.0)
    vertical, horizontal = (sum(loads[first + k] * legendre[k] for k in range(3)) for first in (0, 3))
    return TRACTION * ufl.as_vector([horizontal, vertical])
