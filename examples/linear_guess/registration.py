"""Registers the bench; imports nothing heavy."""

from __future__ import annotations

from typing import Final

from cosolve.core.entries import Entry

BENCHES: Final = (
    Entry(
        name="linear-guess",
        summary="sequences of multigrid solves from learned starts against PETSc's guesses, extrapolation, projection",
        factory="cosolve.examples.linear_guess.bench:bench",
        requires=("dolfinx", "petsc4py", "mpi4py"),
    ),
)
