"""The governor within a run: does the guide branch at least as well as SCIP's own rule would, on this very instance?

A sample of the nodes goes to SCIP's rule, drawn by their numbers, so that a run can be repeated. What counts is what
SCIP's own bounds say of a branching afterwards: the share of the gap to the cut-off bound that its children leave
open, summed over those that had to be branched on again. A child that is cut off leaves nothing. The smaller that sum,
the faster the tree shrinks. No clock is read.

The audit begins when a tree has become large enough to be worth it, and ends at a verdict or when its budget of
nodes is used: a good guide pays some dozen nodes, and a bad one loses those of the same number.
"""

from __future__ import annotations

import math

import numpy as np
from cosolve.core.arrays import Array
from cosolve.plugins.scip.compiled import compiled

SLOTS = 8192
MIN_AUDITED = 24
NO_VERDICT, GUIDE_HOLDS, RULE_BETTER = 0, 1, 2


@compiled
def drawn(number: int, every: int) -> bool:
    """Return whether the node of this number goes to SCIP's own rule."""
    mixed = (number * 2654435761) & 0xFFFFFFFF
    return (mixed >> 12) % every == 0


@compiled
def remember(number: int, by_rule: bool, bound: float, gap: float, numbers: Array, reals: Array) -> None:
    """Note who branches at a node.

    Args:
        number: SCIP's number of the node.
        by_rule: Whether SCIP's own rule does.
        bound: The node's bound.
        gap: Its distance from the cut-off bound.
        numbers: Numbers of the remembered nodes, negative for SCIP's rule; shape (SLOTS,).
        reals: Bound, gap and remaining gap of each; shape (SLOTS, 3).
    """
    slot = number & (SLOTS - 1)
    numbers[slot] = -number if by_rule else number
    reals[slot, 0], reals[slot, 1], reals[slot, 2] = bound, gap, 0.0


@compiled
def credit(parent: int, bound: float, numbers: Array, reals: Array) -> None:
    """Tell the parent's account that a child has to be branched on again.

    Args:
        parent: Number of the parent.
        bound: The child's bound.
        numbers: As in `remember`.
        reals: As in `remember`.
    """
    slot = parent & (SLOTS - 1)
    if abs(numbers[slot]) != parent or parent == 0:
        return
    gained = (bound - reals[slot, 0]) / max(reals[slot, 1], 1e-12)
    reals[slot, 2] += 1.0 - min(max(gained, 0.0), 1.0)


@compiled
def judge(numbers: Array, reals: Array, final: bool) -> int:
    """Compare the two accounts.

    Args:
        numbers: As in `remember`.
        reals: As in `remember`.
        final: Whether the budget is used, so that doubt counts for the guide.

    Returns:
        `RULE_BETTER` where SCIP's rule leaves less of the gap, by more than the standard error of the difference;
        `GUIDE_HOLDS` where the guide leaves no more; `NO_VERDICT` in between, while there is budget.
    """
    count = np.zeros(2)
    total = np.zeros(2)
    squares = np.zeros(2)
    for slot in range(SLOTS):
        if numbers[slot] == 0:
            continue
        arm = 1 if numbers[slot] < 0 else 0
        count[arm] += 1.0
        total[arm] += reals[slot, 2]
        squares[arm] += reals[slot, 2] ** 2
    if count[0] < MIN_AUDITED or count[1] < MIN_AUDITED:
        return GUIDE_HOLDS if final else NO_VERDICT
    mean = total / count
    variance = np.maximum(squares / count - mean * mean, 0.0) / count
    error = math.sqrt(variance[0] + variance[1])
    if mean[0] > mean[1] + max(error, 0.01):
        return RULE_BETTER if final or mean[0] > mean[1] + max(2.0 * error, 0.02) else NO_VERDICT
    if mean[0] <= mean[1]:
        return GUIDE_HOLDS
    return GUIDE_HOLDS if final else NO_VERDICT
