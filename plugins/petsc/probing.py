"""What a surrogate's corrections are, found by random vectors: linear, symmetric, positive, a projection."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from cosolve.core.arrays import Array

_TOLERANCE = 1e-5
"""Largest relative defect; single precision passes."""


@dataclass(frozen=True, slots=True)
class Probe:
    """The verdict of a probe, the same on every rank. Random vectors can refute a property, never prove it.

    Attributes:
        linear: `||S (x + 2 y) - S x - 2 S y||` over the size of its parts.
        symmetric: `|y . S x - x . S y|` over the size of its parts.
        positive: Smallest of `x . S x` and `y . S y` over the size of their parts; negative for an indefinite one.
        projection: `||S A S x - S x|| / ||S x||`: 0 where a second correction changes nothing.
    """

    linear: float
    symmetric: float
    positive: float
    projection: float

    @property
    def is_linear(self) -> bool:
        """Whether no violation of linearity was found."""
        return self.linear <= _TOLERANCE

    @property
    def is_symmetric(self) -> bool:
        """Whether no violation of linearity and symmetry was found."""
        return self.is_linear and self.symmetric <= _TOLERANCE

    @property
    def is_positive(self) -> bool:
        """Whether no negative direction was found."""
        return self.positive >= -_TOLERANCE

    @property
    def is_projection(self) -> bool:
        """Whether no violation was found of `S A S = S`, with linearity and symmetry: a Galerkin correction."""
        return self.is_symmetric and self.projection <= _TOLERANCE

    def as_record(self) -> dict[str, Any]:
        """Return the verdict for the ledger."""
        return {
            "linear": self.is_linear,
            "symmetric": self.is_symmetric,
            "positive": self.is_positive,
            "projection": self.is_projection,
            "defects": [self.linear, self.symmetric, self.positive, self.projection],
        }


def probe(
    propose: Callable[[Array], Array | None],
    product: Callable[[Array], Array],
    total: Callable[[Array], Array],
    size: int,
    random: np.random.Generator,
) -> Probe | None:
    """Probe corrections with two random vectors (collective): four proposals and one product with the operator.

    Args:
        propose: Returns the correction of owned values, None after a fault on any rank.
        product: The operator times owned values.
        total: Sums an array over the ranks.
        size: Number of owned values.
        random: Of this rank.

    Returns:
        The verdict; None after a fault.
    """
    x, y = random.standard_normal((2, size))
    answers = []
    for vector in (x, y, x + 2.0 * y):
        answer = propose(vector)
        if answer is None:
            return None
        answers.append(answer.copy())  # many surrogates answer with a buffer that they use again
    of_x, of_y, of_both = answers
    again = propose(product(of_x))
    if again is None:
        return None
    bent = of_both - of_x - 2.0 * of_y
    pairs = ((bent, bent), (of_x, of_x), (of_y, of_y), (x, x), (y, y), (y, of_x), (x, of_y), (x, of_x), (y, of_y))
    sums = total(np.array([float(a @ b) for a, b in pairs] + [float(np.sum((again - of_x) ** 2))]))
    b, sx, sy, nx, ny = (math.sqrt(value) for value in sums[:5])
    ysx, xsy, xsx, ysy = (float(value) for value in sums[5:9])
    return Probe(
        _over(b, sx + 2.0 * sy),
        _over(abs(ysx - xsy), ny * sx + nx * sy),
        min(_over(xsx, nx * sx), _over(ysy, ny * sy)),
        _over(math.sqrt(sums[9]), sx),
    )


def _over(part: float, whole: float) -> float:
    return part / whole if whole > 0.0 else 0.0
