"""The network in native code: the same numbers as `Network.scores`, at some microseconds for a node."""

from __future__ import annotations

import numpy as np
from cosolve.core.arrays import Array
from cosolve.plugins.scip.compiled import compiled

_CLIP = 6.0  # `network.CLIP`; native code cannot read a Final of another module that may change
_TOGETHER = 4  # candidates whose sums advance together, so that a weight is loaded once for all of them


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
    whole = (n + _TOGETHER - 1) // _TOGETHER * _TOGETHER
    x = np.zeros((whole, m), np.float32)
    if not normalise(inputs, n, weights, x):
        return False
    hidden = 2 * m
    bias = hidden + units * m
    out = bias + units
    sums = np.empty(_TOGETHER * units, np.float32)
    for k in range(0, n, _TOGETHER):
        for u in range(units):
            for r in range(_TOGETHER):
                sums[r * units + u] = weights[bias + u]
        for j in range(m):
            x0, x1, x2, x3 = x[k, j], x[k + 1, j], x[k + 2, j], x[k + 3, j]
            first = hidden + j * units
            for u in range(units):
                weight = weights[first + u]
                sums[u] += weight * x0
                sums[units + u] += weight * x1
                sums[2 * units + u] += weight * x2
                sums[3 * units + u] += weight * x3
        for r in range(min(_TOGETHER, n - k)):
            total = np.float32(0.0)
            for u in range(units):
                total += weights[out + u] * max(sums[r * units + u], np.float32(0.0))
            if not abs(total) < 1e30:
                return False
            scores[k + r] = total
    return True


@compiled
def normalise(inputs: Array, n: int, weights: Array, x: Array) -> bool:
    """Fill `x` with the inputs as the hidden units see them; False where one is not finite.

    Args:
        inputs: Shape (n, m).
        n: Number of candidates.
        weights: `Network.flat()`, which begins with the means and the inverse deviations.
        x: Filled; shape (at least n, m).
    """
    m = inputs.shape[1]
    low, high, huge = np.float32(-_CLIP), np.float32(_CLIP), np.float32(1e30)
    finite = True
    for k in range(n):
        for j in range(m):
            value = (np.float32(inputs[k, j]) - weights[j]) * weights[m + j]
            finite &= abs(value) < huge  # a NaN fails every comparison; no branch, so that the loop is vectorised
            value = value if value < high else high
            x[k, j] = value if value > low else low
    return finite
