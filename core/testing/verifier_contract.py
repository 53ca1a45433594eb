"""What every verifier keeps, tested on the third party's own object."""

from __future__ import annotations

from cosolve.core.prediction import Prediction
from cosolve.core.query import Query
from cosolve.core.solver import Solver
from cosolve.core.testing.unimplemented import unimplemented
from cosolve.core.verdict import Decision, Grade, Verdict
from cosolve.core.verifier import Verifier


class VerifierContract:
    """Inherit, implement the four makers, and let pytest collect the class. Collective when run under mpirun."""

    may_accept = True
    """False for verifiers that may only reject (an envelope)."""

    def make(self) -> Verifier:
        """Return a ready verifier."""
        raise unimplemented(self, "make", "a ready verifier")

    def solver(self) -> Solver:
        """Return a solver to judge by."""
        raise unimplemented(self, "solver", "a solver to judge by")

    def good(self, solver: Solver) -> tuple[Query, Prediction]:
        """Return a question and a proposal that is right."""
        raise unimplemented(self, "good", "a Query and a right Prediction")

    def bad(self, solver: Solver) -> tuple[Query, Prediction]:
        """Return a question and a proposal that is wrong by the verifier's measure."""
        raise unimplemented(self, "bad", "a Query and a wrong Prediction")

    def _judge(self, good: bool) -> Verdict:
        solver = self.solver()
        query, prediction = self.good(solver) if good else self.bad(solver)
        verdict = self.make().judge(solver, query, prediction)
        solver.close()
        return verdict

    def test_it_says_what_it_guarantees_and_what_not(self) -> None:
        verifier = self.make()
        assert verifier.name
        assert verifier.name != Verifier.name, "give the class a `name`: the ledger and cases refer to it"
        assert verifier.guarantees
        assert verifier.does_not_guarantee

    def test_the_right_proposal_passes(self) -> None:
        verdict = self._judge(good=True)
        # One that may only reject never vouches: without an objection the proposal is a start for corrections.
        expected = Decision.ACCEPT if self.may_accept else Decision.CORRECT
        assert verdict.decision is expected, verdict.reason

    def test_the_wrong_proposal_does_not_pass(self) -> None:
        verdict = self._judge(good=False)
        assert not verdict.accepted, verdict.reason

    def test_the_reason_is_a_sentence_for_people(self) -> None:
        for good in (True, False):
            assert len(self._judge(good).reason.split()) >= 3

    def test_no_verdict_is_graded_above_the_verifier(self) -> None:
        if self.make().grade is Grade.ESTIMATED:
            assert self._judge(good=True).grade is Grade.ESTIMATED

    def test_the_record_is_plain_values(self) -> None:
        record = self._judge(good=True).as_record()
        assert record["decision"] in ("accept", "correct", "reject")
        assert record["grade"] in ("certified", "estimated")
