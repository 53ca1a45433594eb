"""Reads instances from files, with sentences for what cannot be read."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Final

from cosolve.core.errors import BadInputError
from pyscipopt import Model

SUFFIXES: Final = (".mps", ".mps.gz", ".lp", ".lp.gz", ".cip", ".cip.gz", ".zpl", ".opb", ".opb.gz")
"""What counts as an instance in a folder."""


def read_instance(path: str | Path) -> Model:
    """Return a quiet model of the instance.

    Raises:
        BadInputError: The file is missing, is no instance that SCIP reads, or has no integer variable.
    """
    path = Path(path)
    if not path.is_file():
        raise BadInputError(f"the instance {path} does not exist; give an MPS, LP or CIP file")
    model = Model()
    model.hideOutput()
    try:
        with _quiet():
            model.readProblem(str(path))
    except Exception as error:  # PySCIPOpt has a kind of exception for each of SCIP's readers
        raise BadInputError(
            f"{path}: SCIP cannot read this file ({error}); is it a complete MPS, LP or CIP file?"
        ) from error
    if model.getNBinVars() + model.getNIntVars() == 0:
        raise BadInputError(f"{path}: the instance has no integer variables, so there is nothing to branch on")
    return model


def find_instances(folder: str | Path) -> list[Path]:
    """Return the instance files of a folder and of those below it, sorted by name.

    Raises:
        BadInputError: It is no folder, or holds none.
    """
    folder = Path(folder)
    if not folder.is_dir():
        raise BadInputError(f"the folder of instances {folder} does not exist")
    found = sorted(path for path in folder.rglob("*") if path.is_file() and path.name.lower().endswith(SUFFIXES))
    if not found:
        raise BadInputError(f"{folder} holds no instances; expected files that end in {_spoken(SUFFIXES)}")
    return found


def _spoken(words: Sequence[str]) -> str:
    return ", ".join(words[:-1]) + f" or {words[-1]}"


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """Keep what SCIP's readers print in C off the user's terminal."""
    saved, null = os.dup(2), os.open(os.devnull, os.O_WRONLY)
    try:
        os.dup2(null, 2)
        yield
    finally:
        os.dup2(saved, 2)
        os.close(saved)
        os.close(null)
