"""Classical starts of a step: the polynomial through the last accepted states."""

from __future__ import annotations

from typing import Literal, TypeAlias

from cosolve.core.arrays import Array
from cosolve.core.query import Query

Predictor: TypeAlias = Literal["previous", "linear", "quadratic"]
PREDICTORS: dict[str, int] = {"previous": 0, "linear": 1, "quadratic": 2}


def predicted(query: Query, order: int) -> Array:
    """Return the value at the query's end of the polynomial through its state and history (not collective).

    Args:
        query: The question; steps may have different lengths.
        order: Degree; lowered where the history is shorter.

    Returns:
        Owned values; the state itself for degree 0.

    >>> import numpy as np
    >>> from cosolve.core.query import Snapshot
    >>> float(predicted(Query(np.array([4.0]), 2.0, 1.0, history=(Snapshot(1.0, np.array([1.0])),)), 1)[0])
    7.0
    """
    points = [(query.t, query.state), *((snapshot.t, snapshot.state) for snapshot in query.history[:order])]
    points = points[: order + 1]
    if len(points) == 1:
        return query.state
    value: Array | None = None
    for i, (t_i, state) in enumerate(points):
        weight = 1.0
        for j, (t_j, _) in enumerate(points):
            if j != i:
                weight *= (query.t_end - t_j) / (t_i - t_j)
        value = weight * state if value is None else value + weight * state
    assert value is not None
    return value
