"""PETSc's options as PETSc users know them: the command line wins over code, and what nobody read is reported."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from cosolve.core.petsc_options import left
from petsc4py import PETSc


def insert_defaults(prefix: str, options: Mapping[str, Any]) -> list[str]:
    """Put `options` into PETSc's database under `prefix`, where nobody set them before (not collective).

    Args:
        prefix: The object's prefix, e.g. `"heat_"`.
        options: Names without the prefix; a leading dash is allowed. `None` or `True` sets a flag without a value.

    Returns:
        The full names that were inserted, for `remove`. What the command line had set is left as it is.
    """
    database = PETSc.Options()
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
    database = PETSc.Options()
    for name in names:
        if database.hasName(name):
            database.delValue(name)


def number(prefix: str, key: str, default: float) -> float:
    """Return the number that PETSc's database holds for `prefix + key`, else `default` (not collective)."""
    return float(PETSc.Options().getReal(prefix + key, default))


def words(error: Any) -> str:
    """Return PETSc's own words of a `PETSc.Error`, without its trace through the library (not collective)."""
    lines = [re.sub(r"^\[\d+\] ", "", line).strip() for line in str(error).splitlines()]
    said = [line for line in lines if line and not line.startswith("error code") and not re.match(r"\w+\(\) at ", line)]
    return ". ".join(line.rstrip(".") for line in said) or f"PETSc error {error.ierr}"


def given(prefix: str) -> str:
    """Return the options with `prefix` in PETSc's database as one would type them (not collective)."""
    found = {name: value for name, value in PETSc.Options().getAll().items() if name.startswith(prefix)}
    return " ".join(f"-{name} {value}".rstrip() for name, value in sorted(found.items()))


def unused(prefix: str = "") -> list[str]:
    """Return the options with `prefix` that no object has read so far, with a leading dash (not collective)."""
    return sorted(f"-{name}" for name in left() if name.startswith(prefix))
