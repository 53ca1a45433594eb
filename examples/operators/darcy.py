"""Darcy flow with rough coefficients: -div(a grad u) = 1, u = 0 on the boundary, a of two values on random patches."""

from __future__ import annotations

import time
from typing import Final

import numpy as np
import scipy.fft
from cosolve.core.arrays import Array
from cosolve.core.errors import NotConvergedError
from cosolve.core.query import Query
from cosolve.examples.linear_guess.sequences import KINDS, DiffusionGrid
from cosolve.examples.operators.tasks import Equations, Fields, Task
from cosolve.plugins.petsc import KspSolver
from petsc4py import PETSc

RTOL: Final = 1e-8
LOW, HIGH = 3.0, 12.0


class DarcyEquations(Equations):
    """Finite volumes on `cells` x `cells` cells, conjugate gradients with algebraic multigrid (serial)."""

    def __init__(self, cells: int) -> None:
        self.cells = cells
        self.grid = DiffusionGrid(cells, KINDS[0])
        self.grid.b.array[:] = 1.0 / cells**2
        self._ksp = PETSc.KSP().create(PETSc.COMM_SELF)
        self._ksp.setOptionsPrefix("operators_darcy_")
        self._ksp.setOperators(self.grid.matrix)
        self._ksp.setType("cg")
        self._ksp.getPC().setType("hypre" if PETSc.Sys.hasExternalPackage("hypre") else "gamg")
        middle = (np.arange(cells) + 0.5) / cells
        places = np.stack(np.meshgrid(middle, middle, indexing="ij"), axis=-1).reshape(-1, 2)
        self.solver = KspSolver(self._ksp, self.grid.b, rtol=RTOL, coordinates=places)

    def choose(self, sample: Fields) -> None:
        """Assemble the operator of a coefficient, shape `(1, cells, cells)`."""
        self.grid.fill(np.asarray(sample[0], dtype=np.float64))
        self._ksp.setUp()

    def start(self) -> Array:
        """Return zero."""
        return np.zeros(self.cells**2)

    def solve(self) -> Array:
        """Return the solution for the chosen coefficient, shape `(cells, cells)`."""
        result = self.solver.step(Query(self.start(), transaction="solve"), self.start())
        if not result.converged:
            raise NotConvergedError(f"the Darcy solve for training data failed: {result.reason}", reason=result.reason)
        return result.value.reshape(self.cells, self.cells)

    def close(self) -> None:
        """Free solver and KSP."""
        super().close()
        self._ksp.destroy()


def coefficients(count: int, cells: int, random: np.random.Generator) -> Fields:
    """Return fields of two values, split by the sign of a Gaussian field with covariance (9 - Laplace)^-2.

    Returns:
        Shape `(count, 1, cells, cells)`.
    """
    k = np.pi * np.arange(cells)
    decay = 1.0 / (k[:, None] ** 2 + k[None, :] ** 2 + 9.0)
    decay[0, 0] = 0.0
    modes = random.standard_normal((count, cells, cells)) * decay
    gaussian = scipy.fft.dctn(modes, type=3, axes=(1, 2))
    return np.where(gaussian > 0.0, HIGH, LOW).astype(np.float32)[:, None]


def darcy(cells: int, training: int, test: int, seed: int) -> Task:
    """Return the task; all pairs are solved here."""
    random = np.random.default_rng([seed, 1])
    x = coefficients(training + test, cells, random)
    equations = DarcyEquations(cells)
    begin = time.process_time()
    y = np.empty_like(x)
    spent = 0.0
    for index, sample in enumerate(x):
        equations.choose(sample)
        y[index, 0] = equations.solve()
        if index == training - 1:
            spent = time.process_time() - begin
    return Task(
        f"Darcy {cells} x {cells}", x[:training], y[:training], x[training:], y[training:], equations, (), spent
    )
