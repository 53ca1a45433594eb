"""What this example registers; loads nothing heavy."""

from __future__ import annotations

from cosolve.core.entries import Entry

PROBLEMS = (
    Entry(
        name="heat",
        summary="nonlinear heat conduction with a pulsed source, fully implicit, random parameters (FEniCSx)",
        factory="cosolve.examples.heat.problem:HeatProblem",
        contract="cosolve.examples.contracts:HeatContract",
        options="cosolve.examples.heat.options:HeatOptions",
        solver_options="cosolve.plugins.fenicsx.options:FormSolverOptions",
        requires=("dolfinx", "petsc4py", "mpi4py"),
        capabilities=("trainable", "train-imports-first:torch", "mpi"),
    ),
)
