"""The problem `lens`: sound in a cube with a lens and a source that move from solve to solve, by a user's own KSP.

The mesh is unstructured and has no coarser companion; the matrix is indefinite. GMRES with an incomplete factorisation
needs more iterations the more waves there are, and a factorisation is made anew in each solve.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar

import numpy as np
from cosolve.core.arrays import Array
from cosolve.core.communicator import Communicator
from cosolve.core.problem import Problem
from cosolve.core.query import Query
from cosolve.examples.preconditioning.options import LensOptions
from cosolve.examples.preconditioning.unstructured import Tetrahedra
from cosolve.plugins.petsc import KspSolver
from petsc4py import PETSc

PREFIX = "lens_"
RTOL = 1e-8
_RESTART = 100


class LensSolver(KspSolver):
    """The KSP with its matrix and vector, which are freed with it."""

    name: ClassVar[str] = "lens"

    def quantities(self, state: Array) -> Mapping[str, float]:
        """Return the root of the sum of squares over all unknowns (collective)."""
        return {"norm": self.norm(state)}

    def _free(self) -> None:
        super()._free()
        matrix, _ = self.ksp.getOperators()
        self.ksp.destroy()
        matrix.destroy()
        self.b.destroy()


class LensProblem(Problem):
    """The problem of this module.

    Args:
        options: Mesh, wavenumber and seed.
    """

    name: ClassVar[str] = "lens"

    def __init__(self, options: LensOptions | None = None) -> None:
        self.options = options or LensOptions()
        self.parameters: Mapping[str, Any] = self.solve_parameters(0)

    @property
    def time_span(self) -> tuple[float, float, float]:
        """One solve: there is no time."""
        return 0.0, 1.0, 1.0

    def solve_parameters(self, index: int) -> Mapping[str, Array]:
        """Return middle of the lens and source of solve `index`, shape `(3,)` each."""
        lens, source = np.random.default_rng([self.options.seed, 1, index]).uniform(0.2, 0.8, (2, 3))
        return {"lens": lens, "source": source}

    def make_solver(self, comm: Communicator, settings: Mapping[str, Any]) -> LensSolver:
        """Build mesh, matrix and KSP on `comm`; each rank assembles all and keeps its rows (collective).

        Args:
            comm: An mpi4py communicator, or a serial one.
            settings: `rtol`, `atol` and `max_iterations`.
        """
        raw = comm if hasattr(comm, "Split") else PETSc.COMM_SELF
        mesh = Tetrahedra(self.options.points, np.random.default_rng(self.options.seed))
        size = len(mesh.places)
        b = PETSc.Vec().createMPI(size, comm=raw)
        start, stop = b.getOwnershipRange()
        mine = stop - start

        def rows(lens: Array) -> tuple[Array, Array, Array]:
            weight = self.options.wavenumber**2 * (1.0 + 0.5 * mesh.bump(lens, 0.15))
            whole = mesh.operator(weight)
            first, last = whole.indptr[start], whole.indptr[stop]
            pointers = (whole.indptr[start : stop + 1] - first).astype(PETSc.IntType)
            return pointers, whole.indices[first:last].astype(PETSc.IntType), whole.data[first:last]

        matrix = PETSc.Mat().createAIJ(((mine, size), (mine, size)), csr=rows(self.parameters["lens"]), comm=raw)

        def update(query: Query) -> None:
            given = {**self.parameters, **query.parameters}
            matrix.setValuesCSR(*rows(np.asarray(given["lens"])))
            matrix.assemble()
            away = ((mesh.places[start:stop] - given["source"]) ** 2).sum(1)
            b.array[:] = np.exp(-away / (2.0 * 0.05**2))

        ksp = PETSc.KSP().create(comm=raw)
        ksp.setOptionsPrefix(PREFIX)
        ksp.setOperators(matrix)
        ksp.setType("gmres")
        ksp.setGMRESRestart(_RESTART)
        chosen = {"rtol": RTOL} | {name: value for name, value in settings.items() if value is not None}
        limit = chosen.pop("max_iterations", 2000)
        ksp.setTolerances(max_it=int(limit))
        return LensSolver(ksp, b, update=update, coordinates=mesh.places[start:stop], **chosen)

    def describe(self) -> Mapping[str, Any]:
        """Return what a model must match."""
        return {
            "problem": self.name,
            "dtype": "float64",
            "fields": ["pressure"],
            "units": {"pressure": "1"},
            "spaces": {"pressure": {"kind": "points", "extent": [1.0, 1.0, 1.0]}},
        }
