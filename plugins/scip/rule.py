"""The native branching rule: SCIP calls it at each node, and it never enters Python.

It reads the candidates, scores them, and branches on the best. Whatever is not as it should be (too few candidates, a
matrix too large to read in time, a number that is not finite, a call of SCIP that failed) leaves the node to SCIP's own
rule, which SCIP asks next by itself.
"""

from __future__ import annotations

import numpy as np
from cosolve.core.arrays import Array
from cosolve.plugins.scip import rule_state as at
from cosolve.plugins.scip import symbols as scip_h
from cosolve.plugins.scip.audit import NO_VERDICT, RULE_BETTER, SLOTS, credit, drawn, judge, remember
from cosolve.plugins.scip.compiled import callback, compiled
from cosolve.plugins.scip.features import INPUT_COUNT, candidates, features, gap_of, work_of
from cosolve.plugins.scip.memory import (
    load_byte,
    load_pointer,
    pointer_to_bytes,
    pointer_to_floats,
    pointer_to_longs,
    pointer_to_reals,
    store_int,
)
from cosolve.plugins.scip.scoring import score_all
from cosolve.plugins.scip.strong_branching import judge_short_list
from numba import carray, types

DIDNOTRUN, BRANCHED = 1, 13
"""SCIP's words for "ask the next rule" and "children were made"."""

_PRODUCT = 23  # the feature by which the pseudo-cost rule chooses
_CLOCK = types.ExternalFunction("clock", types.int64())

branchVar, branchruleGetData = scip_h.SCIPbranchVar, scip_h.SCIPbranchruleGetData
getFocusNode, nodeGetNumber, nodeGetParent = scip_h.SCIPgetFocusNode, scip_h.SCIPnodeGetNumber, scip_h.SCIPnodeGetParent
getLPObjval, getDepth, varGetName = scip_h.SCIPgetLPObjval, scip_h.SCIPgetDepth, scip_h.SCIPvarGetName


@compiled
def choose(scip: int, state: Array) -> int:
    """Return the address of the variable to branch on, or 0 for SCIP's own rule."""
    state[at.CALLS] += 1
    if state[at.ON] == 0:
        return 0
    variables, values, fractions, n = candidates(scip)
    if n < 2:
        state[at.TOO_FEW] += 1
        return 0
    if audited(scip, state):
        state[at.AUDITED] += 1
        return 0
    if work_of(variables, n) > state[at.WORK_LIMIT]:
        state[at.TOO_DEAR] += 1
        return 0
    inputs = np.zeros((n, INPUT_COUNT))
    features(scip, variables, values, fractions, n, inputs)
    weights = carray(pointer_to_floats(state[at.WEIGHTS]), state[at.WEIGHT_COUNT])
    scores = np.zeros(n)
    if not score_all(inputs, n, weights, state[at.UNITS], scores):
        state[at.NOT_FINITE] += 1
        return 0
    chosen, replaced = int(np.argmax(scores)), int(np.argmax(inputs[:, _PRODUCT]))
    probed = state[at.PROBES] > 1 and getDepth(scip) <= state[at.PROBE_DEPTH]
    if probed:
        state[at.PROBED] += 1
        chosen = judge_short_list(scip, variables, scores, state[at.PROBES], state[at.PROBE_ITERATIONS], gap_of(scip))
    state[at.DECIDED] += 1
    state[at.AGREED] += chosen == replaced
    if state[at.TRACED] < state[at.TRACE_LIMIT]:
        trace(scip, state, variables, inputs, scores, chosen, replaced, n, probed)
    variable: int = load_pointer(variables, chosen)
    return variable


@compiled
def audited(scip: int, state: Array) -> bool:
    """Keep the audit's accounts, and return whether this node goes to SCIP's own rule."""
    if state[at.AUDIT_EVERY] == 0:
        return False
    numbers = carray(pointer_to_longs(state[at.AUDIT_NODES]), SLOTS)
    reals = carray(pointer_to_reals(state[at.AUDIT_REALS]), (SLOTS, 3))
    node = getFocusNode(scip)
    number, parent, bound = nodeGetNumber(node), nodeGetParent(node), getLPObjval(scip)
    if parent != 0:
        credit(nodeGetNumber(parent), bound, numbers, reals)
    if state[at.CALLS] < state[at.AUDIT_FROM]:
        return False
    used = state[at.AUDITED] >= state[at.AUDIT_LIMIT]
    if state[at.CALLS] >= state[at.AUDIT_NEXT]:
        verdict = judge(numbers, reals, used)
        # Half as many calls again: the children of the last audited nodes must have had their turn.
        state[at.AUDIT_NEXT] = state[at.CALLS] + max(state[at.CALLS] // 4, 64)
        if verdict != NO_VERDICT:
            state[at.AUDIT_VERDICT] = verdict
            state[at.AUDIT_EVERY] = 0
            if verdict == RULE_BETTER:
                state[at.ON] = 0
                return True
            return False
    by_rule = not used and drawn(number, state[at.AUDIT_EVERY])
    remember(number, by_rule, bound, gap_of(scip), numbers, reals)
    return by_rule


@compiled
def trace(
    scip: int,
    state: Array,
    variables: int,
    inputs: Array,
    scores: Array,
    chosen: int,
    replaced: int,
    n: int,
    probed: bool,
) -> None:
    """Keep why this candidate was chosen, and what the pseudo-cost rule would have done."""
    k, limit = state[at.TRACED], state[at.TRACE_LIMIT]
    state[at.TRACED] = k + 1
    longs = carray(pointer_to_longs(state[at.TRACE_LONGS]), (limit, at.LONGS))
    reals = carray(pointer_to_reals(state[at.TRACE_REALS]), (limit, at.REALS))
    kept = carray(pointer_to_floats(state[at.TRACE_INPUTS]), (limit, 2, INPUT_COUNT))
    names = carray(pointer_to_bytes(state[at.TRACE_NAMES]), (limit, 2, at.NAME))
    longs[k, 0] = nodeGetNumber(getFocusNode(scip))
    longs[k, 1] = getDepth(scip)
    longs[k, 2] = n
    longs[k, 3] = chosen == replaced
    longs[k, 4] = probed
    second = -1e300
    for j in range(n):
        if j != chosen:
            second = max(second, scores[j])
    reals[k, 0], reals[k, 1], reals[k, 2] = scores[chosen], second, scores[replaced]
    reals[k, 3] = getLPObjval(scip)
    for side in range(2):
        index = chosen if side == 0 else replaced
        for j in range(INPUT_COUNT):
            kept[k, side, j] = inputs[index, j]
        name = varGetName(load_pointer(variables, index))
        for j in range(at.NAME - 1):
            letter = load_byte(name, j)
            names[k, side, j] = letter
            if letter == 0:
                break


@callback(types.int32(types.int64, types.int64, types.uint32, types.int64))
def branch(scip: int, rule: int, allow_constraints: int, result: int) -> int:
    """What SCIP calls for a node with a fractional solution of its linear program."""
    store_int(result, DIDNOTRUN)
    state = carray(pointer_to_longs(branchruleGetData(rule)), at.SIZE)
    start = _CLOCK()
    variable = choose(scip, state)
    state[at.MICROSECONDS] += _CLOCK() - start
    if variable != 0:
        if branchVar(scip, variable, 0, 0, 0) == 1:
            store_int(result, BRANCHED)
        else:
            state[at.FAILED] += 1
    return 1
