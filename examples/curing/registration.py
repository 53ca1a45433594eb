"""What this example registers; loads nothing heavy."""

from __future__ import annotations

from cosolve.core.entries import Entry

PROBLEMS = (
    Entry(
        name="curing",
        summary="hundreds of cycles of a curing process under a heat load that changes in blocks (FEniCSx)",
        factory="cosolve.examples.curing.problem:CuringProblem",
        contract="cosolve.examples.curing.contract:CuringContract",
        options="cosolve.examples.curing.options:CuringOptions",
        solver_options="cosolve.examples.curing.options:CuringSolverOptions",
        requires=("dolfinx", "petsc4py", "mpi4py"),
        capabilities=("trainable", "mpi"),
    ),
)

COUPLINGS = (
    Entry(
        name="compared_cycle_jump",
        summary="the hybrid cycle jump of the curing process beside its classical rivals, in the same run",
        factory="cosolve.examples.curing.compared:ComparedCycleJump",
        contract="cosolve.examples.curing.contract:ComparedCycleJumpContract",
        options="cosolve.examples.curing.options:ComparedOptions",
        requires=("dolfinx", "petsc4py", "mpi4py"),
        capabilities=("estimated", "mpi"),
    ),
    Entry(
        name="bare_stepping",
        summary="every cycle of the curing process run by plain dolfinx and PETSc, without cosolve",
        factory="cosolve.examples.curing.bare_rival:BareCuring",
        contract="cosolve.examples.curing.contract:BareCuringContract",
        requires=("dolfinx", "petsc4py", "mpi4py"),
        baseline=True,
        capabilities=("mpi",),
    ),
)

SURROGATES = (
    Entry(
        name="curing_slow",
        summary="slow evolution of the curing process: POD bases times small networks, on any mesh",
        factory="cosolve.examples.curing.surrogate:CuringSurrogate",
        contract="cosolve.examples.curing.contract:CuringSurrogateContract",
        capabilities=("mesh-transferable", "mpi"),
    ),
)
