"""Bases that are known somewhere (a tensor grid, points, a network of the point) and evaluated anywhere else."""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

import numpy as np
import numpy.typing as npt
import torch
from cosolve.core.arrays import Array
from cosolve.core.errors import BadInputError, ModelMismatchError
from cosolve.plugins.pytorch.layers import MLP, Normaliser
from cosolve.plugins.pytorch.stored import above, check_sizes, load_exactly
from torch import Tensor, nn

Float64 = npt.NDArray[np.float64]
_MATCH = 1e-8
"""Points nearer than this share of the domain's extent are the same point."""


class Basis(ABC):
    """`size` functions: row 0 is the mean of training, the others are the basis."""

    kind: ClassVar[str]
    size: int

    @abstractmethod
    def at(self, points: Array) -> Float64:
        """Return all functions at `points` of shape `(n, d)`, shape `(size, n)` (not collective).

        Raises:
            ModelMismatchError: The basis is not known there.
        """

    @abstractmethod
    def tensors(self) -> dict[str, Array]:
        """Return the arrays for a model file."""

    def settings(self) -> dict[str, Any]:
        """Return what beside arrays builds the basis again."""
        return {"kind": self.kind}


class GridBasis(Basis):
    """Known at the nodes of a tensor grid; between them by local Lagrange interpolation along each axis.

    Interpolation of degree p reproduces polynomials of degree p along each axis, and gives the very values at nodes.

    Args:
        axes: Increasing node coordinates along each axis.
        values: Shape `(size, *[len(axis) for axis in axes])`.
        degree: 1 or 3; an axis with fewer than four nodes takes what it has.

    Values may be single precision to halve the model file; all arithmetic is double.
    """

    kind = "grid"

    def __init__(self, axes: Sequence[Array], values: Array, degree: int = 3) -> None:
        self.axes = [np.asarray(axis, dtype=np.float64) for axis in axes]
        self.values = np.asarray(values)
        if self.values.shape[1:] != tuple(len(axis) for axis in self.axes):
            raise BadInputError(
                f"basis values have shape {self.values.shape}, the grid has {tuple(len(a) for a in self.axes)} nodes"
            )
        self.size, self.degree = len(self.values), degree

    def at(self, points: Array) -> Float64:
        """Interpolate; points outside of the grid by more than rounding are refused."""
        points = np.asarray(points, dtype=np.float64)
        if points.ndim != 2 or points.shape[1] != len(self.axes):
            raise _wrong_dimension(len(self.axes), points)
        result = np.zeros((self.size, len(points)))
        stencils = [_stencil(axis, points[:, k], self.degree, k) for k, axis in enumerate(self.axes)]
        for offsets in np.ndindex(*[weights.shape[1] for _, weights in stencils]):
            weight = np.ones(len(points))
            index: list[Any] = [slice(None)]
            for (first, weights), offset in zip(stencils, offsets, strict=True):
                weight *= weights[:, offset]
                index.append(first + offset)
            # Where a point is a node all weights but one are exactly zero: skip the memory traffic.
            if np.any(weight):
                result += weight * self.values[tuple(index)]
        return result

    def tensors(self) -> dict[str, Array]:
        """Return values, in the precision in which they were given, and axes."""
        return {"values": self.values, **{f"axis{k}": axis for k, axis in enumerate(self.axes)}}

    def settings(self) -> dict[str, Any]:
        """Return kind, degree and number of axes."""
        return {"kind": self.kind, "degree": self.degree, "axes": len(self.axes)}


