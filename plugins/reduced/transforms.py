"""Where POD modes live: on the values themselves, or on the cosine coefficients of a square grid.

The cosine coefficients do not depend on the number of cells, so that modes on them serve every grid, and a transform
costs two thin matrix products instead of one with all modes on all cells.
"""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from typing import Any

import numpy as np
from cosolve.core.arrays import Array
from cosolve.core.errors import BadInputError, ModelMismatchError


class Transform(ABC):
    """A linear map from values to coefficients and one back, with their transposes."""

    @abstractmethod
    def forward(self, values: Array) -> Array:
        """Return the coefficients of `values`, shapes `(..., n)` to `(..., m)`."""

    @abstractmethod
    def backward(self, coefficients: Array, n: int) -> Array:
        """Return the values of `coefficients`, shapes `(m,)` to `(n,)`."""

    @abstractmethod
    def forward_transposed(self, coefficients: Array, n: int) -> Array:
        """Return the transpose of `forward` times `coefficients`."""

    @abstractmethod
    def backward_transposed(self, values: Array) -> Array:
        """Return the transpose of `backward` times `values`."""

    @abstractmethod
    def settings(self) -> dict[str, Any]:
        """Return what `transform_from` needs."""


class Identity(Transform):
    """Coefficients are the values: modes belong to one mesh."""

    def forward(self, values: Array) -> Array:
        """Return `values`."""
        return values

    def backward(self, coefficients: Array, n: int) -> Array:
        """Return `coefficients`, which must be `n` values."""
        if coefficients.shape[-1] != n:
            raise ModelMismatchError(
                f"the modes have {coefficients.shape[-1]} values, the state has {n}: train on this mesh"
            )
        return coefficients

    def forward_transposed(self, coefficients: Array, n: int) -> Array:
        """Return `coefficients`."""
        return self.backward(coefficients, n)

    def backward_transposed(self, values: Array) -> Array:
        """Return `values`."""
        return values

    def settings(self) -> dict[str, Any]:
        """Return the kind."""
        return {"kind": "identity"}


class Cosine(Transform):
    """The first `order` x `order` cosine coefficients of cell values on a square grid (DCT-II, zero flux).

    The coefficients are those of the continuous function in the L2 norm of the unit square, whatever the grid.
    """

    def __init__(self, order: int) -> None:
        if order < 1:
            raise BadInputError(f"the order of the cosine transform must be positive, found {order}")
        self.order = order
        self._matrices: dict[int, Array] = {}

    def matrix(self, size: int) -> Array:
        """Return the orthonormal cosines on `size` points, shape `(size, order)`."""
        if size not in self._matrices:
            if size < self.order:
                raise ModelMismatchError(f"a grid of {size} cells a side cannot carry {self.order} cosines a side")
            k = np.arange(self.order)
            cosines = np.cos(np.pi * np.outer(np.arange(size) + 0.5, k) / size) * math.sqrt(2.0 / size)
            cosines[:, 0] /= math.sqrt(2.0)
            self._matrices[size] = cosines
        return self._matrices[size]

    def wave_numbers_squared(self) -> Array:
        """Return |k|^2 of each coefficient, shape `(order * order,)`."""
        squares = np.arange(self.order, dtype=np.float64) ** 2
        return np.add.outer(squares, squares).ravel()

    def forward(self, values: Array) -> Array:
        """Return the coefficients, scaled to the continuous L2 norm."""
        size = _side(values.shape[-1])
        return self._analyse(values, size) / size

    def backward(self, coefficients: Array, n: int) -> Array:
        """Return the cosine sum at the cell centres."""
        size = _side(n)
        return self._synthesise(coefficients, size) * size

    def forward_transposed(self, coefficients: Array, n: int) -> Array:
        """Return the transpose of `forward`."""
        size = _side(n)
        return self._synthesise(coefficients, size) / size

    def backward_transposed(self, values: Array) -> Array:
        """Return the transpose of `backward`."""
        size = _side(values.shape[-1])
        return self._analyse(values, size) * size

    def settings(self) -> dict[str, Any]:
        """Return the kind and the order."""
        return {"kind": "cosine", "order": self.order}

    def _analyse(self, values: Array, size: int) -> Array:
        cosines = self.matrix(size)
        grids = values.reshape(*values.shape[:-1], size, size)
        return (cosines.T @ grids @ cosines).reshape(*values.shape[:-1], self.order**2)

    def _synthesise(self, coefficients: Array, size: int) -> Array:
        cosines = self.matrix(size)
        square = coefficients.reshape(self.order, self.order)
        return ((cosines @ square) @ cosines.T).reshape(-1)


def _side(n: int) -> int:
    size = math.isqrt(n)
    if size * size != n:
        raise ModelMismatchError(f"the cosine transform needs a square grid, found {n} values")
    return size


def transform_from(settings: Any) -> Transform:
    """Build a transform from its settings.

    Raises:
        BadInputError: The kind is not known or the order is not a count.
    """
    kind = settings.get("kind") if isinstance(settings, dict) else None
    if kind == "identity":
        return Identity()
    if kind == "cosine" and type(settings.get("order")) is int:
        return Cosine(settings["order"])
    raise BadInputError(f"the transform is {settings!r}, expected kind 'identity', or kind 'cosine' with an order")
