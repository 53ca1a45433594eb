"""The network in native code: the same numbers as `Network.scores`, at some microseconds for a node."""

from __future__ import annotations

import numpy as np
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
    hidden = 2 * m
    bias = weights[hidden + units * m : hidden + units * m + units]
    out = weights[hidden + units * m + units :]
    sums = np.empty(units, np.float32)
    for k in range(n):
        for u in range(units):
            sums[u] = bias[u]
        for j in range(m):
            value = (inputs[k, j] - weights[j]) * weights[m + j]
            if not abs(value) < 1e30:  # a NaN fails every comparison
                return False
            x = np.float32(min(max(value, -_CLIP), _CLIP))
            row = weights[hidden + j * units : hidden + (j + 1) * units]
            for u in range(units):
                sums[u] += row[u] * x
        total = np.float32(0.0)
        for u in range(units):
            total += out[u] * max(sums[u], np.float32(0.0))
        if not abs(total) < 1e30:
            return False
        scores[k] = total
    return True
