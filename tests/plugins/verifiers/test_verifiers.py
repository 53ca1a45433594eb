from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import pytest
from cosolve.core.arrays import Array
from cosolve.core.communicator import SerialCommunicator
from cosolve.core.errors import BadInputError
from cosolve.core.prediction import Prediction
from cosolve.core.query import Query
from cosolve.core.solver import ResidualMeasure, Solver, SolveResult
from cosolve.core.testing import VerifierContract
from cosolve.core.verdict import Decision, Grade, Verdict
from cosolve.core.verifier import Verifier
from cosolve.plugins.verifiers import AllOf, Envelope, FirstOf, Invariants, Residual


class Decay(Solver):
    """u' = -u by implicit Euler for each of four values; the residual is (1 + dt) u - u_n in two blocks."""

    name = "decay"

    def __init__(self) -> None:
        self.comm = SerialCommunicator()

    @property
    def n_owned(self) -> int:
        return 4

    def initial_state(self) -> Array:
        return np.array([1.0, 2.0, 3.0, 4.0])

    def _step(self, query: Query, x0: Array | None) -> SolveResult:
        return SolveResult(query.state / (1.0 + query.dt), True)

    def measure(self, query: Query, candidate: Array) -> ResidualMeasure:
        r = (1.0 + query.dt) * candidate - query.state
        norms = {"first": float(np.linalg.norm(r[:2])), "second": float(np.linalg.norm(r[2:]))}
        return ResidualMeasure(norms, {"first": 1e-6, "second": 1e-3})

    def invariants(self, state: Array) -> Mapping[str, float]:
        return {"sum": float(state.sum()), "energy": float(state @ state)}


QUERY = Query(np.array([1.0, 2.0, 3.0, 4.0]), 0.0, 0.1, parameters={"q": 2.0, "many": np.array([0.1, 0.9])})
EXACT = QUERY.state / 1.1


def judge(verifier: Verifier, value: Array) -> Verdict:
    return verifier.judge(Decay(), QUERY, Prediction(value, "test"))


class VerifierTests(VerifierContract):
    def solver(self) -> Solver:
        return Decay()

    def good(self, solver: Solver) -> tuple[Query, Prediction]:
        return QUERY, Prediction(EXACT)

    def bad(self, solver: Solver) -> tuple[Query, Prediction]:
        return QUERY, Prediction(2.0 * QUERY.state)


class TestResidual(VerifierTests):
    def make(self) -> Verifier:
        return Residual()


class TestInvariants(VerifierTests):
    may_accept = False

    def make(self) -> Verifier:
        return Invariants(decaying={"energy": 0.0})


class TestEnvelope(VerifierTests):
    may_accept = False

    def make(self) -> Verifier:
        return Envelope({"q": (1.0, 3.0)})

    def bad(self, solver: Solver) -> tuple[Query, Prediction]:
        return Query(QUERY.state, 0.0, 0.1, parameters={"q": 4.0}), Prediction(EXACT)


class TestAllOf(VerifierTests):
    def make(self) -> Verifier:
        return AllOf([Envelope({"q": (1.0, 3.0)}), {"name": "residual", "accept_fraction": 0.25}])


class TestFirstOf(VerifierTests):
    def make(self) -> Verifier:
        return FirstOf([Residual()])


def test_the_worst_block_decides_and_is_named() -> None:
    value = EXACT.copy()
    value[0] += 1e-5
    verdict = judge(Residual(), value)
    assert verdict.decision is Decision.CORRECT
    assert "block 'first'" in verdict.reason
    assert "11 times the tolerance 1e-06" in verdict.reason
    value = EXACT.copy()
    value[2] += 1e-5
    assert judge(Residual(), value).accepted


@pytest.mark.parametrize(
    ("error", "decision"),
    [(0.4e-6, Decision.ACCEPT), (0.6e-6, Decision.CORRECT), (90e-6, Decision.CORRECT), (110e-6, Decision.REJECT)],
)
def test_the_thresholds_are_those_stated(error: float, decision: Decision) -> None:
    value = EXACT.copy()
    value[0] += error / 1.1
    verdict = judge(Residual(accept_fraction=0.5, correct_ratio=100.0), value)
    assert verdict.decision is decision
    assert verdict.grade is Grade.CERTIFIED


def test_a_measure_that_is_not_a_number_is_rejected() -> None:
    verdict = judge(Residual(), np.full(4, np.nan))
    assert verdict.decision is Decision.REJECT
    assert "is not a number" in verdict.reason


