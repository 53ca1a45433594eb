"""Collected only where petsc4py is installed."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

pytest.importorskip("petsc4py", reason="petsc4py is not installed here")
sys.path.insert(0, str(Path(__file__).parent))


@pytest.fixture
def options() -> Iterator[Callable[..., None]]:
    """What PETSc's database holds as if it had been given on the command line; taken out again afterwards."""
    from cosolve.core import petsc_database
    from petsc4py import PETSc

    names: list[str] = []

    def give(name: str, value: object = "") -> None:
        PETSc.Options().setValue(name, value)
        names.append(name)

    yield give
    petsc_database.remove(names)
