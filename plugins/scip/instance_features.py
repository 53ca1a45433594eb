"""Measures an instance in a few milliseconds, to tell whether a guide was trained on its like.

Sizes, kinds of variables and rows, lengths of rows, and how the objective is spread. They are read before presolving,
through SCIP's own functions but without native code, so that an instance that no guide knows costs next to nothing.
"""

from __future__ import annotations

import ctypes
import math
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from typing import Final

import numpy as np
from cosolve.core.arrays import Array
from cosolve.plugins.scip.library import UnboundError, address_of, handle
from pyscipopt import Model

SIZES: Final = ("log_variables", "log_rows")
LENGTHS: Final = ("log_row_length", "log_column_length", "row_length_spread")
SHARES: Final = (
    "binary",
    "integer",
    "continuous",
    "cover_rows",
    "pack_rows",
    "partition_rows",
    "two_variable_rows",
    "knapsack_rows",
    "mixed_sign_rows",
    "other_rows",
    "equality_rows",
    "unit_coefficients",
    "priced",
    "falling_costs",
)
SPREADS: Final = ("cost_spread",)
NAMES: Final = (*SIZES, *LENGTHS, *SHARES, *SPREADS)
"""What is measured; all shares lie in [0, 1], logarithms are decimal."""

SIZE_BELOW, SIZE_ABOVE = 0.5, 1.0
"""A guide may be used on instances up to three times smaller and ten times larger than those of its training."""

LENGTH_SLACK, SHARE_SLACK, SPREAD_SLACK = 0.35, 0.1, 0.25

MAX_ENTRIES: Final = 20_000_000
"""Matrix entries above which an instance is not measured: the guide declines it."""


def measure(model: Model) -> dict[str, float]:
    """Return the measured features by name (not collective).

    Args:
        model: In stage PROBLEM.
    """
    variables = model.getVars()
    n = max(len(variables), 1)
    costs = np.array([variable.getObj() for variable in variables]) if variables else np.zeros(1)
    if model.getObjectiveSense() == "maximize":
        costs = -costs
    kinds = Counter(variable.vtype() for variable in variables)
    binary = kinds["BINARY"] + sum(
        variable.vtype() == "INTEGER" and variable.getLbOriginal() == 0.0 and variable.getUbOriginal() == 1.0
        for variable in variables
        if kinds["INTEGER"]
    )
    integer = kinds["BINARY"] + kinds["INTEGER"] - binary
    rows, lengths, units, entries = _rows(model)
    equalities = rows.pop("equality", 0)
    m = max(sum(rows.values()), 1)
    length = np.array(lengths, float) if lengths else np.ones(1)
    priced = np.abs(costs[costs != 0.0]) if (costs != 0.0).any() else np.ones(1)
    features = {
        "log_variables": math.log10(n),
        "log_rows": math.log10(m),
        "log_row_length": math.log10(max(float(length.mean()), 1.0)),
        "log_column_length": math.log10(max(entries / n, 0.1)),
        "row_length_spread": float(length.std() / max(length.mean(), 1e-12)),
        "binary": binary / n,
        "integer": integer / n,
        "continuous": (n - binary - integer) / n,
        "unit_coefficients": units / max(entries, 1),
        "priced": float(np.mean(costs != 0.0)),
        "falling_costs": float(np.mean(costs < 0.0)),
        "cost_spread": float(priced.std() / max(priced.mean(), 1e-12)),
        "equality_rows": equalities / m,
    }
    for name in ("cover", "pack", "partition", "two_variable", "knapsack", "mixed_sign", "other"):
        features[f"{name}_rows"] = rows[name] / m
    return {name: features[name] for name in NAMES}


def _rows(model: Model) -> tuple[Counter[str], list[int], int, int]:
    """Count kinds of rows; return them with the rows' lengths, the unit coefficients and all entries."""
    scip = address_of(model)
    library = handle()
    try:
        count, values = library.SCIPgetNVarsLinear, library.SCIPgetValsLinear
        left, right = library.SCIPgetLhsLinear, library.SCIPgetRhsLinear
    except AttributeError as error:
        raise UnboundError(f"this SCIP lacks a function for linear constraints ({error})") from error
    for function in (count, values, left, right):
        function.argtypes = [ctypes.c_void_p, ctypes.c_void_p]
    count.restype, values.restype = ctypes.c_int, ctypes.c_void_p
    left.restype = right.restype = ctypes.c_double
    infinity = model.infinity()
    kinds: Counter[str] = Counter()
    lengths: list[int] = []
    units = entries = 0
    for constraint in model.getConss(transformed=False):
        if constraint.getConshdlrName() != "linear":
            kinds["other"] += 1
            continue
        address = int(constraint.ptr())
        n = count(scip, address)
        row = np.frombuffer((ctypes.c_double * n).from_address(values(scip, address))) if n else np.zeros(0)
        lower, upper = left(scip, address), right(scip, address)
        entries += len(row)
        lengths.append(len(row))
        units += int(np.count_nonzero(np.abs(row) == 1.0))
        kinds[_kind(row, lower, upper, infinity)] += 1
        kinds["equality"] += lower == upper
        if entries > MAX_ENTRIES:
            break
    return kinds, lengths, units, entries


def _kind(row: Array, lower: float, upper: float, infinity: float) -> str:
    if len(row) == 2:
        return "two_variable"
    if len(row) == 0:
        return "other"
    least, most = float(row.min()), float(row.max())
    if least == most and least != 0.0:
        low, high = (lower / least, upper / least) if least > 0.0 else (upper / least, lower / least)
        if low == 1.0 and high == 1.0:
            return "partition"
        if low == 1.0 and high >= infinity / abs(least):
            return "cover"
        if high == 1.0 and low <= 0.0:
            return "pack"
        return "knapsack"
    return "knapsack" if least > 0.0 or most < 0.0 else "mixed_sign"


def envelope_of(measured: Sequence[Mapping[str, float]]) -> dict[str, tuple[float, float]]:
    """Return the range of each feature in which a guide that was trained on these instances may be used."""
    ranges = {}
    for name in NAMES:
        values = [features[name] for features in measured]
        low, high = min(values), max(values)
        if name in SIZES:
            low, high = low - SIZE_BELOW, high + SIZE_ABOVE
        elif name in LENGTHS:
            low, high = low - LENGTH_SLACK, high + LENGTH_SLACK
        elif name in SPREADS:
            low, high = (1.0 - SPREAD_SLACK) * low, (1.0 + SPREAD_SLACK) * high
        else:
            low, high = max(low - SHARE_SLACK, 0.0), min(high + SHARE_SLACK, 1.0)
        ranges[name] = (low, high)
    return ranges


def as_points(measured: Iterable[Mapping[str, float]]) -> Array:
    """Return the features as rows, shape (instances, features)."""
    return np.array([[features[name] for name in NAMES] for features in measured]).reshape(-1, len(NAMES))
