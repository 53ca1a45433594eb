"""Reads instances from files, with sentences for what cannot be read."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Final

from cosolve.core.errors import BadInputError
from pyscipopt import Model

SUFFIXES: Final = (".mps", ".mps.gz", ".lp", ".lp.gz", ".cip", ".cip.gz", ".zpl", ".opb", ".opb.gz")
"""What counts as an instance in a folder."""

_REHEARSAL: Final = "import sys, pyscipopt; m = pyscipopt.Model(); m.hideOutput(); m.readProblem(sys.argv[1])"


def read_instance(path: str | Path) -> Model:
    """Return a quiet model of the instance.

    Raises:
        BadInputError: The file is missing, is no instance that SCIP reads, or has no integer variable.
    """
    path = _existing(path)
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


def rehearse(path: str | Path) -> None:
    """Read the instance in a child process: a damaged file can crash SCIP's readers, and the child alone then.

    An MPS file that ends within a line of its ROWS section does so in SCIP 10. What the child reads without a crash may
    still be refused by `read_instance`, with the reader's reason.

    Raises:
        BadInputError: The file is missing, or crashes SCIP's reader.
    """
    path = _existing(path)
    done = subprocess.run([sys.executable, "-c", _REHEARSAL, str(path)], capture_output=True, check=False)
    if done.returncode < 0:
        name = signal.Signals(-done.returncode).name
        raise BadInputError(
            f"{path}: SCIP's reader crashes on this file ({name}); it is damaged or incomplete: copy or write it again"
        )


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


def _existing(path: str | Path) -> Path:
    path = Path(path)
    if not path.is_file():
        raise BadInputError(f"the instance {path} does not exist; give an MPS, LP or CIP file")
    return path


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
