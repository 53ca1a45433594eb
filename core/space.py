"""Spaces: where values live. They describe themselves in JSON, so that a model can refuse another space.

Values on a `Grid` are channels-first, `(batch, channel, *spatial)`; on all other spaces `(batch, point, channel)`.
"""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, ClassVar, Literal

import numpy as np
import numpy.typing as npt
from cosolve.core.arrays import Array
from cosolve.core.errors import BadInputError


class Space(ABC):
    """Where the values of a field live.

    Attributes:
        kind: Name of the kind, as in descriptions.
        channels_first: Whether values are `(batch, channel, *shape)`; else `(batch, point, channel)`.
    """

    kind: ClassVar[str] = "space"
    channels_first: ClassVar[bool] = False

    @property
    @abstractmethod
    def shape(self) -> tuple[int, ...]:
        """Shape of one channel on this rank."""

    @property
    def size(self) -> int:
        """Number of points of one channel on this rank."""
        return math.prod(self.shape)

    @abstractmethod
    def describe(self) -> Mapping[str, Any]:
        """Return what a model that was trained on this space must find again (JSON-serialisable)."""

    def coordinates(self) -> Array:
        """Return the coordinates of the points, shape `(size, dimension)`.

        Raises:
            BadInputError: The points of this space have no coordinates.
        """
        raise BadInputError(f"the points of a {self.kind} space have no coordinates")

    def same_as(self, other: Space) -> bool:
        """Return whether `other` is the same space: the same kind with the same points."""
        if self is other:
            return True
        if type(self) is not type(other) or self.shape != other.shape or self.describe() != other.describe():
            return False
        try:
            return bool(np.array_equal(self.coordinates(), other.coordinates()))
        except BadInputError:
            return True


@dataclass(frozen=True)
class Grid(Space):
    """A regular grid on a box.

    Attributes:
        cells: Cells along each axis.
        lower: Lower corner.
        upper: Upper corner.
        values: Whether values live at `cell` centres or at `node`s.
    """

    kind: ClassVar[str] = "grid"
    channels_first: ClassVar[bool] = True

    cells: tuple[int, ...]
    lower: tuple[float, ...]
    upper: tuple[float, ...]
    values: Literal["cell", "node"] = "cell"

    def __post_init__(self) -> None:
        if not (len(self.cells) == len(self.lower) == len(self.upper) >= 1):
            raise BadInputError(
                f"a grid needs cells, lower and upper for each axis; found {self.cells}, {self.lower}, {self.upper}"
            )
        if any(n < 1 for n in self.cells) or any(a >= b for a, b in zip(self.lower, self.upper, strict=True)):
            raise BadInputError(
                f"a grid needs at least one cell an axis and lower < upper; "
                f"found {self.cells}, {self.lower}, {self.upper}"
            )

    @classmethod
    def unit(cls, *cells: int, values: Literal["cell", "node"] = "cell") -> Grid:
        """Return a grid on the unit interval, square or cube.

        >>> Grid.unit(4, 2).shape
        (4, 2)
        """
        return cls(tuple(cells), (0.0,) * len(cells), (1.0,) * len(cells), values)

    @property
    def shape(self) -> tuple[int, ...]:
        """Points along each axis."""
        return tuple(n + (self.values == "node") for n in self.cells)

    def axes(self) -> list[Array]:
        """Return the coordinates along each axis, in its unit of length."""
        axes = []
        for n, low, high in zip(self.cells, self.lower, self.upper, strict=True):
            positions = np.arange(n + 1.0) if self.values == "node" else np.arange(n) + 0.5
            axes.append(low + (high - low) / n * positions)
        return axes

    def coordinates(self) -> Array:
        """Return the coordinates of all points, last axis fastest."""
        return np.stack([axis.ravel() for axis in np.meshgrid(*self.axes(), indexing="ij")], axis=1)

    def describe(self) -> Mapping[str, Any]:
        """Return box, cells and where values live."""
        return {
            "kind": self.kind,
            "cells": list(self.cells),
            "lower": list(self.lower),
            "upper": list(self.upper),
            "values": self.values,
        }


@dataclass(frozen=True, eq=False)
class Dofs(Space):
    """The degrees of freedom of a finite-element space on a mesh, as far as this rank owns them.

    Attributes:
        n_owned: Degrees of freedom that this rank owns.
        element: Family and degree, `"Lagrange 1"` for instance.
        mesh: Name or fingerprint of the mesh; empty where a model serves any mesh.
        points: Coordinates of the owned degrees of freedom, shape `(n_owned, d)`, where the element has them.
    """

    kind: ClassVar[str] = "dofs"

    n_owned: int
    element: str
    mesh: str = ""
    points: Array | None = None

    @property
    def shape(self) -> tuple[int, ...]:
        """Owned degrees of freedom."""
        return (self.n_owned,)

    def coordinates(self) -> Array:
        """Return the coordinates of the owned degrees of freedom."""
        return super().coordinates() if self.points is None else self.points

    def describe(self) -> Mapping[str, Any]:
        """Return element and mesh; never a count, which depends on the number of ranks."""
        return {"kind": self.kind, "element": self.element, "mesh": self.mesh}


