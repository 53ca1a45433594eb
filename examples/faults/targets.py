"""The couplings in the matrix of faults: one line joins another one.

A factory takes the communicator and the role whose fault is planted, and returns a
`cosolve.core.testing.fault_matrix.FaultCase`. Where that role is the solver, nobody should propose.
"""

from __future__ import annotations

from typing import Final

from cosolve.core.testing.fault_matrix import FaultTarget
from cosolve.core.verdict import Grade

_HERE: Final = "cosolve.examples.faults"

TARGETS: Final[dict[str, FaultTarget]] = {
    target.name: target
    for target in (
        FaultTarget("time_loop", f"{_HERE}.time_loop_case:small"),
        FaultTarget("time_loop_fenicsx", f"{_HERE}.time_loop_case:heat", requires=("dolfinx", "petsc4py", "mpi4py")),
        FaultTarget("initial_guess", f"{_HERE}.initial_guess_case:small"),
        FaultTarget(
            "cycle_jump",
            f"{_HERE}.cycle_jump_case:small",
            grade=Grade.ESTIMATED,
            # What the judge of a cycle jump looks at is the surrogate's rate, not the state that it proposes.
            methods={"surrogate": ("told_rate",)},
            told_step=("surrogate",),
        ),
        FaultTarget(
            "petsc_ts",
            f"{_HERE}.petsc_ts_case:small",
            requires=("petsc4py", "mpi4py"),
            # The solver is the user's own TS: what can fail in it is what PETSc calls back.
            methods={"solver": ("rates",)},
            told_step=("solver",),
        ),
        FaultTarget(
            "branching",
            f"{_HERE}.branching_case:small",
            requires=("pyscipopt",),
            roles=("surrogate",),
            methods={"surrogate": ("scores",)},
            most_ranks=1,
            checkpoints=False,
        ),
    )
}

NOT_IN_THE_MATRIX: Final[dict[str, str]] = {
    "preconditioner": "not joined yet; tests/plugins/petsc/test_learned_krylov.py plants its faults, on several ranks",
    "classical_cycle_jump": "a rival of cycle_jump: nobody proposes",
    "full_stepping": "a rival of cycle_jump: nobody proposes",
    "controlled_full_stepping": "a rival of cycle_jump: nobody proposes",
    "bare_stepping": "a rival of cycle_jump without cosolve: nobody proposes",
    "adaptive_stepping": "a rival of time_loop: nobody proposes",
    "compared_time_loop": "runs time_loop, and rivals beside it",
    "compared_cycle_jump": "runs cycle_jump, and rivals beside it",
}
"""Registered couplings that are no target, each with its reason."""
