"""Hands PETSc's options over untouched, and names those that nobody used; imports no PETSc.

PETSc reads `-log_view` and its like only when it starts, so options must be there before petsc4py is first imported:
the environment variable `PETSC_OPTIONS` is the way that works for every plugin that wraps PETSc. Where PETSc runs
already (a user's script), they go into its database.
"""

from __future__ import annotations

import ctypes
import os
import re
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any, Final

_VARIABLE: Final = "PETSC_OPTIONS"
_told: set[str] = set()


def tokens_of(table: Mapping[str, Any]) -> tuple[str, ...]:
    """Return the `[petsc]` table of a case as PETSc's words; true stands for an option without a value.

    >>> tokens_of({"ksp_type": "cg", "log_view": True, "ksp_rtol": 1e-10})
    ('-ksp_type', 'cg', '-log_view', '-ksp_rtol', '1e-10')
    """
    words: list[str] = []
    for name, value in table.items():
        words.append(f"-{name.lstrip('-')}")
        if value is not True:
            words.append(str(value).lower() if isinstance(value, bool) else str(value))
    return tuple(words)


def pairs_of(tokens: Sequence[str]) -> dict[str, str]:
    """Return PETSc's words as values by name without the dash; an option without a value has the value "".

    >>> pairs_of(["-ksp_type", "cg", "-log_view", "-shift", "-1.5"])
    {'ksp_type': 'cg', 'log_view': '', 'shift': '-1.5'}
    """
    pairs: dict[str, str] = {}
    name = ""
    for token in tokens:
        if re.match(r"-[A-Za-z_]", token):
            name = token[1:]
            pairs[name] = ""
        elif name:
            pairs[name] = token
            name = ""
    return pairs


@contextmanager
def handed_over(tokens: Sequence[str]) -> Iterator[None]:
    """Hand options to PETSc for the duration of a run (not collective; call it alike on every rank).

    Where PETSc starts within the run its database keeps them to the end of the process, so that `-options_left` and
    `-log_view` see them. Where PETSc ran before, they are taken out again.
    """
    loaded = _petsc()
    if loaded is not None:
        yield from _in_database(loaded, tokens)
        return
    before = os.environ.get(_VARIABLE)
    if tokens:
        os.environ[_VARIABLE] = " ".join(filter(None, [before, *map(_quoted, tokens)]))
    try:
        yield
    finally:
        if before is None:
            os.environ.pop(_VARIABLE, None)
        else:
            os.environ[_VARIABLE] = before


def _in_database(petsc: Any, tokens: Sequence[str]) -> Iterator[None]:
    database = petsc.Options()
    before = database.getAll()
    pairs = pairs_of(tokens)
    for name, value in pairs.items():
        database.setValue(name, value)
    try:
        yield
    finally:
        for name in pairs:
            if name in before:
                database.setValue(name, before[name])
            else:
                database.delValue(name)


def unused(tokens: Sequence[str]) -> list[str]:
    """Return those of the options in `tokens` that no object has read, with their dash (not collective).

    All of them where the run never started PETSc.
    """
    names = list(pairs_of(tokens))
    if _petsc() is None or not names:
        return [f"-{name}" for name in names]
    found = {name.lower() for name in left()}
    # These act when PETSc ends; nobody has read them before.
    return [f"-{name}" for name in names if name.lower() in found and name not in ("options_left", "log_view")]


def not_told(names: Sequence[str]) -> list[str]:
    """Return those of the unused options that no warning has named yet in this process, and take them as told."""
    new = [name for name in names if name not in _told]
    _told.update(new)
    return new


def left() -> list[str]:
    """Return the names of all options in PETSc's database that no object has read so far (not collective).

    petsc4py binds no `PetscOptionsLeftGet`, so the library behind it is asked directly. Empty without PETSc.
    """
    petsc = _petsc()
    if petsc is None:
        return []
    library = ctypes.CDLL(petsc.__file__)
    count = ctypes.c_int32(0) if petsc.IntType().itemsize == 4 else ctypes.c_int64(0)
    names, values = ctypes.POINTER(ctypes.c_char_p)(), ctypes.POINTER(ctypes.c_char_p)()
    arguments = (ctypes.c_void_p(0), ctypes.byref(count), ctypes.byref(names), ctypes.byref(values))
    if library.PetscOptionsLeftGet(*arguments) != 0:
        return []
    found = [(names[index] or b"").decode() for index in range(count.value)]
    library.PetscOptionsLeftRestore(*arguments)
    return found


def _petsc() -> Any:
    return sys.modules.get("petsc4py.PETSc")


def _quoted(token: str) -> str:
    return f'"{token}"' if re.search(r"\s", token) else token
