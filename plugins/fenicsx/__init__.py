"""FEniCSx: a user's own UFL forms, boundary conditions and function spaces as a solver.

`FormSolver`, `FieldWriter` and `interpolate` are loaded when they are first used: registering loads no dolfinx.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

from cosolve.core.entries import Entry
from cosolve.core.hookspecs import hookimpl

if TYPE_CHECKING:
    from cosolve.plugins.fenicsx.form_solver import FormSolver
    from cosolve.plugins.fenicsx.output import FieldWriter
    from cosolve.plugins.fenicsx.transfer import Prolongation, interpolate

COSOLVE_API_VERSION = 1

__all__ = ["FieldWriter", "FormSolver", "Prolongation", "interpolate"]

_LAZY = {
    "FormSolver": "cosolve.plugins.fenicsx.form_solver",
    "FieldWriter": "cosolve.plugins.fenicsx.output",
    "Prolongation": "cosolve.plugins.fenicsx.transfer",
    "interpolate": "cosolve.plugins.fenicsx.transfer",
}


def __getattr__(name: str) -> Any:
    if name in _LAZY:
        return getattr(importlib.import_module(_LAZY[name]), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


@hookimpl
def cosolve_solvers() -> list[Entry]:
    """Register the solver of a user's own forms."""
    return [
        Entry(
            name="fenicsx",
            summary="your own UFL forms, boundary conditions and spaces as a solver (Newton by PETSc's SNES)",
            factory="cosolve.plugins.fenicsx.form_solver:FormSolver",
            contract="cosolve.plugins.fenicsx.contract:FormSolverContract",
            requires=("dolfinx", "petsc4py", "mpi4py"),
            capabilities=("certified", "mpi"),
        )
    ]
