"""The network in native code: the same numbers as `Network.scores`, at some microseconds for a node."""

from __future__ import annotations

import numpy as np
from cosolve.core.arrays import Array
from cosolve.plugins.scip.compiled import compiled

_CLIP = 6.0  # `network.CLIP`; native code cannot read a Final of another module that may change


@compiled
def score_all(inputs: Array, n: int, weights: Array, units: int, scores: Array) -> bool:
    """Score the candidates of a node; False where a number is not finite.

    Four candidates and two inputs at a time: most of the time goes into loading and storing the sums.

    Args:
        inputs: Shape (n, m); m is even.
        n: Number of candidates.
        weights: `Network.flat()`.
        units: Hidden units.
        scores: Filled; shape (n,).
    """
    m = inputs.shape[1]
    whole = (n + 3) // 4 * 4
    x = np.zeros((whole, m), np.float32)
    if not normalise(inputs, n, weights, x):
        return False
    hidden = 2 * m
    bias = hidden + units * m
    out = bias + units
    sums = np.empty(4 * units, np.float32)  # flat, so that the loops over it are vectorised
    zero = np.float32(0.0)
    for k in range(0, n, 4):
        for u in range(units):
            start = weights[bias + u]
            sums[u] = start
            sums[units + u] = start
            sums[2 * units + u] = start
            sums[3 * units + u] = start
        for j in range(0, m // 2 * 2, 2):
            a0, b0, c0, d0 = x[k, j], x[k + 1, j], x[k + 2, j], x[k + 3, j]
            a1, b1, c1, d1 = x[k, j + 1], x[k + 1, j + 1], x[k + 2, j + 1], x[k + 3, j + 1]
            first = hidden + j * units
            second = first + units
            for u in range(units):
                v, w = weights[first + u], weights[second + u]
                sums[u] += v * a0 + w * a1
                sums[units + u] += v * b0 + w * b1
                sums[2 * units + u] += v * c0 + w * c1
                sums[3 * units + u] += v * d0 + w * d1
        t0, t1, t2, t3 = zero, zero, zero, zero  # four sums that do not wait for one another
        for u in range(units):
            o = weights[out + u]
            t0 += o * max(sums[u], zero)
            t1 += o * max(sums[units + u], zero)
            t2 += o * max(sums[2 * units + u], zero)
            t3 += o * max(sums[3 * units + u], zero)
        if not abs(t0) + abs(t1) + abs(t2) + abs(t3) < 1e30:
            return False
        scores[k] = t0
        if k + 1 < n:
            scores[k + 1] = t1
        if k + 2 < n:
            scores[k + 2] = t2
        if k + 3 < n:
            scores[k + 3] = t3
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
