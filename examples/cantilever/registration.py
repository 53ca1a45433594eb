"""What this example registers; loads nothing heavy."""

from __future__ import annotations

from cosolve.core.entries import Entry

PROBLEMS = (
    Entry(
        name="cantilever",
        summary="large bending of neo-Hookean beams of random stiffness under random loads, steady (FEniCSx)",
        factory="cosolve.examples.cantilever.problem:CantileverProblem",
        contract="cosolve.examples.contracts:CantileverContract",
        options="cosolve.examples.cantilever.options:CantileverOptions",
        solver_options="cosolve.examples.cantilever.options:CantileverSolverOptions",
        requires=("dolfinx", "petsc4py", "mpi4py"),
        capabilities=("trainable", "train-imports-first:torch", "mpi"),
    ),
)

BENCHES = (
    Entry(
        name="newton",
        summary="learned starts of large-bending solves against load stepping, grid sequencing and others (FEniCSx)",
        factory="cosolve.examples.cantilever.bench:bench",
        requires=("dolfinx", "petsc4py", "mpi4py", "torch"),
    ),
)
