"""Prefixes of PETSc options in use: PETSc's database is one for the process, so two solvers must not share a prefix."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from cosolve.core.errors import BadInputError

DEFAULT: Final = "cosolve_"
"""Prefix of the first solver that is given none; the next living ones get `cosolve2_`, `cosolve3_`, ...

Not `cosolve_2_`: PETSc takes `_2_` out of a name that it does not find, and would read the first solver's options.
"""

_in_use: dict[str, list[dict[str, str]]] = {}


def claim(prefix: str | None, options: Mapping[str, Any]) -> str:
    """Take a prefix into use until `release` (not collective, but alike on every rank).

    Two living solvers may share a prefix that was given when their options in code are the same, too.

    Args:
        prefix: What the user gave; None for a numbered default.
        options: PETSc options from code.

    Raises:
        BadInputError: A solver that was not closed has the prefix with other options, of which PETSc would see only
            the first; or the prefix is no text.
    """
    wanted = {name.lstrip("-"): str(value) for name, value in options.items()}
    if prefix is None:
        number = 1
        while _numbered(number) in _in_use:
            number += 1
        prefix = _numbered(number)
    elif not isinstance(prefix, str) or not prefix or prefix.startswith("-") or any(c.isspace() for c in prefix):
        raise BadInputError(f"prefix must be a word such as 'heat_', without a leading dash; found {prefix!r}")
    for other in _in_use.get(prefix, ()):
        if other != wanted:
            raise BadInputError(
                f"a solver that was not closed has the prefix {prefix!r} of PETSc options already, with "
                f"petsc_options={other}, so PETSc would leave {wanted} out; close that solver first, or give this one "
                "another prefix"
            )
    _in_use.setdefault(prefix, []).append(wanted)
    return prefix


def release(prefix: str, options: Mapping[str, Any]) -> None:
    """Give a prefix back (not collective)."""
    living = _in_use.get(prefix, [])
    wanted = {name.lstrip("-"): str(value) for name, value in options.items()}
    if wanted in living:
        living.remove(wanted)
    if not living:
        _in_use.pop(prefix, None)


def _numbered(number: int) -> str:
    return DEFAULT if number == 1 else f"{DEFAULT.rstrip('_')}{number}_"
