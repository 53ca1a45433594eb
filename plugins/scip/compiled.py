"""How the plugin's native functions are compiled: cached on disk where that can be written, else for this process."""

from __future__ import annotations

import contextlib
import hashlib
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final, TypeVar

import numba

Function = TypeVar("Function", bound=Callable[..., Any])

_OPTIONS: Final = {"nogil": True, "error_model": "numpy"}

_NATIVE_SOURCES: Final = (
    "audit",
    "compiled",
    "features",
    "memory",
    "rule",
    "rule_state",
    "scoring",
    "strong_branching",
    "symbols",
)


def compiled(function: Function) -> Function:
    """Compile in nopython mode at the first call, without the GIL; a division by zero gives NaN, not an exception."""
    try:
        dispatcher: Function = numba.njit(cache=True, **_OPTIONS)(function)
    except RuntimeError:
        # numba finds no folder that it may write to (a read-only installation without a home directory).
        dispatcher = numba.njit(**_OPTIONS)(function)
    return dispatcher


def callback(signature: Any) -> Callable[[Callable[..., Any]], Any]:
    """Compile a function at once into one that C can call; its `address` is what SCIP is given."""

    def compile_now(function: Callable[..., Any]) -> Any:
        try:
            return numba.cfunc(signature, cache=True, error_model="numpy")(function)
        except RuntimeError:
            return numba.cfunc(signature, error_model="numpy")(function)

    return compile_now


def forget_stale_code() -> None:
    """Delete cached machine code of this plugin that was compiled from other sources.

    numba compares a cached function with its own file only, but the code of what it calls is part of it.
    """
    now = sources_stamp()
    cache = Path(__file__).parent / "__pycache__"
    stamp = cache / "native.stamp"
    with contextlib.suppress(OSError):
        if stamp.exists() and stamp.read_text() == now:
            return
        for path in (*cache.glob("*.nbi"), *cache.glob("*.nbc")):
            path.unlink(missing_ok=True)
        cache.mkdir(exist_ok=True)
        stamp.write_text(now)


def sources_stamp() -> str:
    """Return a short text that changes with the native sources and with numba."""
    folder = Path(__file__).parent
    stamps = [(name, (folder / f"{name}.py").read_bytes()) for name in _NATIVE_SOURCES]
    return hashlib.sha256(repr((numba.__version__, stamps)).encode()).hexdigest()[:16]
