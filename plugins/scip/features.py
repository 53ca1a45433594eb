"""Features of the branching candidates of a node, read from SCIP's own structures in native code.

What is measured of a candidate (a column of the node's linear program) follows the tradition of learned branching:
its objective and fraction, its rows and their duals, and what SCIP has learnt of it (pseudo-costs, inferences,
conflicts, averages). See Khalil et al. 2016, doi:10.1609/aaai.v30i1.10080, and Gasse et al. 2019, arXiv:1906.01629.
"""

from __future__ import annotations

import math

import numpy as np
from cosolve.core.arrays import Array
from cosolve.plugins.scip import symbols as scip_h
from cosolve.plugins.scip.compiled import compiled
from cosolve.plugins.scip.memory import load_pointer, load_real

RAW_COUNT = 36
RELATIVE_COUNT = 30
INPUT_COUNT = RAW_COUNT + RELATIVE_COUNT
_TIGHT = 1e-6
# Columns of the table of rows.
_LENGTH, _DUAL, _TIGHT_ROW, _TIGHT_BY_LENGTH, _TIGHT_BY_NORM, _CANDIDATES, _BY_CANDIDATES = range(7)
_ROW_COUNT = 8

getLPBranchCands = scip_h.SCIPgetLPBranchCands
varGetCol, varGetObj = scip_h.SCIPvarGetCol, scip_h.SCIPvarGetObj
varGetRootSol, varGetAvgSol = scip_h.SCIPvarGetRootSol, scip_h.SCIPvarGetAvgSol
colGetNNonz, colGetNLPNonz = scip_h.SCIPcolGetNNonz, scip_h.SCIPcolGetNLPNonz
colGetRows, colGetVals = scip_h.SCIPcolGetRows, scip_h.SCIPcolGetVals
getNLPCols, getNLPRows = scip_h.SCIPgetNLPCols, scip_h.SCIPgetNLPRows
rowGetLPPos, rowGetNLPNonz = scip_h.SCIProwGetLPPos, scip_h.SCIProwGetNLPNonz
rowGetDualsol, rowGetNorm = scip_h.SCIProwGetDualsol, scip_h.SCIProwGetNorm
rowGetLhs, rowGetRhs = scip_h.SCIProwGetLhs, scip_h.SCIProwGetRhs
getRowLPActivity = scip_h.SCIPgetRowLPActivity
getPseudocostVal = scip_h.SCIPgetVarPseudocostVal
getPseudocostCount = scip_h.SCIPgetVarPseudocostCountCurrentRun
getAvgInferences, getConflictScore = scip_h.SCIPgetVarAvgInferences, scip_h.SCIPgetVarConflictScore
getBestSol, getSolVal = scip_h.SCIPgetBestSol, scip_h.SCIPgetSolVal
getCutoffbound, getLPObjval = scip_h.SCIPgetCutoffbound, scip_h.SCIPgetLPObjval
infinity, getDepth = scip_h.SCIPinfinity, scip_h.SCIPgetDepth


@compiled
def _log1p(value: float) -> float:
    """Return log(1 + value), 0 for what is not positive: much of what SCIP counts is 0, and a logarithm costs."""
    return math.log1p(value) if value > 0.0 else 0.0


@compiled
def gap_of(scip: int) -> float:
    """Return the distance of the node's bound from the cut-off bound; 5 % of the bound where there is no solution."""
    bound: float = getLPObjval(scip)
    cutoff: float = getCutoffbound(scip)
    if cutoff >= infinity(scip):
        return max(0.05 * abs(bound), 1e-6)
    return max(cutoff - bound, 1e-9)


