"""Does memory grow from call to call? Python's own by tracemalloc, a library's by the size of the process."""

from __future__ import annotations

import gc
import tracemalloc
from collections.abc import Callable
from itertools import pairwise
from pathlib import Path
from typing import Final

_WINDOWS: Final = 4
_PROCESS_BYTES: Final = 16 * 2**20


def resident_bytes() -> int:
    """Return the resident size of this process; 0 where the system does not tell."""
    status = Path("/proc/self/statm")
    return int(status.read_text().split()[1]) * 4096 if status.exists() else 0


def growth(call: Callable[[int], object], calls: int, *, allowed: int = 128) -> str:
    """Call `calls` times and say how memory grew; empty when it did not.

    A cache fills and then stands still (numpy keeps small blocks for itself, hundreds of calls long). So there is a
    warm-up of as many calls, and then only what grows in each quarter, and not less and less, counts.

    Args:
        call: Takes the number of the call.
        calls: Number of calls.
        allowed: Bytes a call that do not count: what interpreter and libraries keep for themselves.
    """
    each = max(1, calls // _WINDOWS)
    was_tracing = tracemalloc.is_tracing()
    if not was_tracing:
        tracemalloc.start()
    try:
        for index in range(calls):
            call(index)
        sizes, resident = [], []
        for window in range(_WINDOWS):
            for index in range(each):
                call(window * each + index)
            gc.collect()
            sizes.append(tracemalloc.get_traced_memory()[0])
            resident.append(resident_bytes())
    finally:
        if not was_tracing:
            tracemalloc.stop()
    steps = [later - earlier for earlier, later in pairwise(sizes)]
    if min(steps) > allowed * each and 2 * steps[-1] > max(steps):
        return f"memory grows by about {min(steps) // each} bytes a call ({sum(steps)} bytes in {3 * each} calls)"
    grown = [later - earlier for earlier, later in pairwise(resident)]
    if min(grown) > 0 and sum(grown) > _PROCESS_BYTES:
        return f"the process grows by {sum(grown) // 2**20} MiB in {3 * each} calls, outside of Python"
    return ""
