"""Finds the very libscip that PySCIPOpt loaded, and makes its functions known to numba's compiler.

No header, no compiler and no second copy of SCIP: the dynamic linker looks a name up in the dependencies of PySCIPOpt's
own extension module, so the right library is found whatever its file is called.
"""

from __future__ import annotations

import ctypes
from collections.abc import Iterable
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import pyscipopt

TESTED_VERSIONS = ((10, 0),)
"""Versions of SCIP whose functions are known to have the signatures of `cosolve.plugins.scip.symbols`."""


class UnboundError(Exception):
    """The native functions cannot be used; the text says why in one sentence."""


@dataclass(frozen=True, slots=True)
class Library:
    """A libscip whose functions numba can call.

    Attributes:
        path: File of PySCIPOpt's extension module, which depends on it.
        version: Major and minor version.
    """

    path: Path
    version: tuple[int, int]


@cache
def handle() -> ctypes.CDLL:
    """Return a handle that sees all functions of the loaded libscip."""
    return ctypes.CDLL(_extension())


def _extension() -> str:
    return str(getattr(pyscipopt, "scip").__file__)  # noqa: B009  # the name of a module, which stubs do not know


def library_path() -> Path:
    """Return the file of PySCIPOpt's extension module."""
    return Path(_extension())


def version() -> tuple[int, int]:
    """Return major and minor version of the loaded SCIP."""
    found = handle()
    major, minor = found.SCIPmajorVersion, found.SCIPminorVersion
    major.restype = minor.restype = ctypes.c_int
    return int(major()), int(minor())


def address_of(model: Any) -> int:
    """Return the address of a model's SCIP structure; PySCIPOpt goes on owning it.

    Args:
        model: A `pyscipopt.Model`.
    """
    get = ctypes.pythonapi.PyCapsule_GetPointer
    get.restype, get.argtypes = ctypes.c_void_p, [ctypes.py_object, ctypes.c_char_p]
    return int(get(model.to_ptr(False), b"scip"))


def find_addresses(names: Iterable[str]) -> dict[str, int]:
    """Return the address of each function.

    Raises:
        UnboundError: A function is missing; names it.
    """
    library = handle()
    found: dict[str, int] = {}
    missing = []
    for name in names:
        try:
            found[name] = ctypes.cast(getattr(library, name), ctypes.c_void_p).value or 0
        except AttributeError:
            missing.append(name)
    if missing:
        raise UnboundError(f"this SCIP lacks {', '.join(sorted(missing)[:3])}")
    return found


@cache
def bind() -> Library:
    """Make all functions of `cosolve.plugins.scip.symbols` known to numba's compiler, once for each process.

    Must run before the first native function is compiled or loaded from numba's cache.

    Raises:
        UnboundError: The version is not one that was tested, or a function is missing.
    """
    # Imported here: a model that no guide touches loads neither numba nor LLVM.
    from cosolve.plugins.scip.compiled import forget_stale_code
    from cosolve.plugins.scip.symbols import SIGNATURES
    from llvmlite import binding

    found = version()
    if found not in TESTED_VERSIONS:
        tested = ", ".join(f"{major}.{minor}" for major, minor in TESTED_VERSIONS)
        raise UnboundError(f"SCIP {found[0]}.{found[1]} was not tested (tested: {tested})")
    for name, address in find_addresses(SIGNATURES).items():
        binding.add_symbol(name, address)
    forget_stale_code()
    return Library(library_path(), found)
