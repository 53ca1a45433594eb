"""Finds values again that were spread over other ranks: by keys that do not depend on the partition.

A key is a row of numbers, mostly coordinates. The same place has the same key on any number of ranks up to rounding, so
keys are compared on a lattice much finer than the distance of places and much coarser than rounding. Rounding may carry
a key over a boundary of the lattice; a second lattice, shifted by half a cell, finds those.
"""

from __future__ import annotations

from typing import Any, Final

import numpy as np
import numpy.typing as npt
from cosolve.core.arrays import Array

Indices = npt.NDArray[np.intp]

# Not a round number: coordinates of meshes are, and would lie on the boundaries of the lattice.
_CELL: Final = 0.7390851332151607e-9
_NOISE: Final = 1e-12


def lattice_of(lowest: Array, highest: Array) -> Array:
    """Return the length of a cell in each column, from the extent of all keys.

    A column that holds nothing but rounding gets a cell that holds all of it.

    Args:
        lowest: Smallest value of each column over all ranks.
        highest: Largest.
    """
    extent = highest - lowest
    largest = float(np.max(np.abs([lowest, highest]), initial=0.0))
    cells: Array = np.where(extent > _NOISE * largest, _CELL * extent, max(1.0, largest))
    return cells


class Places:
    """The places of this rank, to be filled with values from files of other ranks.

    Args:
        keys: Keys of the values that this rank owns, shape `(n_owned, k)`.
        cells: Length of a cell of the lattice in each column.
    """

    def __init__(self, keys: Array, cells: Array) -> None:
        self._keys, self._cells = keys, cells
        self._hits = np.zeros(len(keys), dtype=np.intp)

    def find(self, keys: Array) -> tuple[Indices, Indices]:
        """Return where this rank's places are among `keys`: indices of places, and of rows of `keys`, pairwise.

        Args:
            keys: Keys of one file, shape `(m, k)`.
        """
        found = np.full(len(self._keys), -1, dtype=np.intp)
        hits = np.zeros(len(self._keys), dtype=np.intp)
        for shift in (0.0, 0.5):
            rows, count = self._on_lattice(keys, shift)
            found = np.where(found < 0, rows, found)
            hits = np.maximum(hits, count)
        self._hits += hits
        mine = np.flatnonzero(found >= 0)
        return mine, found[mine]

    def _on_lattice(self, keys: Array, shift: float) -> tuple[Indices, Indices]:
        """Return for each place a row of `keys` in its cell, or -1, and how many rows are there."""
        both = np.floor(np.concatenate([self._keys, keys]) / self._cells + shift)
        _, inverse = np.unique(both, axis=0, return_inverse=True)
        inverse = np.asarray(inverse).reshape(-1)
        own, other = inverse[: len(self._keys)], inverse[len(self._keys) :]
        count = np.bincount(other, minlength=len(both))
        row = np.full(len(both), -1, dtype=np.intp)
        row[other] = np.arange(len(keys))
        return row[own], count[own]

    def trouble(self) -> str:
        """Return why the places are not filled, each by one value; empty when they are."""
        lost, twice = int(np.count_nonzero(self._hits == 0)), int(np.count_nonzero(self._hits > 1))
        if lost:
            return f"{lost} of {len(self._hits)} values of this rank have no counterpart in it: another mesh or space"
        if twice:
            return f"{twice} values of this rank have several counterparts in it: their places are not distinct"
        return ""


def same_places(keys: Array, other: Array, cells: Array) -> bool:
    """Return whether both are the same keys in the same order, up to rounding."""
    return keys.shape == other.shape and bool(np.all(np.abs(keys - other) <= cells))


def taken(array: Any, places: Indices, rows: Indices, into: Any) -> None:
    """Copy the values at `rows` of the last axis of `array` to `places` of the last axis of `into`."""
    into[..., places] = array[..., rows]
