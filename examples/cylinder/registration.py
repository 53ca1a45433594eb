"""What this example registers; loads nothing heavy."""

from __future__ import annotations

from cosolve.core.entries import Entry

_REQUIRES = ("dolfinx", "petsc4py", "mpi4py")

PROBLEMS = (
    Entry(
        name="cylinder",
        summary="unsteady flow past a cylinder (DFG 2D-3), pressure correction; a surrogate cannot pay here (FEniCSx)",
        factory="cosolve.examples.cylinder.problem:CylinderProblem",
        contract="cosolve.examples.contracts:CylinderContract",
        options="cosolve.examples.cylinder.options:CylinderOptions",
        solver_options="cosolve.examples.cylinder.options:CylinderSolverOptions",
        requires=_REQUIRES,
        capabilities=("trainable", "train-imports-first:torch", "mpi"),
    ),
)

SURROGATES = (
    Entry(
        name="cylinder_pod",
        summary="flow past a cylinder: joint POD modes of velocity and pressure times a small network",
        factory="cosolve.examples.cylinder.surrogate:CylinderSurrogate",
        contract="cosolve.examples.cylinder.contract:CylinderSurrogateContract",
        requires=("torch", *_REQUIRES),
        capabilities=("stored", "mpi"),
    ),
)

BENCHES = (
    Entry(
        name="cylinder",
        summary="flow past a cylinder: what asking costs where no surrogate can pay, against reference drag and lift",
        factory="cosolve.examples.cylinder.bench:bench",
        requires=("torch", *_REQUIRES),
    ),
)
