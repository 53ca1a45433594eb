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
        corners, edges, self._volumes = corners[good], edges[good], volumes[good]
        gradients = np.linalg.inv(edges).transpose(0, 2, 1)
        gradients = np.concatenate([-gradients.sum(1, keepdims=True), gradients], 1)
        self._rows, self._columns = np.repeat(corners, 4, 1).ravel(), np.tile(corners, (1, 4)).ravel()
        self._count, self._free = len(places), np.flatnonzero(inner.all(1))
        self._centres = places[corners].mean(1)
        self.places: Array = places[self._free]
        self.stiffness = self._assembled(np.einsum("tij,tkj->tik", gradients, gradients), self._volumes)

    def mass(self, weight: Array) -> Any:
        """Return the mass matrix of a weight for each element."""
        return self._assembled(np.broadcast_to((np.ones((4, 4)) + np.eye(4)) / 20.0, (1, 4, 4)), self._volumes * weight)

    def bump(self, centre: Array, width: float) -> Array:
        """Return a Gaussian at the middle of each element."""
        values: Array = np.exp(-((self._centres - centre) ** 2).sum(1) / (2.0 * width**2))
        return values

    def _assembled(self, blocks: Array, sizes: Array) -> Any:
        values = (blocks * sizes[:, None, None]).ravel()
        whole = sp.coo_matrix((values, (self._rows, self._columns)), (self._count, self._count)).tocsr()
        return whole[self._free][:, self._free].tocsr()
