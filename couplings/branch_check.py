"""Branch check: is the solution that a learned start led to the one that continuation finds?

A residual of zero does not tell on which branch a solution lies. Three tests, from cheap to sure:

* energy: the solution's energy is not above that of the state before the solve, as a stable descent demands;
* stability: the Jacobian has no negative eigenvalue, as on the branch that a load path from rest follows until its
  first turning point (for equations that come from an energy);
* audit: on a drawn fraction of the solves the continuation is run, too, and the two answers are compared.

What was audited is `certified` as to the branch; all else is `estimated`.
"""

from __future__ import annotations

import math
from typing import ClassVar

import numpy as np
from cosolve.core.arrays import Array
from cosolve.core.errors import BadInputError
from cosolve.core.prediction import Prediction
from cosolve.core.query import Query
from cosolve.core.solver import Solver
from cosolve.core.verdict import Decision, Grade, Verdict
from cosolve.core.verifier import Verifier


class BranchCheck(Verifier):
    """Judges a converged solution by its branch.

    Args:
        stable: Reject a solution whose Jacobian has negative eigenvalues.
        energy: Name of an invariant or quantity of the solver that must not exceed what the state before the solve
            has; empty for none.
        audit_share: Share of the solves, drawn by `seed` and the number of the transaction, that are compared with the
            solver's own continuation; charged as any verdict.
        distance: Largest relative distance from the continuation's answer, in the solver's norm.
        seed: Draws the audited solves, the same on every rank.

    Raises:
        BadInputError: A share or a distance has no meaning.
    """

    name: ClassVar[str] = "branch"
    grade: ClassVar[Grade] = Grade.CERTIFIED
    guarantees: ClassVar[str] = "an audited solution is the one that the solver's own continuation finds"
    does_not_guarantee: ClassVar[str] = "that an unaudited one is: a stable solution of another branch may pass"

    def __init__(
        self,
        *,
        stable: bool = True,
        energy: str = "",
        audit_share: float = 0.0,
        distance: float = 1e-3,
        seed: int = 0,
    ) -> None:
        if not 0.0 <= audit_share <= 1.0:
            raise BadInputError(f"audit_share must be between 0 and 1, got {audit_share!r}")
        if not distance > 0.0:
            raise BadInputError(f"distance must be a positive number, got {distance!r}")
        self.stable, self.energy, self.audit_share = stable, energy, audit_share
        self.distance, self.seed = distance, seed

    def audits(self, step: int) -> bool:
        """Return whether the transaction of this number is compared with the continuation."""
        return self.audit_share > 0.0 and np.random.default_rng([self.seed, step]).uniform() < self.audit_share

    def _judge(self, solver: Solver, query: Query, prediction: Prediction) -> Verdict:
        value = prediction.value
        if not math.isfinite(solver.norm(value)):
            return _verdict(Decision.REJECT, Grade.CERTIFIED, math.inf, 0.0, "it has values that are not finite")
        if self.energy:
            verdict = self._by_energy(solver, query, value)
            if verdict is not None:
                return verdict
        negative = solver.negative_directions(query, value) if self.stable else 0
        if negative > 0:
            return _verdict(
                Decision.REJECT, Grade.CERTIFIED, negative, 0.0, f"unstable: {negative} negative eigenvalues"
            )
        if not self.audits(query.step):
            reason = "the Jacobian has no negative eigenvalue" if self.stable else "the branch was not looked at"
            return _verdict(Decision.ACCEPT, Grade.ESTIMATED, 0.0, 0.0, f"{reason}; not audited")
        found = solver.step(query)
        if not found.converged:
            reason = f"the audit's continuation did not converge ({found.reason}); nothing to compare with"
            return _verdict(Decision.ACCEPT, Grade.ESTIMATED, 0.0, self.distance, reason)
        size = solver.norm(found.value)
        away = solver.norm(value - found.value) / (size if size > 0.0 else 1.0)
        if away <= self.distance:
            return _verdict(Decision.ACCEPT, Grade.CERTIFIED, away, self.distance, "audited: continuation agrees")
        reason = f"audited: continuation finds another solution, {away:.3g} away"
        return _verdict(Decision.REJECT, Grade.CERTIFIED, away, self.distance, reason)

    def _by_energy(self, solver: Solver, query: Query, value: Array) -> Verdict | None:
        """Return a rejection where the energy is higher than that of the state before the solve."""
        energies = []
        for state in (query.state, value):
            known = {**solver.invariants(state), **solver.quantities(state)}
            if self.energy not in known:
                names = ", ".join(sorted(known)) or "none"
                raise BadInputError(f"the solver has no invariant or quantity {self.energy!r}; it has {names}")
            energies.append(known[self.energy])
        before, after = energies
        if after <= before + 1e-9 * abs(before):
            return None
        measure = after if math.isfinite(after) else math.inf
        return _verdict(Decision.REJECT, Grade.ESTIMATED, measure, before, f"its {self.energy} exceeds the start's")


def _verdict(decision: Decision, grade: Grade, measure: float, tolerance: float, reason: str) -> Verdict:
    return Verdict(decision, grade, measure, tolerance, reason, BranchCheck.name)
