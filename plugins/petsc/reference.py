"""The absolute tolerance: relative to a reference norm that does not depend on the start.

PETSc's `rtol` is relative to the first residual of a SNES, so a good start would be punished by a harder test. Here it
keeps its number and changes what it is relative to: `max(rtol * reference, atol)`, the same for every start.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import TypeAlias

from cosolve.core import petsc_database
from cosolve.core.errors import BadInputError
from cosolve.core.query import Query

Reference: TypeAlias = "float | Callable[[Query], float] | None"


class Tolerance:
    """Absolute tolerance for each query.

    The command line wins (`-<prefix>ksp_rtol`), then what is given here, then what the user's own object says.

    Args:
        kind: `ksp` or `snes`: whose options are read.
        prefix: Prefix of the user's object.
        rtol: Relative tolerance; None for that of the user's object.
        atol: Absolute tolerance; None for that of the user's object.
        own: `(rtol, atol)` of the user's object after `setFromOptions`.
        reference: Reference norm: a number, a function of the query (alike on every rank), or None for `default`.
        default: Computes the reference norm where the user gave none (collective).

    Raises:
        BadInputError: A tolerance or the reference is no usable number.
    """

    def __init__(
        self,
        kind: str,
        prefix: str,
        *,
        rtol: float | None,
        atol: float | None,
        own: tuple[float, float],
        reference: Reference,
        default: Callable[[Query], float],
    ) -> None:
        self.rtol = petsc_database.number(prefix, f"{kind}_rtol", own[0] if rtol is None else rtol)
        self.atol = petsc_database.number(prefix, f"{kind}_atol", own[1] if atol is None else atol)
        for name, value in (("rtol", self.rtol), ("atol", self.atol)):
            if not (math.isfinite(value) and value >= 0.0) or (name == "rtol" and value >= 1.0):
                raise BadInputError(f"{name} must be a finite number, not negative, and rtol below 1; found {value!r}")
        if isinstance(reference, (int, float)) and not (math.isfinite(reference) and reference > 0.0):
            raise BadInputError(f"reference must be a positive number, a function of the query or None: {reference!r}")
        self._given, self._default = reference, default
        self._last: tuple[Query, float] | None = None

    def at(self, query: Query) -> float:
        """Return the absolute tolerance for `query` (collective)."""
        if self._last is None or self._last[0] is not query:
            if self._given is None:
                reference = self._default(query)
            else:
                reference = float(self._given(query)) if callable(self._given) else float(self._given)
            if not (math.isfinite(reference) and reference >= 0.0):
                raise BadInputError(f"the reference norm must be finite and not negative, found {reference!r}")
            self._last = (query, max(self.rtol * reference, self.atol))
        return self._last[1]
