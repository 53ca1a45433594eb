"""The sequences of solves: a source that moves or jumps, a diffusion with jumps that changes, a cavity's pressure."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final, TypeAlias

import numpy as np
from cosolve.core.arrays import Array
from petsc4py import PETSc

MOVING: Final = "moving source"
JUMPING: Final = "jumping source"
JUMPS: Final = "diffusion with jumps"
PRESSURE: Final = "cavity pressure"
KINDS: Final = (MOVING, JUMPING, JUMPS, PRESSURE)
_STAY: Final = 0.5
"""Chance that the jumping source stays near where it is."""


@dataclass(frozen=True, slots=True)
class Step:
    """One solve: its parameters in the range -1 to 1, whether the source has jumped to it, its number."""

    parameters: Array
    jumped: bool = False
    number: int = 0


class DiffusionGrid:
    """`-div(k grad u) = f` by finite volumes on the unit square, u = 0 outside; k by quarters, f a Gaussian (serial).

    Args:
        cells: Cells in each direction.
        kind: `MOVING`, `JUMPING` or `JUMPS`.
    """

    def __init__(self, cells: int, kind: str) -> None:
        self.cells, self.kind = cells, kind
        middle = (np.arange(cells) + 0.5) / cells
        self._x, self._y = np.meshgrid(middle, middle, indexing="ij")
        self.matrix = PETSc.Mat().createAIJ((cells**2, cells**2), nnz=5, comm=PETSc.COMM_SELF)
        self.b = self.matrix.createVecRight()
        self.fill(np.ones((cells, cells)))

    def set(self, step: Step) -> None:
        """Set right-hand side and, where it changes, operator of a solve."""
        one, two = step.parameters[:2]
        if self.kind == JUMPS:
            three = step.parameters[2]
            k = np.ones((self.cells, self.cells))
            half = self.cells // 2
            for block, exponent in (((0, 1), one), ((1, 0), two), ((1, 1), three)):
                rows, columns = (slice(i * half, (i + 1) * half) for i in block)
                k[rows, columns] = 10.0 ** (1.5 * exponent)
            self.fill(k)
            one = two = 0.0
        x, y = 0.5 + 0.35 * one, 0.5 + 0.35 * two
        source = np.exp(-((self._x - x) ** 2 + (self._y - y) ** 2) / (2.0 * 0.08**2))
        self.b.array[:] = source.ravel() / self.cells**2

    def fill(self, k: Array) -> None:
        """Set the operator: harmonic means on faces, half a cell to the border."""
        n = self.cells
        number = np.arange(n * n, dtype=PETSc.IntType).reshape(n, n)
        diagonal = np.zeros((n, n))
        rows, columns, values = [], [], []
        for axis in (0, 1):
            low, high = np.take(k, range(n - 1), axis), np.take(k, range(1, n), axis)
            face = 2.0 * low * high / (low + high)
            left, right = np.take(number, range(n - 1), axis).ravel(), np.take(number, range(1, n), axis).ravel()
            for here, there in ((left, right), (right, left)):
                rows.append(here)
                columns.append(there)
                values.append(-face.ravel())
                diagonal.ravel()[here] += face.ravel()
            for border in (0, n - 1):
                edge = np.take(number, border, axis)
                diagonal.ravel()[edge] += 2.0 * k.ravel()[edge]
        rows.append(number.ravel())
        columns.append(number.ravel())
        values.append(diagonal.ravel())
        row, column, value = (np.concatenate(part) for part in (rows, columns, values))
        order = np.lexsort((column, row))
        starts = np.concatenate([[0], np.cumsum(np.bincount(row, minlength=n * n))]).astype(PETSc.IntType)
        self.matrix.setValuesCSR(starts, column[order], value[order])
        self.matrix.assemble()


class PressureSolves:
    """The pressure solves of a cavity's time loop (serial; needs dolfinx).

    Args:
        cells: Squares in each direction.
    """

    def __init__(self, cells: int) -> None:
        from cosolve.examples.linear_guess.cavity import Cavity

        self._cavity = Cavity(cells)
        self.matrix = self._cavity.matrix
        self.b = self.matrix.createVecRight()
        self._right = np.zeros((0, self.b.getSize()))

    def begin(self, count: int, random: np.random.Generator) -> None:
        """Run a time loop from rest, with a lid of its own."""
        self._right = self._cavity.right_hand_sides(count, random)

    def set(self, step: Step) -> None:
        """Set the right-hand side of a solve."""
        self.b.array[:] = self._right[step.number]


Solves: TypeAlias = DiffusionGrid | PressureSolves


def make(kind: str, cells: int) -> Solves:
    """Return the operator and right-hand side of a kind of sequence."""
    return PressureSolves(cells) if kind == PRESSURE else DiffusionGrid(cells, kind)


def sequence(solves: Solves, kind: str, count: int, random: np.random.Generator) -> list[Step]:
    """Return the solves of one sequence."""
    if isinstance(solves, PressureSolves):
        solves.begin(count, random)
        return [Step(np.zeros(0), number=number) for number in range(count)]
    dimension = _dimension(kind)
    phase = random.uniform(0.0, 2.0 * np.pi, dimension)
    steps = []
    place = random.uniform(-1.0, 1.0, dimension)
    jumped = False
    for index in range(count):
        if kind == MOVING:
            place = np.sin(np.array([2.0, 3.0]) * (2.0 * np.pi * index / 1000.0) + phase)
        elif kind == JUMPING:
            jumped = bool(random.random() > _STAY)
            small = np.clip(place + 0.02 * random.standard_normal(dimension), -1.0, 1.0)
            place = random.uniform(-1.0, 1.0, dimension) if jumped else small
        else:
            place = random.uniform(-1.0, 1.0, dimension)
        steps.append(Step(place, jumped, index))
    return steps


def training_steps(solves: Solves, kind: str, count: int, random: np.random.Generator) -> list[Step]:
    """Return solves from which a surrogate learns: drawn evenly, or those of another run of the time loop."""
    if isinstance(solves, PressureSolves):
        return sequence(solves, kind, count, random)
    return [Step(place) for place in random.uniform(-1.0, 1.0, (count, _dimension(kind)))]


def _dimension(kind: str) -> int:
    return 3 if kind == JUMPS else 2


def petsc_options(prefix: str, values: dict[str, Any]) -> None:
    """Write options of PETSc under a prefix."""
    database = PETSc.Options(prefix)
    for name, value in values.items():
        database.setValue(name, value)
