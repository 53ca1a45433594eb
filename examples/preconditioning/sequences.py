"""The sequences of solves. Geometry, wavenumber or load are drawn anew for each solve."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import Any, ClassVar

import numpy as np
import scipy.sparse as sp
from cosolve.core.arrays import Array
from cosolve.examples.preconditioning.operators import diffusion, laplacian, petsc_matrix, refill, transfers
from cosolve.examples.preconditioning.unstructured import Tetrahedra


class Sequence(ABC):
    """Solves with one matrix object and one right-hand side, which `set` fills for each solve (serial).

    Attributes:
        name: As in the tables.
        bases: Names of classical methods, see `cosolve.examples.preconditioning.bases`.
        inner: Base preconditioner of the learned coarse space; empty for that of the base method.
        modes: Size of the coarse space.
        rtol: Tolerance, relative to the norm of the right-hand side.
        places: Where the unknowns live, shape `(size, d)`.
        shape: Points of the grid; None where there is none.
        matrix: The operator.
        b: Right-hand side.
        parameters: Of the solve that was set last.
        transfers: Interpolations between the grids, the finest first; empty where there is one only.
    """

    name: ClassVar[str]
    bases: ClassVar[tuple[str, ...]]
    inner: ClassVar[str] = ""
    modes: ClassVar[int] = 40
    rtol: ClassVar[float] = 1e-8
    places: Array
    shape: tuple[int, int] | None = None
    transfers: tuple[Any, ...] = ()

    def __init__(self, first: Any) -> None:
        self.sparse = first
        self.matrix = petsc_matrix(first)
        self.b = self.matrix.createVecRight()
        self.parameters: dict[str, Any] = {}

    @abstractmethod
    def set(self, random: np.random.Generator) -> None:
        """Draw and set the next solve."""

    def set_for_training(self, random: np.random.Generator) -> None:
        """Set the operator for which modes are trained: by default that of a solve drawn by `random`."""
        self.set(random)

    def _fill(self, matrix: Any) -> None:
        self.sparse = matrix
        refill(self.matrix, matrix)


class Diffusion(Sequence):
    """Diffusion on n x n points whose coefficient is drawn anew for each solve.

    Args:
        n: Points in each direction, odd.
    """

    bases = (
        "CG + BoomerAMG",
        "CG + BoomerAMG, kept for 5",
        "CG + GAMG",
        "CG + geometric multigrid",
        "CG + ICC(1)",
        "LU (MUMPS)",
    )

    def __init__(self, n: int) -> None:
        self.n = n
        middle = (np.arange(n) + 1.0) / (n + 1)
        self._x, self._y = np.meshgrid(middle, middle, indexing="ij")
        super().__init__(diffusion(np.ones((n, n))))
        self.places = np.stack([self._x, self._y], -1).reshape(-1, 2)
        self.shape, self.transfers = (n, n), transfers(n, 2, 4)

    def set(self, random: np.random.Generator) -> None:
        """Draw coefficient and load."""
        matrix = diffusion(self._coefficient(random))
        self._fill(matrix)
        self.parameters = {"diagonal": matrix.diagonal()}
        x, y = random.uniform(0.2, 0.8, 2)
        self.b.array[:] = np.exp(-((self._x - x) ** 2 + (self._y - y) ** 2) / (2.0 * 0.1**2)).ravel() / self.n**2

    @abstractmethod
    def _coefficient(self, random: np.random.Generator) -> Array:
        """Return the coefficient at the points."""


class Inclusions(Diffusion):
    """Inclusions at random, a million times as conductive as the rest.

    With that contrast the residual of double precision ends at some 1e-7 of the load: the tolerance is 1e-5.
    """

    name = "diffusion 2D, contrast 1e6"
    rtol = 1e-5

    def _coefficient(self, random: np.random.Generator) -> Array:
        k = np.ones((self.n, self.n))
        for x, y, radius in random.uniform((0.1, 0.1, 0.02), (0.9, 0.9, 0.07), (20, 3)):
            k[(self._x - x) ** 2 + (self._y - y) ** 2 < radius**2] = 1e6
        return k


class Smooth(Diffusion):
    """The exponential of a random field of 36 waves: contrast of some hundred, smooth."""

    name = "diffusion 2D, smooth"

    def _coefficient(self, random: np.random.Generator) -> Array:
        field = np.zeros((self.n, self.n))
        for i in range(6):
            for j in range(6):
                wave = np.cos(np.pi * i * self._x) * np.cos(np.pi * j * self._y)
                field += random.standard_normal() / (1.0 + i + j) * wave
        return np.exp(field)


class Helmholtz2D(Sequence):
    """Wavenumbers from 20 to 60 in a square with a lens that moves.

    Args:
        n: Points in each direction, odd.
    """

    name = "Helmholtz 2D, k 20 to 60"
    bases = (
        "LU (MUMPS)",
        "LU (PETSc)",
        "FGMRES + two-grid",
        "GMRES + ILU(2)",
        "GMRES + LU, kept for 5",
        "FGMRES + GAMG, LU below",
    )
    inner = "ILU(1)"
    modes = 60

    def __init__(self, n: int) -> None:
        self.n = n
        middle = (np.arange(n) + 1.0) / (n + 1)
        self._x, self._y = np.meshgrid(middle, middle, indexing="ij")
        self._laplacian = laplacian(n, 2)
        super().__init__(self._laplacian)
        self.places = np.stack([self._x, self._y], -1).reshape(-1, 2)
        self.shape, self.transfers = (n, n), transfers(n, 2, 2)

    def set(self, random: np.random.Generator) -> None:
        """Draw wavenumber, lens and source."""
        k, x, y = random.uniform((20.0, 0.3, 0.3), (60.0, 0.7, 0.7))
        lens = 1.0 + 0.3 * np.exp(-((self._x - x) ** 2 + (self._y - y) ** 2) / (2.0 * 0.15**2))
        self._fill(self._laplacian - sp.diags((k / (self.n + 1)) ** 2 * lens.ravel()))
        x, y = random.uniform(0.2, 0.8, 2)
        self.b.array[:] = np.exp(-((self._x - x) ** 2 + (self._y - y) ** 2) / (2.0 * 0.03**2)).ravel() / self.n**2


class Helmholtz3D(Sequence):
    """An unstructured mesh without a coarser one, a lens that moves in each solve: the set-up is paid each time.

    Args:
        points: Points along an edge.
        k: Wavenumber.
        random: Makes the mesh.
    """

    name = "Helmholtz 3D, unstructured"
    bases = (
        "GMRES + ILU(0)",
        "GMRES + ILU(1)",
        "GMRES + ILU(2)",
        "BiCGStab + ILU(0)",
        "BiCGStab + ILU(1)",
        "LU (MUMPS)",
        "GMRES + LU, kept for 5",
        "FGMRES + GAMG, LU below",
    )
    inner = "ILU(0)"
    modes = 45

    def __init__(self, points: int, k: float, random: np.random.Generator) -> None:
        self._mesh, self._k = Tetrahedra(points, random), k
        self.places = self._mesh.places
        super().__init__(self._mesh.operator(np.full(self._mesh.elements, k**2)))

    def set_for_training(self, random: np.random.Generator) -> None:
        """Set the operator of a mean lens."""
        lenses = [self._mesh.bump(random.uniform(0.2, 0.8, 3), 0.15) for _ in range(64)]
        self._fill(self._mesh.operator(self._k**2 * (1.0 + 0.5 * np.mean(lenses, axis=0))))

    def set(self, random: np.random.Generator) -> None:
        """Draw lens and source."""
        lens = 1.0 + 0.5 * self._mesh.bump(random.uniform(0.2, 0.8, 3), 0.15)
        self._fill(self._mesh.operator(self._k**2 * lens))
        source = random.uniform(0.2, 0.8, 3)
        self.b.array[:] = np.exp(-((self.places - source) ** 2).sum(1) / (2.0 * 0.05**2))


class ManySources3D(Sequence):
    """One operator on a regular grid, another source in each solve: a factorisation is paid once.

    Args:
        n: Points in each direction, odd.
        k: Wavenumber.
    """

    name = "Helmholtz 3D, many sources"
    bases = (
        "LU (MUMPS)",
        "FGMRES + two-grid",
        "GMRES + ILU(1)",
        "GMRES + ILU(2)",
        "FGMRES + GAMG, LU below",
    )
    inner = "ILU(0)"
    modes = 60

    def __init__(self, n: int, k: float) -> None:
        self._laplacian = laplacian(n, 3)
        super().__init__(self._laplacian - (k / (n + 1)) ** 2 * sp.identity(n**3))
        middle = (np.arange(n) + 1.0) / (n + 1)
        self.places = np.stack(np.meshgrid(middle, middle, middle, indexing="ij"), -1).reshape(-1, 3)
        self.transfers = transfers(n, 3, 2)

    def set(self, random: np.random.Generator) -> None:
        """Draw a source."""
        source = random.uniform(0.2, 0.8, 3)
        self.b.array[:] = np.exp(-((self.places - source) ** 2).sum(1) / (2.0 * 0.05**2))
