"""Polynomial extrapolation in time over the accepted states, with variable steps."""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar

import numpy as np
from cosolve.core.arrays import Array
from cosolve.core.prediction import Prediction
from cosolve.core.query import Query, Snapshot
from cosolve.core.surrogate import Surrogate


def lagrange_weights(nodes: Sequence[float], t: float) -> list[float]:
    """Return the weights of the interpolating polynomial through `nodes`, evaluated at `t`.

    >>> lagrange_weights([1.0, 0.0], 2.0)
    [2.0, -1.0]
    """
    weights = []
    for i, node in enumerate(nodes):
        weight = 1.0
        for j, other in enumerate(nodes):
            if j != i:
                weight *= (t - other) / (node - other)
        weights.append(weight)
    return weights


def extrapolate(query: Query, degree: int) -> Array:
    """Return the polynomial of `degree` through the last accepted states at the end of `query`.

    Falls to the degree that the history allows: with no history to the last state itself. States with the time of a
    newer one are passed over, since they have no place in a polynomial in time.

    Args:
        query: The question; `query.history` is newest first.
        degree: Degree of the polynomial.

    Returns:
        Shape `(n_owned,)`, the dtype of the state, its own memory.
    """
    points = [Snapshot(query.t, query.state)]
    for snapshot in query.history:
        if len(points) > degree:
            break
        if snapshot.t < points[-1].t:
            points.append(snapshot)
    weights = lagrange_weights([point.t for point in points], query.t_end)
    value = np.multiply(points[0].state, weights[0], dtype=query.state.dtype)
    for point, weight in zip(points[1:], weights[1:], strict=True):
        value += weight * point.state
    return value


class Previous(Surrogate):
    """Proposes the last accepted state."""

    name: ClassVar[str] = "previous"
    is_baseline: ClassVar[bool] = True
    degree: ClassVar[int] = 0

    def _predict(self, query: Query) -> Prediction:
        return Prediction(extrapolate(query, self.degree), notes={"states": min(self.degree, len(query.history)) + 1})

    def jvp(self, query: Query, tangent: Array) -> Array:
        """Return the weight of the last state times `tangent`: the history is kept fixed."""
        return self._weight(query) * tangent

    def vjp(self, query: Query, cotangent: Array) -> Array:
        """Return the weight of the last state times `cotangent`: the derivative is a multiple of the identity."""
        return self._weight(query) * cotangent

    def _weight(self, query: Query) -> float:
        nodes = [query.t]
        for snapshot in query.history:
            if len(nodes) <= self.degree and snapshot.t < nodes[-1]:
                nodes.append(snapshot.t)
        return lagrange_weights(nodes, query.t_end)[0]


class LinearExtrapolation(Previous):
    """Proposes the line through the last two accepted states."""

    name: ClassVar[str] = "linear_extrapolation"
    degree: ClassVar[int] = 1


class QuadraticExtrapolation(Previous):
    """Proposes the parabola through the last three accepted states."""

    name: ClassVar[str] = "quadratic_extrapolation"
    degree: ClassVar[int] = 2


class Zero(Surrogate):
    """Proposes zeros; the session makes them meet the boundary conditions."""

    name: ClassVar[str] = "zero"
    is_baseline: ClassVar[bool] = True
    predict_keeps_memory: ClassVar[bool] = True

    def _predict(self, query: Query) -> Prediction:
        return Prediction(np.zeros_like(query.state))

    def jvp(self, query: Query, tangent: Array) -> Array:
        """Return zero: the proposal does not depend on the state."""
        return np.zeros_like(tangent)

    def vjp(self, query: Query, cotangent: Array) -> Array:
        """Return zero: the proposal does not depend on the state."""
        return np.zeros_like(cotangent)
