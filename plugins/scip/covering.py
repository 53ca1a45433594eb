"""Covering programs: binary programs in which every row asks for enough of some choices, whatever the others are.

Set covering is one. So is a packing program (auctions, independent sets) once its variables are complemented: what is
not chosen covers. Such a program has no dead ends, so a local search finds starts for it, see
`cosolve.plugins.scip.covering_search`.
"""

from __future__ import annotations

import ctypes
from dataclasses import dataclass
from typing import TypeAlias

import numpy as np
import numpy.typing as npt
from cosolve.core.arrays import Array
from cosolve.plugins.scip.library import UnboundError, address_of, handle
from pyscipopt import Model

Integers: TypeAlias = npt.NDArray[np.int32]
Flags: TypeAlias = npt.NDArray[np.bool_]

MAX_ENTRIES = 2_000_000
"""Matrix entries above which a start would cost too much."""


@dataclass(frozen=True, slots=True)
class Covering:
    """Minimise `costs @ z` over binary z, with at least `needed` chosen among the entries of each row.

    Attributes:
        names: Names of the variables.
        complemented: Where the program's variable is 1 - z.
        row_starts: Start of each row's entries, and the end of the last.
        columns: Column of each entry.
        needed: How many entries of each row must be chosen.
        costs: Of each column, not negative.
    """

    names: tuple[str, ...]
    complemented: Flags
    row_starts: Integers
    columns: Integers
    needed: Integers
    costs: Array

    def values(self, chosen: Flags) -> dict[str, float]:
        """Return the program's variables by name."""
        return dict(zip(self.names, (chosen ^ self.complemented).astype(float).tolist(), strict=True))


def covering_of(model: Model) -> Covering | str:
    """Read a model as a covering program; where it is none, return why (not collective).

    Args:
        model: In stage PROBLEM.

    Raises:
        UnboundError: This SCIP lacks a function for linear constraints.
    """
    variables = model.getVars()
    for variable in variables:
        if variable.vtype() == "CONTINUOUS" or variable.getLbOriginal() != 0.0 or variable.getUbOriginal() != 1.0:
            return f"the variable {variable.name!r} is not binary"
    rows = _rows(model)
    if isinstance(rows, str):
        return rows
    if not rows.names or len(rows.values) > MAX_ENTRIES:
        return f"there are {len(rows.values)} entries"
    sizes = np.diff(rows.starts)
    scale = rows.values[rows.starts[:-1]]
    if (rows.values != np.repeat(scale, sizes)).any() or (scale == 0.0).any():
        return "a row has several coefficients"
    low, high = rows.left / scale, rows.right / scale
    low, high = np.where(scale > 0.0, low, high), np.where(scale > 0.0, high, low)
    pack = np.isinf(low)
    if (np.isinf(high) == pack).any():
        name = rows.names[int(np.argmax(np.isinf(high) == pack))]
        return f"the row {name!r} has two sides or none"
    needed = np.where(pack, sizes - np.floor(high + 1e-9), np.ceil(low - 1e-9))
    if (needed > sizes).any():
        return f"the row {rows.names[int(np.argmax(needed > sizes))]!r} cannot be covered"
    addresses = np.array([int(variable.ptr()) for variable in variables], np.int64)
    order = np.argsort(addresses)
    columns = order[np.searchsorted(addresses, rows.members, sorter=order)]
    packs = np.repeat(pack, sizes)
    counts = np.stack([np.bincount(columns[packs == side], minlength=len(variables)) for side in (False, True)])
    if ((counts[0] > 0) & (counts[1] > 0)).any():
        return "some variables both cover and pack"
    sign = -1.0 if model.getObjectiveSense() == "maximize" else 1.0
    costs = sign * np.array([variable.getObj() for variable in variables])
    complemented = (counts[1] > 0) | ((counts[0] == 0) & (costs < 0.0))
    costs = np.where(complemented, -costs, costs)
    if (costs < 0.0).any():
        return "some variables are worth having for themselves"
    return Covering(
        tuple(variable.name for variable in variables),
        complemented,
        rows.starts.astype(np.int32),
        columns.astype(np.int32),
        needed.astype(np.int32),
        costs,
    )


@dataclass(frozen=True, slots=True)
class _Rows:
    """Linear constraints with at least one entry; sides that do not exist are infinite."""

    names: list[str]
    starts: npt.NDArray[np.int64]
    members: npt.NDArray[np.int64]
    values: Array
    left: Array
    right: Array


def _rows(model: Model) -> _Rows | str:
    """Return the constraints, their variables by address; where one is not linear, return which."""
    scip, library = address_of(model), handle()
    try:
        count, coefficients = library.SCIPgetNVarsLinear, library.SCIPgetValsLinear
        variables, left, right = library.SCIPgetVarsLinear, library.SCIPgetLhsLinear, library.SCIPgetRhsLinear
    except AttributeError as error:
        raise UnboundError(f"this SCIP lacks a function for linear constraints ({error})") from error
    for function in (count, coefficients, variables, left, right):
        function.argtypes = [ctypes.c_void_p, ctypes.c_void_p]
    count.restype, coefficients.restype, variables.restype = ctypes.c_int, ctypes.c_void_p, ctypes.c_void_p
    left.restype = right.restype = ctypes.c_double
    names, starts = [], [0]
    members: list[npt.NDArray[np.int64]] = []
    values: list[Array] = []
    sides: list[tuple[float, float]] = []
    for constraint in model.getConss(transformed=False):
        if constraint.getConshdlrName() != "linear":
            return f"the constraint {constraint.name!r} is not linear"
        address = int(constraint.ptr())
        n = count(scip, address)
        if n:
            names.append(constraint.name)
            starts.append(starts[-1] + n)
            values.append(np.frombuffer((ctypes.c_double * n).from_address(coefficients(scip, address))))
            members.append(np.frombuffer((ctypes.c_int64 * n).from_address(variables(scip, address)), np.int64))
            sides.append((left(scip, address), right(scip, address)))
    bounds = np.array(sides).reshape(-1, 2)
    bounds = np.where(np.abs(bounds) >= model.infinity(), np.copysign(np.inf, bounds), bounds)
    return _Rows(
        names,
        np.array(starts, np.int64),
        np.concatenate([np.zeros(0, np.int64), *members]),
        np.concatenate([np.zeros(0), *values]),
        bounds[:, 0],
        bounds[:, 1],
    )
