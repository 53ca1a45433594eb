"""Sharing memory between libraries where precision, device and layout match, and counting the copies elsewhere."""

from __future__ import annotations

import logging
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
from cosolve.core.arrays import Array
from cosolve.core.errors import BadInputError

logger = logging.getLogger(__name__)


@dataclass(slots=True)
class CopyCount:
    """Copies that a hand-over between libraries or spaces has made.

    Attributes:
        copies: Arrays copied.
        bytes: Bytes of the copies.
    """

    copies: int = 0
    bytes: int = 0

    def add(self, nbytes: int, why: str = "") -> None:
        """Count one copy and log it."""
        self.copies += 1
        self.bytes += nbytes
        logger.debug("copied %d bytes: %s", nbytes, why or "no reason given")

    def notes(self) -> dict[str, int]:
        """Return the counts for a prediction's notes; empty when nothing was copied."""
        return {"copies": self.copies, "copied_bytes": self.bytes} if self.copies else {}


def shared_array(source: Any, dtype: npt.DTypeLike, count: CopyCount) -> Array:
    """Return `source` as a C-contiguous array of `dtype`: the same memory where that fits, else a counted copy.

    Args:
        source: A numpy array, whatever offers the buffer protocol, or an object with `__dlpack__` on the CPU (a torch
            tensor, a PETSc vector).
        dtype: `float32` or `float64`.
        count: Counts the copy.

    Raises:
        BadInputError: The object offers neither, or lives on another device.
    """
    if isinstance(source, np.ndarray):
        view: Array = source
    elif hasattr(source, "__dlpack__"):
        try:
            view = np.from_dlpack(source)
        except (BufferError, RuntimeError, TypeError) as error:
            raise BadInputError(
                f"{type(source).__name__} cannot share memory with numpy: {error}. Detach it and move it to the CPU."
            ) from error
    else:
        try:
            view = np.asarray(memoryview(source))
        except TypeError as error:
            raise BadInputError(
                f"{type(source).__name__} is not an array: expected numpy, a buffer or DLPack on the CPU"
            ) from error
    wanted = np.dtype(dtype)
    if view.dtype == wanted and view.flags.c_contiguous:
        return view
    converted = np.ascontiguousarray(view, dtype=wanted)
    count.add(converted.nbytes, f"{view.dtype} to {wanted}" if view.dtype != wanted else "layout")
    return converted
