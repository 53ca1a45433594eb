"""The network in native code: the same numbers as `Network.scores`, at some microseconds for a node."""

from __future__ import annotations

from cosolve.core.arrays import Array
from cosolve.plugins.scip.compiled import compiled

_CLIP = 6.0  # `network.CLIP`; native code cannot read a Final of another module that may change


@compiled
def score_all(inputs: Array, n: int, weights: Array, units: int, scores: Array) -> bool:
    """Score the candidates of a node; False where a number is not finite.

    Args:
        inputs: Shape (n, m).
        n: Number of candidates.
        weights: `Network.flat()`.
        units: Hidden units.
        scores: Filled; shape (n,).
    """
    m = inputs.shape[1]
    first = 2 * m
    bias = first + units * m
    out = bias + units
    x = weights[:m].copy()
    for k in range(n):
        for j in range(m):
            value = (inputs[k, j] - weights[j]) * weights[m + j]
            if not abs(value) < 1e30:  # a NaN fails every comparison
                return False
            x[j] = min(max(value, -_CLIP), _CLIP)
        total = 0.0
        for u in range(units):
            row = weights[first + u * m : first + (u + 1) * m]
            unit = weights[bias + u]
            for j in range(m):
                unit += row[j] * x[j]
            if unit > 0.0:
                total += weights[out + u] * unit
        if not abs(total) < 1e30:
            return False
        scores[k] = total
    return True