@dataclass(frozen=True, eq=False)
class Points(Space):
    """Scattered points.

    Attributes:
        points: Coordinates, shape `(n, d)`.
    """

    kind: ClassVar[str] = "points"

    points: Array

    def __post_init__(self) -> None:
        if self.points.ndim != 2:
            raise BadInputError(f"points need coordinates of shape (n, d), found {self.points.shape}")

    @property
    def shape(self) -> tuple[int, ...]:
        """Number of points."""
        return (len(self.points),)

    def coordinates(self) -> Array:
        """Return the coordinates."""
        return self.points

    def describe(self) -> Mapping[str, Any]:
        """Return the dimension."""
        return {"kind": self.kind, "dimension": int(self.points.shape[1])}


@dataclass(frozen=True, eq=False)
class Quadrature(Points):
    """Quadrature points with weights: what multiscale couplings and constitutive models work on.

    Attributes:
        weights: Weights, shape `(n,)`, in the unit of the volume.
        degree: Polynomials up to this total degree are integrated exactly.
    """

    kind: ClassVar[str] = "quadrature"

    weights: Array = field(default_factory=lambda: np.zeros(0))
    degree: int = 0

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.weights.shape != (len(self.points),):
            raise BadInputError(
                f"quadrature needs a weight for each of its {len(self.points)} points, found {self.weights.shape}"
            )

    @classmethod
    def gauss(cls, grid: Grid, degree: int) -> Quadrature:
        """Return the tensor Gauss rule on each cell of `grid` that is exact up to `degree` in each variable."""
        count = degree // 2 + 1
        nodes, weights = np.polynomial.legendre.leggauss(count)  # type: ignore[no-untyped-call]  # numpy leaves it untyped
        axes, products = [], np.ones(1)
        for n, low, high in zip(grid.cells, grid.lower, grid.upper, strict=True):
            h = (high - low) / n
            axes.append((low + h * (np.arange(n)[:, None] + 0.5 + 0.5 * nodes)).ravel())
            products = np.multiply.outer(products, np.tile(0.5 * h * weights, n)).ravel()
        points = np.stack([axis.ravel() for axis in np.meshgrid(*axes, indexing="ij")], axis=1)
        return cls(points, products, degree)

    def integrate(self, values: Array) -> Array:
        """Return the integral of values of shape `(batch, point, channel)`, shape `(batch, channel)`; this rank's."""
        integral: Array = np.einsum("p,bpc->bc", self.weights, values)
        return integral

    def describe(self) -> Mapping[str, Any]:
        """Return dimension and degree."""
        return {"kind": self.kind, "dimension": int(self.points.shape[1]), "degree": self.degree}


@dataclass(frozen=True, eq=False)
class Graph(Space):
    """Nodes joined by edges, without a geometry of their own.

    Attributes:
        n_nodes: Number of nodes.
        edges: Pairs of node numbers, shape `(n_edges, 2)`.
    """

    kind: ClassVar[str] = "graph"

    n_nodes: int
    edges: npt.NDArray[np.integer[Any]]

    def __post_init__(self) -> None:
        edges = self.edges
        if edges.ndim != 2 or edges.shape[1] != 2:
            raise BadInputError(f"a graph needs edges of shape (n_edges, 2), found {edges.shape}")
        if edges.size and not (int(edges.min()) >= 0 and int(edges.max()) < self.n_nodes):
            raise BadInputError(f"an edge names a node outside of 0 to {self.n_nodes - 1}")

    @property
    def shape(self) -> tuple[int, ...]:
        """Number of nodes."""
        return (self.n_nodes,)

    def same_as(self, other: Space) -> bool:
        """Return whether `other` is a graph with the same nodes and edges."""
        return isinstance(other, Graph) and self.n_nodes == other.n_nodes and np.array_equal(self.edges, other.edges)

    def describe(self) -> Mapping[str, Any]:
        """Return the kind: a graph model serves any graph."""
        return {"kind": self.kind}


@dataclass(frozen=True)
class Latent(Space):
    """Coefficients without a place: POD coefficients, a network's code.

    Attributes:
        width: Number of coefficients.
        basis: What they are coefficients of.
    """

    kind: ClassVar[str] = "latent"

    width: int
    basis: str = ""

    @property
    def shape(self) -> tuple[int, ...]:
        """Number of coefficients."""
        return (self.width,)

    def describe(self) -> Mapping[str, Any]:
        """Return width and basis."""
        return {"kind": self.kind, "width": self.width, "basis": self.basis}
