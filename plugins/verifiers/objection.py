"""Verifiers that may only reject: their consent says nothing about the proposal."""

from __future__ import annotations

from abc import abstractmethod

from cosolve.core.prediction import Prediction
from cosolve.core.query import Query
from cosolve.core.solver import Solver
from cosolve.core.verdict import Decision, Grade, Verdict
from cosolve.core.verifier import Verifier


class ObjectingVerifier(Verifier):
    """Objects or stays silent. Alone it never accepts: without an objection a proposal is a start for corrections.

    `all_of` treats it as what it is, a veto.
    """

    def _judge(self, solver: Solver, query: Query, prediction: Prediction) -> Verdict:
        objection, measure, tolerance = self.objection(solver, query, prediction)
        if objection:
            return Verdict(Decision.REJECT, Grade.ESTIMATED, measure, tolerance, objection)
        reason = f"no objection by {self.name}, which alone cannot vouch for a value"
        return Verdict(Decision.CORRECT, Grade.ESTIMATED, measure, tolerance, reason)

    @abstractmethod
    def objection(self, solver: Solver, query: Query, prediction: Prediction) -> tuple[str, float, float]:
        """Return the objection in one sentence (empty for none), what was measured and the limit (collective)."""
