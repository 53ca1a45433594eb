"""Conservation and decay: what the equations keep whatever the solution is."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import ClassVar

from cosolve.core.errors import BadInputError, unknown_name
from cosolve.core.prediction import Prediction
from cosolve.core.query import Query
from cosolve.core.solver import Solver
from cosolve.core.verdict import Grade
from cosolve.plugins.verifiers.objection import ObjectingVerifier


class Invariants(ObjectingVerifier):
    """Rejects a proposal that changes a conserved quantity, or lets one rise that must not, by more than its limit.

    Args:
        conserved: Largest change in one step by name of the solver's invariant, relative to its scale.
        decaying: Largest rise in one step by name, relative to its scale.
        scale: Scale by name; by default the magnitude before the step, and 1 where that is zero.

    Raises:
        BadInputError: No quantity is named, or a limit is negative.
    """

    name: ClassVar[str] = "invariants"
    grade: ClassVar[Grade] = Grade.ESTIMATED
    guarantees: ClassVar[str] = (
        "no proposal passes that changes a named conserved quantity, or raises a named decaying one, by more than its "
        "limit in one step"
    )
    does_not_guarantee: ClassVar[str] = (
        "that a proposal which passes is right: another trajectory's state with the same mass and energy passes, too; "
        "so it may only reject"
    )

    def __init__(
        self,
        conserved: Mapping[str, float] | None = None,
        decaying: Mapping[str, float] | None = None,
        scale: Mapping[str, float] | None = None,
    ) -> None:
        self.conserved, self.decaying, self.scale = dict(conserved or {}), dict(decaying or {}), dict(scale or {})
        if not self.conserved and not self.decaying:
            raise BadInputError("invariants needs at least one name in `conserved` or `decaying`, e.g. {'mass': 1e-8}")
        for name, limit in (self.conserved | self.decaying).items():
            if not 0.0 <= limit < math.inf:
                raise BadInputError(f"the limit of invariant {name!r} must be finite and not negative, found {limit!r}")

    def objection(self, solver: Solver, query: Query, prediction: Prediction) -> tuple[str, float, float]:
        """Return the objection about the quantity that is furthest beyond its limit (collective)."""
        before = solver.invariants(query.state)
        after = solver.invariants(prediction.value)
        worst = ("", 0.0, math.inf, -math.inf)
        for limits, risen in ((self.conserved, False), (self.decaying, True)):
            for name, limit in limits.items():
                if name not in before:
                    raise BadInputError(unknown_name("invariant of the solver", name, before))
                scale = self.scale.get(name) or abs(before[name]) or 1.0
                change = (after[name] - before[name]) / scale
                size = change if risen else abs(change)
                excess = math.inf if math.isnan(size) else size - limit
                if excess > worst[3]:
                    verb = "rises" if risen else "changes"
                    text = f"{name} {verb} by {size:.3g} of its scale in this step, {limit:.3g} is allowed"
                    worst = (text if excess > 0.0 else "", size, limit, excess)
        return worst[0], worst[1], worst[2]
