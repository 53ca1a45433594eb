"""Polynomial extrapolation of accepted states: what a basis surrogate adds its correction to."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
from cosolve.core.query import Query

BASES = ("mean", "projected", "previous", "linear", "quadratic")
"""Names of what is added to: the mean, the state's projection onto the basis, or an extrapolation of states."""


def order_of(base: str) -> int:
    """Return the order of the extrapolation; 0 where the base needs no states of the past."""
    return {"linear": 1, "quadratic": 2}.get(base, 0)


def lagrange(times: Sequence[float], t: float) -> list[float]:
    """Return the weights with which values at `times` give the interpolating polynomial at `t`.

    >>> lagrange([1.0, 0.0], 2.0)
    [2.0, -1.0]
    """
    return [
        math.prod((t - other) / (time - other) for j, other in enumerate(times) if j != i)
        for i, time in enumerate(times)
    ]


def weights(query: Query, order: int) -> list[float]:
    """Return the weights of the current state and of those before it, of lower order where history is short."""
    times = [query.t, *(snapshot.t for snapshot in query.history)]
    return lagrange(times[: order + 1], query.t_end)


def extrapolated(query: Query, order: int) -> npt.NDArray[np.float64]:
    """Return the extrapolation of `order` to the end of the step, of lower order where history is short."""
    states = [query.state, *(snapshot.state for snapshot in query.history)]
    value = np.zeros(len(query.state))
    for state, weight in zip(states, weights(query, order), strict=False):
        value += weight * state
    return value
