"""Registers the bench; imports nothing heavy."""

from __future__ import annotations

from typing import Final

from cosolve.core.entries import Entry

BENCHES: Final = (
    Entry(
        name="preconditioner",
        summary="learned coarse spaces and V-cycles, noise and liars behind a safe preconditioner, against AMG and LU",
        factory="cosolve.examples.preconditioning.bench:bench",
        requires=("petsc4py", "mpi4py", "torch", "scipy"),
    ),
)
