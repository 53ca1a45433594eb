"""Helmholtz's equation on an unstructured tetrahedral mesh of the unit cube, without a coarser companion."""

from __future__ import annotations

from typing import Any

import numpy as np
import scipy.sparse as sp
from cosolve.core.arrays import Array
from scipy.spatial import Delaunay

_FLAT = 1e-3
"""Tetrahedra of less than this share of the mean volume are the flat ones that a Delaunay mesh has; left out."""


class Tetrahedra:
    """Linear elements on a Delaunay mesh of randomly moved points; u = 0 on the boundary.

    Args:
        points: Points along an edge of the cube.
        random: Moves the inner points.

    Attributes:
        places: Of the unknowns, shape `(n, 3)`.
        stiffness: The Laplacian.
    """

    def __init__(self, points: int, random: np.random.Generator) -> None:
        axis = np.linspace(0.0, 1.0, points)
        places = np.stack(np.meshgrid(axis, axis, axis, indexing="ij"), -1).reshape(-1, 3)
        inner = (places > 1e-9) & (places < 1.0 - 1e-9)
        places = places + inner * random.uniform(-0.3, 0.3, places.shape) / (points - 1)
        corners = Delaunay(places, qhull_options="QJ Pp").simplices
        edges = places[corners[:, 1:]] - places[corners[:, :1]]
        volumes = np.abs(np.linalg.det(edges)) / 6.0
        good = volumes > _FLAT * volumes.mean()
        corners, edges, volumes = corners[good], edges[good], volumes[good]
        gradients = np.linalg.inv(edges).transpose(0, 2, 1)
        gradients = np.concatenate([-gradients.sum(1, keepdims=True), gradients], 1)
        free = np.flatnonzero(inner.all(1))
        number = np.full(len(places), -1)
        number[free] = np.arange(len(free))
        self._centres = places[corners].mean(1)
        self.places: Array = places[free]
        rows, columns = number[np.repeat(corners, 4, 1).ravel()], number[np.tile(corners, (1, 4)).ravel()]
        inside = (rows >= 0) & (columns >= 0)
        rows, columns = rows[inside], columns[inside]
        values = (np.einsum("tij,tkj->tik", gradients, gradients) * volumes[:, None, None]).ravel()[inside]
        self.stiffness = sp.coo_matrix((values, (rows, columns)), (len(free), len(free))).tocsr()
        self.stiffness.sort_indices()
        # From a weight of each element to the stored values of its mass matrix, which has the pattern of the stiffness.
        order = self.stiffness.copy()
        order.data = np.arange(order.nnz, dtype=np.float64)
        entries = np.asarray(order[rows, columns]).ravel().astype(np.int64)
        block = (np.ones((4, 4)) + np.eye(4)) / 20.0
        masses = (block[None] * volumes[:, None, None]).ravel()[inside]
        elements = np.repeat(np.arange(len(corners)), 16)[inside]
        self._weighing = sp.coo_matrix((masses, (entries, elements)), (order.nnz, len(corners))).tocsr()

    @property
    def elements(self) -> int:
        """Number of tetrahedra."""
        return len(self._centres)

    def operator(self, weight: Array) -> Any:
        """Return stiffness less the mass matrix of a weight for each element, with the stiffness's pattern."""
        pattern = self.stiffness
        values = pattern.data - self._weighing @ weight
        return sp.csr_matrix((values, pattern.indices, pattern.indptr), pattern.shape)

    def bump(self, centre: Array, width: float) -> Array:
        """Return a Gaussian at the middle of each element."""
        values: Array = np.exp(-((self._centres - centre) ** 2).sum(1) / (2.0 * width**2))
        return values
