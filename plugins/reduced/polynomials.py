"""Polynomial features of a vector, all monomials of its leading entries, with exact derivatives."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import combinations_with_replacement

import numpy as np
import numpy.typing as npt
from cosolve.core.arrays import Array
from cosolve.core.errors import BadInputError


class Polynomials:
    """The features 1, all entries, and all monomials of degree 2, 3, ... of the first `leading[0]`, `leading[1]`, ...

    Args:
        n_inputs: Length of the vector.
        leading: How many of the first entries enter the monomials of degree 2, 3, ...

    >>> Polynomials(2, (1,)).evaluate(np.array([3.0, 5.0])).tolist()
    [1.0, 3.0, 5.0, 9.0]
    """

    def __init__(self, n_inputs: int, leading: Sequence[int]) -> None:
        self.n_inputs = n_inputs
        self.leading = tuple(int(count) for count in leading)
        if any(not 0 <= count <= n_inputs for count in self.leading):
            raise BadInputError(f"leading counts {self.leading} must lie between 0 and the {n_inputs} inputs")
        self._monomials: list[npt.NDArray[np.intp]] = [
            np.array(list(combinations_with_replacement(range(count), degree)), dtype=np.intp).reshape(-1, degree)
            for degree, count in enumerate(self.leading, start=2)
        ]

    @property
    def n_features(self) -> int:
        """Number of features."""
        return 1 + self.n_inputs + sum(len(monomials) for monomials in self._monomials)

    def evaluate(self, x: Array) -> Array:
        """Return the features, shapes `(..., n_inputs)` to `(..., n_features)`."""
        parts = [np.ones((*x.shape[:-1], 1)), x]
        for monomials in self._monomials:
            product = x[..., monomials[:, 0]]
            for position in range(1, monomials.shape[1]):
                product = product * x[..., monomials[:, position]]
            parts.append(product)
        return np.concatenate(parts, axis=-1)

    def jvp(self, x: Array, tangent: Array) -> Array:
        """Return the derivative of the features at `x`, shape `(n_inputs,)`, times `tangent`."""
        parts = [np.zeros(1), tangent]
        for monomials in self._monomials:
            parts.append(
                np.sum(
                    [self._without(x, monomials, i) * tangent[monomials[:, i]] for i in range(monomials.shape[1])],
                    axis=0,
                )
            )
        return np.concatenate(parts)

    def vjp(self, x: Array, cotangent: Array) -> Array:
        """Return the transposed derivative of the features at `x`, shape `(n_inputs,)`, times `cotangent`."""
        result = np.array(cotangent[1 : 1 + self.n_inputs], dtype=np.float64)
        start = 1 + self.n_inputs
        for monomials in self._monomials:
            part = cotangent[start : start + len(monomials)]
            for i in range(monomials.shape[1]):
                np.add.at(result, monomials[:, i], self._without(x, monomials, i) * part)
            start += len(monomials)
        return result

    @staticmethod
    def _without(x: Array, monomials: npt.NDArray[np.intp], left_out: int) -> Array:
        """Return the product of all factors but one."""
        product = np.ones(len(monomials))
        for position in range(monomials.shape[1]):
            if position != left_out:
                product = product * x[monomials[:, position]]
        return product
