"""Splits PETSc's options off a command line: click would read `-ksp_type` as `-k -s -p ...`."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Final

from cosolve.core.errors import BadInputError

WITH_PETSC: Final = ("run", "demo", "train", "bench")
"""Commands that take PETSc options."""

_OWN_SHORT: Final = re.compile(r"-(v+|h)")
_OPTION: Final = re.compile(r"-[A-Za-z_]\w+.*")
_OWN_LONG: Final = frozenset(
    [
        "baseline",
        "budget-minutes",
        "check",
        "data",
        "embedded",
        "from-ledger",
        "grade",
        "help",
        "instances",
        "json",
        "minutes",
        "mode",
        "out",
        "output",
        "quick",
        "ranks",
        "report",
        "resume",
        "role",
        "runs",
        "seed",
        "set",
        "show-options",
        "step",
        "verbose",
        "version",
    ]
)
"""Our long options, of all commands; a test compares them with what the commands declare."""


def split_petsc_options(arguments: Sequence[str]) -> tuple[list[str], tuple[str, ...]]:
    """Split arguments into cosolve's own and PETSc's.

    A word with one dash and two letters or more (`-ksp_type`, `-log_view`) is PETSc's. So is the word behind it when
    that is no option itself: a negative number is a value, a file that ends in `.toml` and the command's name are not.

    Args:
        arguments: The arguments without the program's name.

    Returns:
        Our arguments, and PETSc's, both in order and unchanged.

    Raises:
        BadInputError: One of our options was written with a single dash, or the command has no use for PETSc.

    >>> split_petsc_options(["run", "case.toml", "-ksp_type", "cg", "-log_view", "-v"])
    (['run', 'case.toml', '-v'], ('-ksp_type', 'cg', '-log_view'))
    """
    own: list[str] = []
    petsc: list[str] = []
    words = list(arguments)
    while words:
        word = words.pop(0)
        if word == "--":
            own += [word, *words]
            break
        if not _OPTION.fullmatch(word) or _OWN_SHORT.fullmatch(word):
            own.append(word)
            continue
        name = word[1:].split("=")[0]
        if name.replace("_", "-") in _OWN_LONG:
            raise BadInputError(
                f"{word}: expected two dashes, found one, which hands the option to PETSc; write -{word}."
            )
        petsc.append(word)
        begun = any(word in WITH_PETSC for word in own)
        if words and _is_value(words[0]) and (begun or words[0] not in WITH_PETSC):
            petsc.append(words.pop(0))
    command = next((word for word in own if not word.startswith("-")), "")
    if petsc and command and command not in WITH_PETSC:
        raise BadInputError(
            f"{petsc[0]}: a long option with one dash goes to PETSc, and `cosolve {command}` solves nothing; "
            f"write -{petsc[0]} if you meant an option of cosolve."
        )
    return own, tuple(petsc)


def _is_value(word: str) -> bool:
    if word.endswith(".toml"):
        return False
    return not word.startswith("-") or re.fullmatch(r"-\.?\d.*", word) is not None
