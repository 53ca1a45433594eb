"""PETSc vectors, numpy arrays and torch tensors on the same memory; what cannot share it is copied and counted."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
from cosolve.core.arrays import Array
from cosolve.core.copies import CopyCount
from cosolve.core.errors import BadInputError
from cosolve.plugins.petsc.compat import refuse_complex
from petsc4py import PETSc

_ON_THE_HOST = ("seq", "mpi", "standard", "shared")


def owned(vec: Any) -> Array:
    """Return the values that this rank owns of a vector, as the very memory of the vector (not collective).

    `torch.from_numpy(owned(vec))` and `torch.from_dlpack(vec)` share it, too. The vector's cached norms do not see what
    is written into the view: write through `vec.array` where PETSc is to know.

    Raises:
        BadInputError: PETSc has complex numbers, or the vector lives on a device or is nested.
    """
    refuse_complex("a PETSc vector")
    check_shareable(vec)
    values: Array = vec.array_r
    return values


def check_shareable(vec: Any) -> None:
    """Raise where the owned values of a vector are not one array in the host's memory (not collective).

    Raises:
        BadInputError: Names the type and what to do.
    """
    if vec.getType() not in _ON_THE_HOST:
        raise BadInputError(
            f"a state is one array of the host's memory, but the vector has the type {vec.getType()!r}. "
            "Use -vec_type standard (or -dm_vec_type standard), and monolithic vectors instead of nested ones"
        )


@contextmanager
def placed(vec: Any, array: Array, count: CopyCount) -> Iterator[Any]:
    """Let a vector use the memory of `array` for a while (not collective, but alike on every rank).

    Args:
        vec: A vector whose owned part has the size of `array`.
        array: Owned values. Read-only or other than PETSc's own real type: a counted copy is placed, and what PETSc
            writes is lost.
        count: Counts that copy.
    """
    values = array
    if array.dtype != PETSc.ScalarType or not array.flags.c_contiguous or not array.flags.writeable:
        # petsc4py would make this copy without a word.
        values = np.array(array, dtype=PETSc.ScalarType)
        count.add(values.nbytes, "PETSc needs writable, contiguous memory of its own precision")
    vec.placeArray(values)
    try:
        yield vec
    finally:
        vec.resetArray()


def wrapped(array: Array, comm: Any, *, block_size: int = 1) -> Any:
    """Return a new PETSc vector on the memory of `array`, the owned values of each rank (collective).

    The caller keeps the array alive and destroys the vector.
    """
    refuse_complex("a PETSc vector")
    return PETSc.Vec().createWithArray(array, bsize=block_size, comm=comm)
