"""The one place that knows how petsc4py 3.18 differs from 3.22 to 3.25. No other file asks for a version."""

from __future__ import annotations

from typing import Any

import numpy as np
from cosolve.core.errors import BadInputError
from petsc4py import PETSc


def refuse_complex(what: str) -> None:
    """Refuse a build of PETSc with complex numbers (not collective).

    Raises:
        BadInputError: PETSc's scalars are complex.
    """
    if np.issubdtype(PETSc.ScalarType, np.complexfloating):
        raise BadInputError(
            f"{what} shares memory with real states, but this PETSc was built with complex numbers "
            f"({np.dtype(PETSc.ScalarType).name}). Use a real build: on Debian python3-petsc4py-real, "
            "or PETSC_ARCH of a build without --with-scalar-type=complex"
        )


def set_divergence_tolerance(snes: Any) -> None:
    """Let no SNES stop because its residual grew relative to the first one: a good start would be punished.

    `setDivergenceTolerance` came to petsc4py with 3.20; before, the option is the only way, and it is left alone.
    """
    if hasattr(snes, "setDivergenceTolerance"):
        snes.setDivergenceTolerance(-1.0)
