"""Errors that say what happened, what was expected, what was found and what to do next.

Every error a user can meet derives from `CosolveError` and carries the exit code of the command line.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Mapping
from typing import ClassVar, Final


class CosolveError(Exception):
    """Base of all errors of cosolve.

    Attributes:
        exit_code: What `cosolve` exits with when this error ends the process.
    """

    exit_code: ClassVar[int] = 1


class BadInputError(CosolveError):
    """The user's input (case, option, model, mesh) cannot be used. Exit code 2."""

    exit_code = 2


class ModelMismatchError(BadInputError):
    """A trained model belongs to another problem, space, unit or precision. Exit code 2."""


class NotConvergedError(CosolveError):
    """A solver did not converge and no rung of the fallback ladder was left. Exit code 3.

    Args:
        message: The sentence for the user.
        reason: The solver's own reason (PETSc's `DIVERGED_...`, say).
    """

    exit_code = 3

    def __init__(self, message: str, *, reason: str = "") -> None:
        super().__init__(message)
        self.reason = reason


class PluginError(CosolveError):
    """A plugin that the run needs is missing, broken, or broke its contract. Exit code 4."""

    exit_code = 4


class RankFaultError(PluginError):
    """Code of a plugin failed on at least one rank; raised on every rank alike.

    Args:
        message: The sentence for the user.
        rank: The lowest rank on which the fault happened.
        step: The step at which it happened.
        cause: The root cause as text, from that rank.
    """

    def __init__(self, message: str, *, rank: int = 0, step: int = 0, cause: str = "") -> None:
        super().__init__(message)
        self.rank = rank
        self.step = step
        self.cause = cause


class InterruptedRunError(CosolveError):
    """The run was ended by Ctrl-C or SIGTERM after writing its checkpoint. Exit code 6."""

    exit_code = 6


class OutputError(CosolveError):
    """The output folder or file cannot be written. Exit code 7."""

    exit_code = 7


WATCHDOG_EXIT_CODE = 5
"""Exit code of a process that the watchdog ended because a rank was blocked."""


EXIT_CODES: Final[Mapping[int, str]] = {
    0: "fine",
    1: "an unexpected error, with its traceback",
    BadInputError.exit_code: "bad input: a case, option, model or mesh that cannot be used",
    NotConvergedError.exit_code: "did not converge, and no fallback was left",
    PluginError.exit_code: "a plugin that the run needs is missing, broken or failed",
    WATCHDOG_EXIT_CODE: "ended by the watchdog: a rank was blocked",
    InterruptedRunError.exit_code: "interrupted by Ctrl-C or SIGTERM; ledger and checkpoint are readable",
    OutputError.exit_code: "the output cannot be written",
}
"""What each exit code of `cosolve` means: the one list that the help and the documentation print."""


def nearest(name: str, known: Iterable[str]) -> str | None:
    """Return the known name most like `name`, or None when nothing is close.

    >>> nearest("serach", ["search", "solve"])
    'search'
    """
    found = difflib.get_close_matches(name, list(known), n=1, cutoff=0.6)
    return found[0] if found else None


def unknown_name(what: str, name: str, known: Iterable[str], *, hint: str = "") -> str:
    """Compose the sentence for an unknown name: what, the nearest match, the known names, what to do.

    >>> unknown_name("surrogate", "fon", ["fno", "pod"])
    "unknown surrogate 'fon'; did you mean 'fno'? Known: fno, pod."
    """
    names = sorted(set(known))
    guess = nearest(name, names)
    sentence = f"unknown {what} {name!r}"
    sentence += f"; did you mean {guess!r}?" if guess else "."
    sentence += f" Known: {', '.join(names) if names else 'none'}."
    return f"{sentence} {hint}" if hint else sentence
