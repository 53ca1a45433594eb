"""The part of the features that PySCIPOpt alone can compute at a bearable price, in numpy: no native code at all."""

from __future__ import annotations

import numpy as np
from cosolve.core.arrays import Array
from cosolve.plugins.scip.feature_names import NORMALISED, PLAIN_INPUTS, RAW
from pyscipopt import Model


def plain_features(model: Model) -> tuple[list[object], Array]:
    """Return the candidates of top priority and their inputs, shape (n, 20), in the order of `PLAIN_INPUTS`.

    Args:
        model: In a branching callback at a node with a fractional solution.
    """
    variables, values, fractions, _, n, _ = model.getLPBranchCands()
    if n == 0:
        return [], np.zeros((0, len(PLAIN_INPUTS)))
    variables = variables[:n]
    bound, cutoff = model.getLPObjVal(), model.getCutoffbound()
    known = cutoff < model.infinity()
    gap = max(cutoff - bound, 1e-9) if known else max(0.05 * abs(bound), 1e-6)
    best = model.getBestSol() if model.getNSols() else None
    x, f = np.array(values[:n]), np.array(fractions[:n])
    objective = np.array([variable.getObj() for variable in variables])
    down = np.array([model.getVarPseudocost(variable, 0) for variable in variables]) * f / gap
    up = np.array([model.getVarPseudocost(variable, 1) for variable in variables]) * (1.0 - f) / gap
    raw = np.zeros((n, len(RAW)))
    raw[:, 0], raw[:, 1] = f, np.minimum(f, 1.0 - f)
    raw[:, 2] = objective / max(np.abs(objective).max(), 1e-12)
    raw[:, 21], raw[:, 22] = np.log1p(np.maximum(down, 0.0)), np.log1p(np.maximum(up, 0.0))
    raw[:, 23] = np.log(np.maximum(down, 1e-6) * np.maximum(up, 1e-6))
    raw[:, 28] = np.array([variable.getAvgSol() for variable in variables]) - x
    raw[:, 29] = objective * f / gap
    if best is None:
        raw[:, 32] = 0.5
    else:
        incumbent = np.array([model.getSolVal(best, variable) for variable in variables])
        raw[:, 32] = np.minimum(np.abs(incumbent - x), 1e6)
    depth = model.getDepth()
    raw[:, 33] = depth / (depth + 10.0)
    raw[:, 34] = min(10.0 * gap / max(abs(cutoff), 1e-9), 1.0) if known else 1.0
    raw[:, 35] = 10.0 * n / max(model.getNLPCols(), 1)
    return variables, with_relative(raw)[:, list(PLAIN_INPUTS)]


def with_relative(raw: Array) -> Array:
    """Return raw features with the first 30 also scaled to [0, 1] over the candidates, shape (n, 66)."""
    low = raw[:, :NORMALISED].min(axis=0)
    width = raw[:, :NORMALISED].max(axis=0) - low
    relative = np.where(width > 1e-12, (raw[:, :NORMALISED] - low) / np.where(width > 1e-12, width, 1.0), 0.0)
    return np.concatenate([raw, relative], axis=1)