def test_invariants_object_to_what_they_name_only() -> None:
    moved = EXACT + np.array([0.1, -0.1, 0.0, 0.0])
    assert judge(Invariants(decaying={"energy": 0.0}), moved).decision is Decision.CORRECT
    kept = judge(Invariants(conserved={"sum": 1e-3}), EXACT)
    assert kept.decision is Decision.REJECT
    assert kept.reason == "sum changes by 0.0909 of its scale in this step, 0.001 is allowed"
    assert judge(Invariants(conserved={"sum": 0.1}), EXACT).decision is Decision.CORRECT
    risen = judge(Invariants(decaying={"energy": 0.0}), 1.01 * QUERY.state)
    assert "energy rises by 0.0201" in risen.reason
    with pytest.raises(BadInputError, match=r"unknown invariant of the solver 'sume'; did you mean 'sum'"):
        judge(Invariants(conserved={"sume": 1.0}), EXACT)


def test_the_envelope_looks_at_every_entry_and_allows_a_margin() -> None:
    assert judge(Envelope({"many": (0.0, 1.0)}), EXACT).decision is Decision.CORRECT
    outside = judge(Envelope({"many": (0.2, 1.0)}), EXACT)
    assert outside.decision is Decision.REJECT
    assert outside.reason == "parameter 'many' lies outside the training range [0.2, 1]"
    assert judge(Envelope({"many": (0.2, 1.0)}, margin=0.2), EXACT).decision is Decision.CORRECT
    assert "is not among the query's parameters" in judge(Envelope({"other": (0.0, 1.0)}), EXACT).reason


class Says(Verifier):
    """Says what it is told."""

    name = "says"
    guarantees = does_not_guarantee = "nothing"

    def __init__(self, decision: Decision, grade: Grade = Grade.ESTIMATED) -> None:
        self.decision, self.verdict_grade, self.asked = decision, grade, 0

    def _judge(self, solver: Solver, query: Query, prediction: Prediction) -> Verdict:
        self.asked += 1
        return Verdict(self.decision, self.verdict_grade, 1.0, 2.0, "it says so")


def test_all_of_takes_the_most_severe_verdict_and_stops_at_a_rejection() -> None:
    accept, correct, reject = Says(Decision.ACCEPT), Says(Decision.CORRECT), Says(Decision.REJECT)
    assert judge(AllOf([accept, correct]), EXACT).decision is Decision.CORRECT
    last = Says(Decision.ACCEPT)
    assert judge(AllOf([accept, reject, last]), EXACT).decision is Decision.REJECT
    assert last.asked == 0
    veto = AllOf([Envelope({"q": (5.0, 6.0)}), last])
    assert judge(veto, EXACT).decision is Decision.REJECT
    assert last.asked == 0


def test_all_of_has_the_best_grade_among_acceptances() -> None:
    estimate, proof = Says(Decision.ACCEPT), Says(Decision.ACCEPT, Grade.CERTIFIED)
    for members in ([estimate, proof], [proof, estimate]):
        assert judge(AllOf(members), EXACT).grade is Grade.CERTIFIED
    assert judge(AllOf([estimate, estimate]), EXACT).grade is Grade.ESTIMATED
    weaker = judge(AllOf([estimate, Says(Decision.CORRECT, Grade.CERTIFIED)]), EXACT)
    assert weaker.decision is Decision.CORRECT


def test_first_of_takes_the_first_acceptance_else_the_mildest() -> None:
    later = Says(Decision.ACCEPT)
    assert judge(FirstOf([Says(Decision.REJECT), Says(Decision.ACCEPT, Grade.CERTIFIED), later]), EXACT).accepted
    assert later.asked == 0
    assert judge(FirstOf([Says(Decision.REJECT), Says(Decision.CORRECT)]), EXACT).decision is Decision.CORRECT


def test_compositions_that_make_no_sense_are_refused() -> None:
    with pytest.raises(BadInputError, match="all_of needs a member that can accept"):
        AllOf([Envelope({"q": (0.0, 1.0)})])
    with pytest.raises(BadInputError, match="first_of cannot hold 'envelope'"):
        FirstOf([Residual(), Envelope({"q": (0.0, 1.0)})])
    with pytest.raises(BadInputError, match="unknown verifier 'residul'; did you mean 'residual'"):
        AllOf([{"name": "residul"}])
    with pytest.raises(BadInputError, match=r"accept_fraction must lie in \(0, 1\]"):
        Residual(accept_fraction=2.0)
