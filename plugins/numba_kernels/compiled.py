"""Compilation with a cache on disk where the folder can be written, and quietly without one where it cannot."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

import numba

Kernel = TypeVar("Kernel", bound=Callable[..., Any])


def compiled(kernel: Kernel) -> Kernel:
    """Compile `kernel` in nopython mode at its first call, without the GIL and without fast-math.

    NaN must stay NaN: a fault travels through the kernels as NaN, which fast-math may optimise away.
    """
    try:
        dispatcher: Kernel = numba.njit(cache=True, nogil=True)(kernel)
    except RuntimeError:
        # numba finds no folder that it may write to (a read-only installation without a home directory).
        dispatcher = numba.njit(nogil=True)(kernel)
    return dispatcher
