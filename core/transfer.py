"""Explicit transfers between spaces, each with the polynomials that it reproduces exactly, and its transpose."""

from __future__ import annotations

from abc import ABC, abstractmethod
from itertools import product
from typing import ClassVar

import numpy as np
import numpy.typing as npt
from cosolve.core.arrays import Array
from cosolve.core.copies import CopyCount
from cosolve.core.errors import BadInputError
from cosolve.core.field import Field
from cosolve.core.space import Grid, Points, Space


class Transfer(ABC):
    """A linear map between fields on two spaces.

    Attributes:
        source: Where fields come from.
        target: Where they go.
        exact_on: The functions that arrive without error.
        count: Copies made so far: a transfer makes new values, and says so.
    """

    exact_on: ClassVar[str] = ""

    def __init__(self, source: Space, target: Space) -> None:
        self.source, self.target = source, target
        self.count = CopyCount()

    def __call__(self, field: Field) -> Field:
        """Transfer a field (not collective); name, unit and precision stay.

        Raises:
            ModelMismatchError: The field lives on another space.
        """
        field.require(space=self.source)
        values = self._apply(_points_last(field.values, self.source), transposed=False)
        self.count.add(values.nbytes, f"{field.name}: {self.source.kind} to {self.target.kind}")
        return Field(field.name, self.target, _restored(values, self.target, field.values.dtype), field.unit)

    def transpose(self, field: Field) -> Field:
        """Apply the transpose of the map, from `target` back to `source`: what a gradient needs."""
        field.require(space=self.target)
        values = self._apply(_points_last(field.values, self.target), transposed=True)
        self.count.add(values.nbytes, f"{field.name}: transpose of {self.source.kind} to {self.target.kind}")
        return Field(field.name, self.source, _restored(values, self.source, field.values.dtype), field.unit)

    @abstractmethod
    def _apply(self, values: Array, *, transposed: bool) -> Array:
        """Map values of shape `(batch, channel, size)`."""


class GridToPoints(Transfer):
    """Multilinear sampling of a grid at points.

    Between the outermost cell centres and the boundary the outermost cell's slope goes on, so that multilinear
    functions stay exact there.

    Args:
        grid: Any grid with at least two points along each axis.
        points: Where to sample; inside of the grid's box.

    Raises:
        BadInputError: A point lies outside of the box, or the dimensions differ.
    """

    exact_on: ClassVar[str] = "multilinear polynomials"

    def __init__(self, grid: Grid, points: Points) -> None:
        super().__init__(grid, points)
        coordinates = points.coordinates()
        if coordinates.shape[1] != len(grid.cells):
            raise BadInputError(f"points have {coordinates.shape[1]} coordinates, the grid has {len(grid.cells)} axes")
        lower, upper = np.array(grid.lower), np.array(grid.upper)
        slack = 1e-12 * (upper - lower)
        outside = np.flatnonzero(~np.all((coordinates >= lower - slack) & (coordinates <= upper + slack), axis=1))
        if len(outside):
            first = int(outside[0])
            raise BadInputError(
                f"{len(outside)} of {len(coordinates)} points lie outside of the grid's box {grid.lower} to "
                f"{grid.upper}, the first is number {first} at {coordinates[first].tolist()}"
            )
        along = [_linear_weights(axis, coordinates[:, k]) for k, axis in enumerate(grid.axes())]
        corners: list[npt.NDArray[np.intp]] = []
        weights: list[Array] = []
        for choice in product((0, 1), repeat=len(along)):
            index = [left + side for (left, _), side in zip(along, choice, strict=True)]
            corners.append(np.ravel_multi_index(tuple(index), grid.shape))
            factors = [share if side else 1.0 - share for (_, share), side in zip(along, choice, strict=True)]
            weights.append(np.prod(factors, axis=0))
        self._corners, self._weights = np.array(corners), np.array(weights)

    def _apply(self, values: Array, *, transposed: bool) -> Array:
        if not transposed:
            sampled: Array = np.einsum("kp,bckp->bcp", self._weights, values[:, :, self._corners])
            return sampled
        size = self.source.size
        rows = values.reshape(-1, values.shape[-1])
        scattered = [
            np.bincount(self._corners.ravel(), weights=(row * self._weights).ravel(), minlength=size) for row in rows
        ]
        result: Array = np.array(scattered, dtype=np.float64).reshape(*values.shape[:2], size)
        return result


