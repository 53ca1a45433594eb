"""What this example registers; loads nothing heavy."""

from __future__ import annotations

from typing import Final

from cosolve.core.entries import Entry

PROBLEMS: Final = (
    Entry(
        name="lens",
        summary="Helmholtz in a cube on an unstructured mesh, a lens that moves, by a user's own KSP",
        factory="cosolve.examples.preconditioning.problem:LensProblem",
        contract="cosolve.examples.contracts:LensContract",
        options="cosolve.examples.preconditioning.options:LensOptions",
        requires=("petsc4py", "mpi4py", "scipy"),
        capabilities=("mpi",),
    ),
)
BENCHES: Final = (
    Entry(
        name="preconditioner",
        summary="learned coarse spaces and V-cycles, noise and liars behind a safe preconditioner, against AMG and LU",
        factory="cosolve.examples.preconditioning.bench:bench",
        requires=("petsc4py", "mpi4py", "torch", "scipy"),
    ),
)
