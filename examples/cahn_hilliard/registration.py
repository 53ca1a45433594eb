"""What this example registers; loads nothing heavy."""

from __future__ import annotations

from cosolve.core.entries import Entry

PROBLEMS = (
    Entry(
        name="cahn_hilliard",
        summary="spinodal decomposition, mixed P1 x P1, energy-dissipating implicit steps (FEniCSx)",
        factory="cosolve.examples.cahn_hilliard.problem:CahnHilliardProblem",
        contract="cosolve.examples.contracts:CahnHilliardContract",
        options="cosolve.examples.cahn_hilliard.options:CahnHilliardOptions",
        solver_options="cosolve.plugins.fenicsx.options:FormSolverOptions",
        requires=("dolfinx", "petsc4py", "mpi4py"),
        capabilities=("mpi",),
    ),
)
