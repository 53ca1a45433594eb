"""Full strong branching of all candidates of a node: the labels that guides learn to imitate, and a judge of choices.

Each candidate's two children get their linear program solved, and the two gains of the bound make one score, see
Achterberg et al. 2005, doi:10.1016/j.orl.2004.04.002.
"""

from __future__ import annotations

import numpy as np
from cosolve.core.arrays import Array
from cosolve.plugins.scip import symbols as scip_h
from cosolve.plugins.scip.compiled import compiled
from cosolve.plugins.scip.memory import load_pointer
from numba import types

_NO_LIMIT = 2**31 - 1
_CLOCK = types.ExternalFunction("clock", types.int64())

startStrongbranch, endStrongbranch = scip_h.SCIPstartStrongbranch, scip_h.SCIPendStrongbranch
getVarStrongbranchFrac, getBranchScore = scip_h.SCIPgetVarStrongbranchFrac, scip_h.SCIPgetBranchScore
getLPObjval = scip_h.SCIPgetLPObjval


@compiled
def strong_branching(
    scip: int, variables: int, n: int, gap: float, scores: Array, gains: Array, microseconds: int
) -> bool:
    """Score all candidates of the current node by strong branching; False when it failed or took too long.

    Args:
        scip: Address of the SCIP structure.
        variables: Address of the candidates' variables.
        n: Number of candidates.
        gap: What the gain of a child that can be cut off counts as.
        scores: Filled; shape (n,).
        gains: Filled with the gains of the down and up child; shape (n, 2).
        microseconds: CPU time that it may take.
    """
    bound = getLPObjval(scip)
    reals = np.zeros(2)
    flags = np.zeros(7, np.uint32)
    r, f = reals.ctypes.data, flags.ctypes.data
    if startStrongbranch(scip, 0) != 1:
        return False
    good = True
    latest = _CLOCK() + microseconds
    for k in range(n):
        variable = load_pointer(variables, k)
        code = getVarStrongbranchFrac(
            scip, variable, _NO_LIMIT, 1, r, r + 8, f, f + 4, f + 8, f + 12, f + 16, f + 20, f + 24
        )
        if code != 1 or flags[6] != 0 or _CLOCK() > latest:
            good = False
            break
        for side in range(2):
            gain = max(reals[side] - bound, 0.0)
            gains[k, side] = max(gain, gap) if flags[2 + side] != 0 else gain
        scores[k] = getBranchScore(scip, variable, gains[k, 0], gains[k, 1])
    return endStrongbranch(scip) == 1 and good


@compiled
def judge_short_list(scip: int, variables: int, scores: Array, count: int, iterations: int, gap: float) -> int:
    """Return the candidate of the `count` best scores that strong branching finds best.

    Args:
        scip: Address of the SCIP structure.
        variables: Address of the candidates' variables.
        scores: The guide's scores, shape (n,).
        count: Length of the short list.
        iterations: Iterations of the linear program that each side may take.
        gap: What the gain of a child that can be cut off counts as.
    """
    order = np.argsort(-scores)
    best: int = order[0]
    bound = getLPObjval(scip)
    reals = np.zeros(2)
    flags = np.zeros(7, np.uint32)
    r, f = reals.ctypes.data, flags.ctypes.data
    if startStrongbranch(scip, 0) != 1:
        return best
    highest = -1.0
    for k in range(min(count, len(order))):
        variable = load_pointer(variables, order[k])
        code = getVarStrongbranchFrac(
            scip, variable, iterations, 0, r, r + 8, f, f + 4, f + 8, f + 12, f + 16, f + 20, f + 24
        )
        if code != 1 or flags[6] != 0:
            break
        down = gap if flags[2] != 0 else min(max(reals[0] - bound, 0.0), gap)
        up = gap if flags[3] != 0 else min(max(reals[1] - bound, 0.0), gap)
        score = getBranchScore(scip, variable, down, up)
        if score > highest:
            highest, best = score, order[k]
    endStrongbranch(scip)
    return best
