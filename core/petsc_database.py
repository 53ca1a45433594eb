"""PETSc's option database for every plugin that wraps PETSc: the command line wins, what nobody read is reported.

Imports no PETSc: whoever calls this has imported petsc4py, and it is taken from there.
"""

from __future__ import annotations

import re
import sys
from collections.abc import Mapping
from typing import Any

from cosolve.core.petsc_options import left


def insert_defaults(prefix: str, options: Mapping[str, Any]) -> list[str]:
    """Put `options` into PETSc's database under `prefix`, where nobody set them before (not collective).

    Args:
        prefix: The object's prefix, e.g. `"heat_"`.
        options: Names without the prefix; a leading dash is allowed. `None` or `True` sets a flag without a value.

    Returns:
        The full names that were inserted, for `remove`. What the command line had set is left as it is.
    """
    database = _database()
    inserted = []
    for key, value in options.items():
        name = prefix + key.lstrip("-")
        if database.hasName(name):
            continue
        database.setValue(name, "" if value is None or value is True else value)
        inserted.append(name)
    return inserted


def remove(names: list[str]) -> None:
    """Take inserted options out of the database again (not collective)."""
    database = _database()
    for name in names:
        if database.hasName(name):
            database.delValue(name)


def number(prefix: str, key: str, default: float) -> float:
    """Return the number that PETSc's database holds for `prefix + key`, else `default` (not collective)."""
    return float(_database().getReal(prefix + key, default))


def words(error: Any) -> str:
    """Return PETSc's own words of a `PETSc.Error`, without its trace through the library (not collective)."""
    lines = [re.sub(r"^\[\d+\] ", "", line).strip() for line in str(error).splitlines()]
    said = [line for line in lines if line and not line.startswith("error code") and not re.match(r"\w+\(\) at ", line)]
    return ". ".join(line.rstrip(".") for line in said) or f"PETSc error {error.ierr}"


def given(prefix: str) -> str:
    """Return the options with `prefix` in PETSc's database as one would type them (not collective)."""
    found = {name: value for name, value in _database().getAll().items() if name.startswith(prefix)}
    return " ".join(f"-{name} {value}".rstrip() for name, value in sorted(found.items()))


def unused(prefix: str = "") -> list[str]:
    """Return the options with `prefix` that no object has read so far, with a leading dash (not collective)."""
    return sorted(f"-{name}" for name in left() if name.startswith(prefix))


def reason_name(library_class: Any, code: int) -> str:
    """Return PETSc's own name of a converged reason, e.g. `SNES_DIVERGED_MAX_IT` (not collective).

    Args:
        library_class: `PETSc.KSP`, `PETSc.SNES` or `PETSc.TS`.
        code: What its `getConvergedReason()` returned.
    """
    for name, value in vars(library_class.ConvergedReason).items():
        if value == code and name.startswith(("CONVERGED_", "DIVERGED_")):
            return f"{library_class.__name__}_{name}"
    return f"{library_class.__name__}_{'DIVERGED' if code < 0 else 'CONVERGED'}_{code}"


def _database() -> Any:
    return sys.modules["petsc4py.PETSc"].Options()