def _stencil(axis: Float64, x: Float64, degree: int, number: int) -> tuple[npt.NDArray[np.intp], Float64]:
    """Return the first node and the Lagrange weights of each point along one axis."""
    extent = float(axis[-1] - axis[0]) or 1.0
    if len(x) and (x.min() < axis[0] - _MATCH * extent or x.max() > axis[-1] + _MATCH * extent):
        raise ModelMismatchError(
            f"the model's basis is known for coordinate {number} in [{axis[0]:.6g}, {axis[-1]:.6g}], the problem has "
            f"points in [{x.min():.6g}, {x.max():.6g}]. Train a model on this domain: `cosolve train`."
        )
    count = min(degree + 1, len(axis))
    cell = np.clip(np.searchsorted(axis, x, side="right") - 1, 0, max(len(axis) - 2, 0))
    first = np.clip(cell - (count - 1) // 2, 0, len(axis) - count)
    nodes = axis[first[:, None] + np.arange(count)]
    # A point that is a node but for rounding takes the node's value, so that a known mesh gets the known basis.
    nearest = np.argmin(np.abs(nodes - x[:, None]), axis=1) if len(x) else np.zeros(0, dtype=np.intp)
    node = nodes[np.arange(len(x)), nearest]
    x = np.where(np.abs(node - x) <= _MATCH * extent / max(len(axis), 1), node, x)
    weights = np.ones((len(x), count))
    for i in range(count):
        for j in range(count):
            if i != j:
                weights[:, i] *= (x - nodes[:, j]) / (nodes[:, i] - nodes[:, j])
    return first, weights


class PointBasis(Basis):
    """Known at scattered points only, the training mesh for instance; serves any partition and numbering of them."""

    kind = "points"

    def __init__(self, points: Array, values: Array) -> None:
        self.points: Float64 = np.asarray(points, dtype=np.float64)
        self.values = np.asarray(values)
        if self.points.ndim != 2 or self.values.ndim != 2 or self.values.shape[1] != len(self.points):
            raise BadInputError(
                f"basis values have shape {self.values.shape}, expected (size, {len(self.points)}) for the points"
            )
        self.size = len(self.values)
        span = np.ptp(self.points, axis=0) if len(self.points) else np.ones(self.points.shape[1])
        self._cell = 1e-6 * max(float(span.max(initial=0.0)), 1e-300)
        self._origin = self.points.min(axis=0) if len(self.points) else np.zeros(self.points.shape[1])
        self._index = {key: row for row, key in enumerate(self._keys(self.points))}

    def _keys(self, points: Float64) -> list[tuple[int, ...]]:
        # Half a cell of offset: rounding must not decide on which side of a cell's border the origin falls.
        cells = np.floor((points - self._origin) / self._cell + 0.5).astype(np.int64)
        return [tuple(row) for row in cells.tolist()]

    def at(self, points: Array) -> Float64:
        """Look the points up."""
        points = np.asarray(points, dtype=np.float64)
        if points.ndim != 2 or points.shape[1] != self.points.shape[1]:
            raise _wrong_dimension(self.points.shape[1], points)
        rows = [self._index.get(key, -1) for key in self._keys(points)]
        unknown = sum(row < 0 for row in rows)
        if unknown:
            raise ModelMismatchError(
                f"{unknown} of {len(rows)} points of this mesh are not among the {len(self.points)} points of the "
                "training mesh, and the model's basis is known nowhere else. Use the training mesh or train on this."
            )
        return np.ascontiguousarray(self.values[:, np.asarray(rows, dtype=np.intp)], dtype=np.float64)

    def tensors(self) -> dict[str, Array]:
        """Return points and values."""
        return {"points": self.points, "values": self.values}


class Trunk(nn.Module):
    """A network of the point that gives the values of `size` functions, standardised inside.

    Args:
        dimension: Dimension of the points.
        width: Width of the hidden layers.
        depth: Number of hidden layers.
        size: Number of functions.
    """

    def __init__(self, dimension: int, width: int, depth: int, size: int) -> None:
        super().__init__()
        self.sizes = (dimension, width, depth, size)
        self.inputs, self.outputs = Normaliser(dimension), Normaliser(size)
        self.network = MLP([dimension, *[width] * depth, size], activation="tanh")

    def forward(self, points: Tensor) -> Tensor:
        """Return the functions at points of shape `(n, dimension)`, shape `(n, size)`."""
        result: Tensor = self.outputs.inverse(self.network(self.inputs(points)))
        return result


class TrunkBasis(Basis):
    """Given by a network of the point, known everywhere."""

    kind = "trunk"

    def __init__(self, trunk: Trunk) -> None:
        self.trunk = trunk.eval()
        self.size = trunk.sizes[-1]

    def at(self, points: Array) -> Float64:
        """Evaluate the network."""
        points = np.ascontiguousarray(points, dtype=np.float64)
        if points.ndim != 2 or points.shape[1] != self.trunk.sizes[0]:
            raise _wrong_dimension(self.trunk.sizes[0], points)
        with torch.inference_mode():
            values = self.trunk(torch.from_numpy(points)).numpy()
        transposed: Float64 = np.array(values.T, dtype=np.float64, order="C")
        return transposed

    def tensors(self) -> dict[str, Array]:
        """Return the network's weights."""
        return above("trunk.", self.trunk)

    def settings(self) -> dict[str, Any]:
        """Return kind and sizes."""
        return {"kind": self.kind, "sizes": list(self.trunk.sizes)}


def _wrong_dimension(expected: int, points: Array) -> ModelMismatchError:
    return ModelMismatchError(
        f"the model's basis lives in {expected} dimensions, the problem's points have shape {points.shape}"
    )


def basis_from(tensors: Mapping[str, Array], settings: Mapping[str, Any]) -> Basis:
    """Build a basis from what `tensors` and `settings` returned; a KeyError names a missing tensor."""
    kind = settings["kind"]
    if kind == "grid":
        axes = [tensors[f"axis{k}"] for k in range(int(settings["axes"]))]
        return GridBasis(axes, tensors["values"], int(settings["degree"]))
    if kind == "points":
        return PointBasis(tensors["points"], tensors["values"])
    if kind == "trunk":
        dimension, width, depth, size = (int(number) for number in settings["sizes"])
        check_sizes(tensors, [dimension, size, *[width] * min(depth, 1000)])
        trunk = Trunk(dimension, width, depth, size)
        load_exactly(trunk, tensors, "trunk.")
        return TrunkBasis(trunk)
    raise BadInputError(f"unknown kind of basis {kind!r}. Known: grid, points, trunk.")


def basis_on(coordinates: Array, functions: Array, degree: int = 3) -> Basis:
    """Return a basis from functions given at `coordinates`: a `GridBasis` where these fill a tensor grid.

    Args:
        coordinates: Shape `(n, d)`, any order.
        functions: Shape `(size, n)`.
        degree: Degree of the interpolation between the nodes of a grid.
    """
    coordinates = np.asarray(coordinates, dtype=np.float64)
    axes = [distinct(coordinates[:, k]) for k in range(coordinates.shape[1])]
    if math.prod(len(axis) for axis in axes) != len(coordinates):
        return PointBasis(coordinates, functions)
    index = [np.searchsorted(axis, coordinates[:, k], side="right") - 1 for k, axis in enumerate(axes)]
    grid = np.full((len(functions), *[len(axis) for axis in axes]), np.nan, dtype=functions.dtype)
    grid[:, *index] = functions
    return PointBasis(coordinates, functions) if np.isnan(grid).any() else GridBasis(axes, grid, degree)


def distinct(values: Float64) -> Float64:
    """Return the increasing coordinates that differ by more than rounding, of at least one value."""
    ordered = np.sort(values)
    extent = float(ordered[-1] - ordered[0]) or 1.0
    found: Float64 = ordered[np.concatenate([[True], np.diff(ordered) > _MATCH * extent])]
    return found


def pod(snapshots: Array, modes: int) -> tuple[Float64, Float64, Float64]:
    """Return the orthonormal basis that holds most of `snapshots`, by a singular value decomposition.

    Args:
        snapshots: Shape `(n_snapshots, n)`, centred where that is wanted.
        modes: Number of functions; fewer come back where the snapshots have lower rank.

    Returns:
        Functions of shape `(k, n)`, all singular values, and the coefficients of shape `(n_snapshots, k)`.
    """
    data = np.asarray(snapshots, dtype=np.float64)
    left, singular, right = np.linalg.svd(data, full_matrices=False)
    rank = int(np.count_nonzero(singular > 1e-13 * max(float(singular[0]), 1e-300))) if len(singular) else 0
    k = min(modes, rank)
    coefficients: Float64 = left[:, :k] * singular[:k]
    return right[:k], singular, coefficients