class GridToGrid(Transfer):
    """Prolongation or restriction between grids on the same box, one matrix for each axis.

    To a finer (or equal) axis: linear interpolation. To a coarser axis of cells: averages of the cells; to a coarser
    axis of nodes: the nodes that both share. Coarser axes need a whole ratio.

    Args:
        source: The grid of the values.
        target: A grid on the same box, with values at the same places (cells or nodes).

    Raises:
        BadInputError: Boxes or places of values differ, or a coarser axis does not divide the finer one.
    """

    exact_on: ClassVar[str] = "multilinear polynomials"

    def __init__(self, source: Grid, target: Grid) -> None:
        super().__init__(source, target)
        if (source.lower, source.upper, source.values) != (target.lower, target.upper, target.values):
            raise BadInputError(
                f"grids must have the same box and values at the same places; found {dict(source.describe())} and "
                f"{dict(target.describe())}"
            )
        self._shapes = source.shape, target.shape
        self._matrices = [
            _axis_matrix(source.axes()[k], target.axes()[k], source.cells[k], target.cells[k], source.values)
            for k in range(len(source.cells))
        ]

    def _apply(self, values: Array, *, transposed: bool) -> Array:
        shape = self._shapes[1 if transposed else 0]
        grids = values.reshape(*values.shape[:2], *shape)
        for axis, matrix in enumerate(self._matrices):
            # Contract one axis after the other: the whole map is their tensor product.
            grids = np.moveaxis(
                np.tensordot(matrix.T if transposed else matrix, grids, axes=(1, axis + 2)), 0, axis + 2
            )
        return np.ascontiguousarray(grids).reshape(*values.shape[:2], -1)


def _linear_weights(axis: Array, x: Array) -> tuple[npt.NDArray[np.intp], Array]:
    """Return the left neighbour on `axis` and the share of the right one; beyond the ends the last slope goes on."""
    if len(axis) < 2:
        raise BadInputError("linear interpolation needs at least two points along each axis of a grid")
    left = np.clip(np.searchsorted(axis, x, side="right") - 1, 0, len(axis) - 2)
    return left, (x - axis[left]) / (axis[left + 1] - axis[left])


def _axis_matrix(source: Array, target: Array, cells_in: int, cells_out: int, values: str) -> Array:
    matrix = np.zeros((len(target), len(source)))
    rows = np.arange(len(target))
    if cells_out >= cells_in:
        left, share = _linear_weights(source, target)
        matrix[rows, left] = 1.0 - share
        matrix[rows, left + 1] += share
        return matrix
    if cells_in % cells_out:
        raise BadInputError(f"{cells_in} cells cannot be restricted to {cells_out}: the ratio must be whole")
    ratio = cells_in // cells_out
    if values == "node":
        matrix[rows, ratio * rows] = 1.0
    else:
        for offset in range(ratio):
            matrix[rows, ratio * rows + offset] = 1.0 / ratio
    return matrix


def _points_last(values: Array, space: Space) -> Array:
    """Return values as `(batch, channel, size)`."""
    if space.channels_first:
        return values.reshape(*values.shape[:2], space.size)
    return np.moveaxis(values, -1, 1).reshape(values.shape[0], values.shape[-1], space.size)


def _restored(values: Array, space: Space, dtype: npt.DTypeLike) -> Array:
    """Return `(batch, channel, size)` in the layout of `space`."""
    values = values.astype(dtype, copy=False)
    if space.channels_first:
        return values.reshape(*values.shape[:2], *space.shape)
    return np.ascontiguousarray(np.moveaxis(values, 1, -1))
