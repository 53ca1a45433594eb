"""The `[solver]` table of problems in FEniCSx, checked without dolfinx."""

from __future__ import annotations

from typing import Literal

from cosolve.core.options import SolverOptions


class FormSolverOptions(SolverOptions):
    """What a case may choose of `FormSolver`; what it leaves out, the problem decides.

    PETSc's own options go into the `[petsc]` table or on the command line, under the solver's prefix.

    Attributes:
        predictor: Start of a step that gets none.
        reuse_jacobian: Keep the factorised Jacobian while Newton converges fast with it.
        prefix: Prefix of the PETSc options.
    """

    predictor: Literal["previous", "linear", "quadratic"] | None = None
    reuse_jacobian: bool | None = None
    prefix: str | None = None
