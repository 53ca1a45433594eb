"""Scalars of a state: invariants, quantities of interest and the L2 norm, from the user's own forms."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import dolfinx.fem
import numpy as np
import ufl
from cosolve.core.arrays import Array
from cosolve.core.communicator import Communicator
from cosolve.core.errors import BadInputError
from cosolve.plugins.fenicsx.assembly import Assembly


class Functionals:
    """Named scalar forms of the unknown, all reduced in one communication.

    Args:
        assembly: Whose unknown the forms contain.
        forms: UFL forms without test or trial functions, by name.
        comm: Communicator of the reduction.
        what: What they are, for error sentences.
    """

    def __init__(self, assembly: Assembly, forms: Mapping[str, Any], comm: Communicator, what: str) -> None:
        for name, form in forms.items():
            if form.arguments():
                raise BadInputError(f"{what} {name!r} must be a scalar form, but has a test or trial function")
        self.assembly, self.comm = assembly, comm
        self._forms = {name: dolfinx.fem.form(form) for name, form in forms.items()}

    def at(self, state: Array) -> dict[str, float]:
        """Return the values at `state` by name (collective)."""
        if not self._forms:
            return {}
        self.assembly.set_state(state)
        local = np.array([float(np.real(dolfinx.fem.assemble_scalar(form))) for form in self._forms.values()])
        total = np.zeros_like(local)
        self.comm.Allreduce(local, total)
        return dict(zip(self._forms, total.tolist(), strict=True))


class L2Norm:
    """The L2 norm over the domain; of all fields of a mixed space together."""

    def __init__(self, assembly: Assembly, comm: Communicator) -> None:
        self._squared = Functionals(assembly, {"squared": ufl.inner(assembly.u, assembly.u) * ufl.dx}, comm, "the norm")

    def __call__(self, state: Array) -> float:
        """Return the norm of `state`, owned values of shape `(n_owned,)` (collective)."""
        return math.sqrt(max(self._squared.at(state)["squared"], 0.0))
