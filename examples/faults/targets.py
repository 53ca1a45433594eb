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
            methods={"surrogate": ("rate",)},
        ),
    )
}
