"""Null spaces: pure Neumann problems, floating bodies, pressures known up to a constant."""

from __future__ import annotations

from typing import Any

import numpy as np
from cosolve.core.errors import BadInputError
from cosolve.plugins.fenicsx.assembly import ghosted
from petsc4py import PETSc


def null_space_of(given: Any, u: Any) -> tuple[Any, bool]:
    """Return a PETSc null space and whether we made it (collective).

    Args:
        given: None, `"constant"`, a sequence of functions of the space of `u`, or a `PETSc.NullSpace`.
        u: The unknown.

    Raises:
        BadInputError: Another word was given, or the functions are linearly dependent.
    """
    comm = u.function_space.mesh.comm
    if given is None:
        return None, False
    if isinstance(given, PETSc.NullSpace):
        return given, False
    if isinstance(given, str):
        if given != "constant":
            raise BadInputError(f"null_space must be 'constant', functions or a PETSc.NullSpace, found {given!r}")
        return PETSc.NullSpace().create(constant=True, comm=comm), True
    vectors: list[Any] = []
    for function in given:
        view = ghosted(function)
        vector = view.copy()
        view.destroy()
        for other in vectors:
            vector.axpy(-vector.dot(other), other)
        length = vector.norm()
        if not np.isfinite(length) or length < 1e-12:
            raise BadInputError(f"function {len(vectors)} of null_space is zero or depends on those before it")
        vector.scale(1.0 / length)
        vectors.append(vector)
    space = PETSc.NullSpace().create(vectors=vectors, comm=comm)
    for vector in vectors:
        vector.destroy()
    return space, True
