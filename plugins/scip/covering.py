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
    addresses = np.array([int(variable.ptr()) for variable in variables], np.int64)
    order = np.argsort(addresses)
    rows = _rows(model)
    if isinstance(rows, str):
        return rows
    sizes = np.array([len(members) for members, _, _ in rows], np.int64)
    if not len(sizes) or sizes.sum() > MAX_ENTRIES:
        return f"there are {int(sizes.sum())} entries"
    columns = order[np.searchsorted(addresses, np.concatenate([one for one, _, _ in rows]), sorter=order)]
    packs = np.repeat(np.array([pack for _, pack, _ in rows]), sizes)
    counts = np.stack([np.bincount(columns[packs == side], minlength=len(variables)) for side in (False, True)])
    if ((counts[0] > 0) & (counts[1] > 0)).any():
        return "some variables both cover and pack"
    sign = -1.0 if model.getObjectiveSense() == "maximize" else 1.0
    costs = sign * np.array([variable.getObj() for variable in variables])
    complemented = (counts[1] > 0) | ((counts[0] == 0) & (costs < 0.0))
    costs = np.where(complemented, -costs, costs)
    if (costs < 0.0).any():
        return "some variables are worth having for themselves"
    needed = np.array([size - count if pack else count for (_, pack, count), size in zip(rows, sizes, strict=True)])
    if (needed > sizes).any():
        return "a row cannot be covered"
    starts = np.concatenate([[0], np.cumsum(sizes)])
    return Covering(
        tuple(variable.name for variable in variables),
        complemented,
        starts.astype(np.int32),
        columns.astype(np.int32),
        needed.astype(np.int32),
        costs,
    )


def _rows(model: Model) -> list[tuple[npt.NDArray[np.int64], bool, int]] | str:
    """Return the members of each row by address, whether it packs, and how many it asks for or allows."""
    scip, library = address_of(model), handle()
    try:
        count, values = library.SCIPgetNVarsLinear, library.SCIPgetValsLinear
        members, left, right = library.SCIPgetVarsLinear, library.SCIPgetLhsLinear, library.SCIPgetRhsLinear
    except AttributeError as error:
        raise UnboundError(f"this SCIP lacks a function for linear constraints ({error})") from error
    for function in (count, values, members, left, right):
        function.argtypes = [ctypes.c_void_p, ctypes.c_void_p]
    count.restype, values.restype, members.restype = ctypes.c_int, ctypes.c_void_p, ctypes.c_void_p
    left.restype = right.restype = ctypes.c_double
    infinity = model.infinity()
    found: list[tuple[npt.NDArray[np.int64], bool, int]] = []
    for constraint in model.getConss(transformed=False):
        if constraint.getConshdlrName() != "linear":
            return f"the constraint {constraint.name!r} is not linear"
        address = int(constraint.ptr())
        n = count(scip, address)
        if not n:
            continue
        row = np.frombuffer((ctypes.c_double * n).from_address(values(scip, address)))
        scale = row[0]
        if scale == 0.0 or (row != scale).any():
            return f"the row {constraint.name!r} has several coefficients"
        low, high = left(scip, address), right(scip, address)
        if scale < 0.0:
            low, high = -high, -low
        covers, packs = low > -infinity, high < infinity
        if covers == packs:
            return f"the row {constraint.name!r} has two sides"
        limit = (low if covers else high) / abs(scale)
        whole = int(np.ceil(limit - 1e-9)) if covers else int(np.floor(limit + 1e-9))
        pointers = np.frombuffer((ctypes.c_int64 * n).from_address(members(scip, address)), np.int64).copy()
        found.append((pointers, packs, whole))
    return found