@compiled
def candidates(scip: int) -> tuple[int, int, int, int]:
    """Return the addresses of variables, values and fractions of the candidates, and how many have top priority.

    SCIP puts the candidates of the highest branching priority first; those alone may be chosen.
    """
    found = np.zeros(3, np.int64)
    counts = np.zeros(3, np.int32)
    at, n = found.ctypes.data, counts.ctypes.data
    code = getLPBranchCands(scip, at, at + 8, at + 16, n, n + 4, n + 8)
    if code != 1:
        return 0, 0, 0, 0
    return found[0], found[1], found[2], counts[1]


@compiled
def work_of(variables: int, n: int) -> int:
    """Return the number of matrix entries that the features of a node must read."""
    entries = 0
    for k in range(n):
        entries += colGetNNonz(varGetCol(load_pointer(variables, k)))
    return entries


@compiled
def features(scip: int, variables: int, values: int, fractions: int, n: int, out: Array) -> None:
    """Compute the inputs of all candidates of the current node.

    Args:
        scip: Address of the SCIP structure.
        variables: Address of the candidates' variables.
        values: Address of their values in the node's linear program.
        fractions: Address of their fractions.
        n: Number of candidates.
        out: Filled; shape (n, 66).
    """
    n_rows, n_columns = getNLPRows(scip), max(getNLPCols(scip), 1)
    gap = gap_of(scip)
    touched = np.zeros(n_rows, np.int32)
    table = np.empty((n_rows, _ROW_COUNT))  # what each entry of a row needs to know of it, side by side
    seen_rows, seen_count = np.empty(n_rows, np.int32), 0
    places = np.empty(work_of(variables, n), np.int32)  # of each entry's row: asked once, needed twice
    largest_objective, largest_dual, entry = 1e-12, 1e-12, 0
    for k in range(n):
        variable = load_pointer(variables, k)
        largest_objective = max(largest_objective, abs(varGetObj(variable)))
        column = varGetCol(variable)
        rows = colGetRows(column)
        for e in range(colGetNNonz(column)):
            row = load_pointer(rows, e)
            place = rowGetLPPos(row)
            if place >= n_rows:
                place = -1
            places[entry] = place
            entry += 1
            if place < 0:
                continue
            touched[place] += 1
            if touched[place] == 1:
                seen_rows[seen_count] = place
                seen_count += 1
                dual = abs(rowGetDualsol(row))
                largest_dual = max(largest_dual, dual)
                activity = getRowLPActivity(scip, row)
                near = min(abs(activity - rowGetLhs(row)), abs(activity - rowGetRhs(row)))
                tight = 1.0 if near <= _TIGHT else 0.0
                about = table[place]
                about[_LENGTH], about[_DUAL], about[_TIGHT_ROW] = max(rowGetNLPNonz(row), 1), dual, tight
                about[_TIGHT_BY_LENGTH] = tight / about[_LENGTH]
                about[_TIGHT_BY_NORM] = tight / max(rowGetNorm(row), 1e-12)
    for k in range(seen_count):
        about = table[seen_rows[k]]
        about[_CANDIDATES] = touched[seen_rows[k]]
        about[_BY_CANDIDATES] = 1.0 / about[_CANDIDATES]
    best = getBestSol(scip)
    depth = getDepth(scip)
    cutoff = getCutoffbound(scip)
    ratio = 1.0 if cutoff >= infinity(scip) else min(10.0 * gap / max(abs(cutoff), 1e-9), 1.0)
    entry = 0
    for k in range(n):
        variable = load_pointer(variables, k)
        value, fraction = load_real(values, k), load_real(fractions, k)
        column = varGetCol(variable)
        coefficients = colGetVals(column)
        degree = max(colGetNLPNonz(column), 1)
        objective = varGetObj(variable)
        sum_z, sum_z2, min_z, max_z = 0.0, 0.0, 1e300, 0.0
        sum_q, sum_q2, min_q, max_q = 0.0, 0.0, 1e300, 0.0
        sum_y, max_y, share_y, share_tight = 0.0, 0.0, 0.0, 0.0
        tight_z, tight_q, y_q, tight_norm, seen = 0.0, 0.0, 0.0, 0.0, 0
        for e in range(colGetNNonz(column)):
            place = places[entry]
            entry += 1
            if place < 0:
                continue
            size = abs(load_real(coefficients, e))
            about = table[place]
            z, q, y = about[_LENGTH], about[_CANDIDATES], size * about[_DUAL]
            tight, share = about[_TIGHT_ROW], about[_BY_CANDIDATES]
            seen += 1
            sum_z += z
            sum_z2 += z * z
            min_z, max_z = min(min_z, z), max(max_z, z)
            sum_q += q
            sum_q2 += q * q
            min_q, max_q = min(min_q, q), max(max_q, q)
            sum_y += y
            max_y = max(max_y, y)
            share_y += 1.0 if y > 1e-9 else 0.0
            share_tight += tight
            tight_z += about[_TIGHT_BY_LENGTH]
            tight_q += tight * share
            y_q += y * share
            tight_norm += about[_TIGHT_BY_NORM] * size
        m = max(seen, 1)
        if seen == 0:
            min_z, min_q = 0.0, 0.0
        row = out[k]
        row[0] = fraction
        row[1] = min(fraction, 1.0 - fraction)
        row[2] = objective / largest_objective
        row[3] = row[2] / degree
        row[4] = degree / max(n_rows, 1)
        row[5] = sum_z / m / n_columns
        row[6] = min_z / n_columns
        row[7] = max_z / n_columns
        row[8] = math.sqrt(max(sum_z2 / m - (sum_z / m) ** 2, 0.0)) / n_columns
        row[9] = sum_q / m / n
        row[10] = min_q / n
        row[11] = max_q / n
        row[12] = math.sqrt(max(sum_q2 / m - (sum_q / m) ** 2, 0.0)) / n
        row[13] = sum_y / largest_dual
        row[14] = max_y / largest_dual
        row[15] = share_y / m
        row[16] = share_tight / m
        row[17] = tight_z
        row[18] = tight_q
        row[19] = y_q / largest_dual
        row[20] = tight_norm
        down = getPseudocostVal(scip, variable, -fraction) / gap
        up = getPseudocostVal(scip, variable, 1.0 - fraction) / gap
        row[21] = _log1p(down)
        row[22] = _log1p(up)
        row[23] = math.log(max(down, 1e-6) * max(up, 1e-6))
        row[24] = _log1p(getAvgInferences(scip, variable, 0))
        row[25] = _log1p(getAvgInferences(scip, variable, 1))
        row[26] = _log1p(getConflictScore(scip, variable))
        row[27] = varGetRootSol(variable) - value
        row[28] = varGetAvgSol(variable) - value
        row[29] = objective * fraction / gap
        row[30] = _log1p(getPseudocostCount(scip, variable, 0))
        row[31] = _log1p(getPseudocostCount(scip, variable, 1))
        row[32] = 0.5 if best == 0 else min(abs(getSolVal(scip, best, variable) - value), 1e6)
        row[33] = depth / (depth + 10.0)
        row[34] = ratio
        row[35] = 10.0 * n / n_columns
    relate(out, n)


@compiled
def relate(out: Array, n: int) -> None:
    """Fill the relative inputs: each of the first 30 scaled to [0, 1] over the node's candidates."""
    low, high = out[0, :RELATIVE_COUNT].copy(), out[0, :RELATIVE_COUNT].copy()
    for k in range(1, n):
        for j in range(RELATIVE_COUNT):
            low[j] = min(low[j], out[k, j])
            high[j] = max(high[j], out[k, j])
    for j in range(RELATIVE_COUNT):
        width = high[j] - low[j]
        high[j] = 1.0 / width if width > 1e-12 else 0.0
    for k in range(n):
        for j in range(RELATIVE_COUNT):
            out[k, RAW_COUNT + j] = (out[k, j] - low[j]) * high[j]
