"""What cosolve times, as stages and events of PETSc's own profile: they show in `-log_view`; imports no PETSc.

Each part of a transaction is a stage, so that `-log_view` tells how many residuals and Krylov iterations were spent on
judging and how many on solving, and an event of the same name, so that the parts stand beside PETSc's own events.
Without petsc4py in the process a section does nothing.
"""

from __future__ import annotations

import sys
from contextlib import AbstractContextManager, nullcontext
from types import TracebackType
from typing import Any, Final

PARTS: Final = ("propose", "judge", "correct", "solve")
"""Parts of a transaction, in the order in which their stages are registered on every rank."""

_NOTHING: Final[AbstractContextManager[None]] = nullcontext()
_sections: dict[str, _Section] = {}


class _Section:
    """Pushes a stage and begins an event; PETSc allows neither to be left out of order."""

    def __init__(self, petsc: Any, part: str) -> None:
        self._stage = petsc.Log.Stage(f"cosolve: {part}")
        self._event = petsc.Log.Event(f"cosolve_{part}")

    def __enter__(self) -> None:
        self._stage.push()
        self._event.begin()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._event.end()
        self._stage.pop()


def section(part: str) -> AbstractContextManager[None]:
    """Return a context that PETSc's profile shows as stage and event of that part (not collective).

    Args:
        part: One of `PARTS`.
    """
    if not _sections:
        petsc = sys.modules.get("petsc4py.PETSc")
        if petsc is None:
            return _NOTHING
        for name in PARTS:  # all at once: every rank must register them in the same order
            _sections[name] = _Section(petsc, name)
    return _sections[part]
