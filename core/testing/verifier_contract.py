"""What every verifier keeps, tested on the third party's own object."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from cosolve.core.arrays import Array
from cosolve.core.errors import CosolveError
from cosolve.core.prediction import Prediction
from cosolve.core.query import Query
from cosolve.core.solver import Solver
from cosolve.core.testing.contract import Contract, group
from cosolve.core.testing.fault_runs import check_run, classical_run, faults, hybrid_run
from cosolve.core.testing.faults import plant
from cosolve.core.testing.faulty_parts import OracleSurrogate
from cosolve.core.testing.mean_field import MeanFieldSolver
from cosolve.core.testing.memory import growth
from cosolve.core.testing.unimplemented import unimplemented
from cosolve.core.verdict import Decision, Grade, Verdict
from cosolve.core.verifier import Verifier


class VerifierContract(Contract):
    """Inherit, implement the four makers, and let pytest collect the class. Collective when run under mpirun."""

    may_accept = True
    """False for verifiers that may only reject (an envelope)."""
    fault_rtol = 1e-5
    """How near a run with failing proposals must be to the classical one, relative to the largest value."""

    def make(self) -> Verifier:
        """Return a ready verifier."""
        verifier: Verifier = self.made("a ready verifier")
        return verifier

    def solver(self) -> Solver:
        """Return a solver to judge by, on `self.comm`."""
        if self.entry is None:
            raise unimplemented(self, "solver", "a solver to judge by")
        return MeanFieldSolver(comm=self.comm, cubic=0.0, empty_rank=self.without_values)

    def good(self, solver: Solver) -> tuple[Query, Prediction]:
        """Return a question and a proposal that is right."""
        if self.entry is None:
            raise unimplemented(self, "good", "a Query and a right Prediction")
        query = Query(solver.initial_state(), 0.0, 0.1)
        return query, Prediction(solver.step(query).value.copy())

    def bad(self, solver: Solver) -> tuple[Query, Prediction]:
        """Return a question and a proposal that is wrong by the verifier's measure."""
        if self.entry is None:
            raise unimplemented(self, "bad", "a Query and a wrong Prediction")
        query, right = VerifierContract.good(self, solver)
        return query, Prediction(right.value + 100.0 * (1.0 + np.abs(right.value)))

    def _judge(self, good: bool) -> Verdict:
        solver = self.solver()
        query, prediction = self.good(solver) if good else self.bad(solver)
        verdict = self.make().judge(solver, query, prediction)
        solver.close()
        assert isinstance(verdict, Verdict), f"`_judge` must return a Verdict, got {type(verdict).__name__}"
        return verdict

    def test_it_says_what_it_guarantees_and_what_not(self) -> None:
        verifier = self.make()
        assert verifier.name, "its name is empty"
        assert verifier.name != Verifier.name, "give the class a `name`: the ledger and cases refer to it"
        assert verifier.guarantees, "say in `guarantees` what an acceptance guarantees"
        assert verifier.does_not_guarantee, "say in `does_not_guarantee` what an acceptance does not guarantee"

    def test_it_leaves_the_public_methods_alone(self) -> None:
        assert type(self.make()).judge is Verifier.judge, (
            "it overrides `judge`, which validates; write `_judge` instead"
        )

    def test_the_right_proposal_passes(self) -> None:
        verdict = self._judge(good=True)
        # One that may only reject never vouches: without an objection the proposal is a start for corrections.
        expected = Decision.ACCEPT if self.may_accept else Decision.CORRECT
        assert verdict.decision is expected, (
            f"the right proposal is answered with {verdict.decision.value}: {verdict.reason}"
        )

    def test_the_wrong_proposal_does_not_pass(self) -> None:
        verdict = self._judge(good=False)
        assert not verdict.accepted, f"a wrong proposal is accepted: {verdict.reason}"

    def test_the_reason_is_a_sentence_for_people(self) -> None:
        for good in (True, False):
            reason = self._judge(good).reason
            assert len(reason.split()) >= 3, f"the reason {reason!r} is no sentence for people"

    def test_no_verdict_is_graded_above_the_verifier(self) -> None:
        if self.make().grade is Grade.ESTIMATED:
            grade = self._judge(good=True).grade
            assert grade is Grade.ESTIMATED, "the verifier is an estimate, and calls its verdict certified"

    def test_the_record_is_plain_values(self) -> None:
        record = self._judge(good=True).as_record()
        assert record["decision"] in ("accept", "correct", "reject"), f"unknown decision {record['decision']!r}"
        assert record["grade"] in ("certified", "estimated"), f"unknown grade {record['grade']!r}"

    def test_a_certified_acceptance_implies_the_residual_test(self) -> None:
        """Errors of growing size: what is accepted as certified is below the solver's own tolerance."""
        solver = self.solver()
        query, prediction = self.good(solver)
        verifier = self.make()
        for size in 10.0 ** np.arange(-12.0, 2.0):
            value = prediction.value + size * np.cos(np.arange(prediction.value.size, dtype=np.float64))
            verdict = verifier.judge(solver, query, Prediction(value.astype(prediction.value.dtype)))
            if verdict.accepted and verdict.grade is Grade.CERTIFIED:
                ratio = solver.measure(query, value).ratio
                assert ratio <= 1.0, (
                    f"a proposal with an error of {size:.0e} is accepted as certified, and its residual is {ratio:.3g} "
                    "times the solver's tolerance"
                )
        solver.close()

    @group("determinism")
    def test_the_same_proposal_has_the_same_verdict(self) -> None:
        for good in (True, False):
            first, second = self._judge(good), self._judge(good)
            assert first.decision is second.decision, "the same proposal has two verdicts"
            assert _same(first.measure, second.measure), (
                f"the same proposal measures {first.measure!r} and {second.measure!r}"
            )

    @group("contract")
    def test_proposal_and_question_are_left_as_they_were(self) -> None:
        solver = self.solver()
        query, prediction = self.good(solver)
        state, value = query.state.copy(), prediction.value.copy()
        self.make().judge(solver, query, prediction)
        assert np.array_equal(query.state, state), "it changes the state of the question in place"
        assert np.array_equal(prediction.value, value), "it changes the proposal in place"
        solver.close()

    @group("inputs")
    def test_a_proposal_that_does_not_fit_is_refused_by_a_typed_error(self) -> None:
        solver = self.solver()
        query, prediction = self.good(solver)
        value = prediction.value
        wrong = {
            "shape: one value too many": np.append(value, 0.0),
            "shape: one axis too many": value[:, None],
            "dtype: half precision": value.astype(np.float16),
            "dtype: whole numbers": np.zeros(value.shape, np.int64),
        }
        for what, values in wrong.items():
            try:
                self.make().judge(solver, query, replace(prediction, value=values))
            except CosolveError:
                continue
            except Exception as error:
                raise AssertionError(
                    f"{what}: expected an error of cosolve, got {type(error).__name__}: {error}"
                ) from error
            raise AssertionError(f"{what}: expected an error of cosolve, but it judges")
        solver.close()

    @group("inputs")
    def test_nan_is_never_accepted(self) -> None:
        solver = self.solver()
        query, prediction = self.good(solver)
        if prediction.value.size:
            broken = prediction.value.copy()
            broken[-1] = np.nan
            try:
                verdict = self.make().judge(solver, query, replace(prediction, value=broken))
            except Exception:  # a refusal: the session makes a rejection of it
                return
            assert not verdict.accepted, f"a proposal with NaN is accepted: {verdict.reason}"
        solver.close()

    @group("memory")
    def test_memory_does_not_grow(self) -> None:
        solver = self.solver()
        query, prediction = self.good(solver)
        verifier = self.make()
        grown = growth(lambda index: verifier.judge(solver, replace(query, step=index), prediction), self.calls)
        assert not grown, f"{grown}, asked to judge the same proposal"
        solver.close()

    @group("ranks")
    def test_the_verdict_is_the_same_on_every_rank(self) -> None:
        solver = self.solver()
        comm = solver.comm
        query, prediction = self.good(solver)
        verifier = self.make()
        last = comm.Get_rank() == comm.Get_size() - 1
        for what, error in (("a right proposal", 0.0), ("a proposal that is wrong on one rank", 100.0)):
            value = prediction.value + (error if last and prediction.value.size else 0.0)
            verdict = verifier.judge(solver, query, replace(prediction, value=value))
            told = comm.allgather((verdict.decision.value, verdict.grade.value))
            assert len(set(told)) == 1, (
                f"{what} is judged {', '.join(f'{said} on rank {rank}' for rank, (said, _) in enumerate(told))}: "
                "decide on reduced values only"
            )
        solver.close()

    @group("faults")
    def test_whatever_a_proposal_does_wrong_the_run_ends_well(self) -> None:
        solver = self.solver()
        start, _ = self.good(solver)
        states = classical_run(solver, start)
        verifier = self.make()
        for fault in faults("surrogate", self.comm.Get_size(), lies=verifier.grade is Grade.CERTIFIED):
            oracle = OracleSurrogate(lambda query: states[query.step + 1], self.comm)
            with plant(oracle, fault, self.comm):
                outcomes = hybrid_run(solver, verifier, [oracle], start, impatient=True)
            check_run(outcomes, states, start, self.fault_rtol, f"{fault.kind} in the proposal", solver)
        if verifier.grade is Grade.CERTIFIED:
            for error in (1e3, 1.0, 1e-3):
                liar = OracleSurrogate(lambda query: states[query.step + 1], self.comm, error=error)
                outcomes = hybrid_run(solver, verifier, [liar], start)
                check_run(outcomes, states, start, self.fault_rtol, f"a lie that is {error:g} off", solver)
        solver.close()

    def trial(self) -> None:
        self.make()

    def probe(self) -> dict[str, Array]:
        """Return decision and measure of a right and a wrong proposal (collective)."""
        if self.serial:
            return {}
        codes = {Decision.ACCEPT: 0.0, Decision.CORRECT: 1.0, Decision.REJECT: 2.0}
        return {
            f"verdict on the {'right' if good else 'wrong'} proposal": np.array([codes[self._judge(good).decision]])
            for good in (True, False)
        }


def _same(one: float, other: float) -> bool:
    return one == other or (np.isnan(one) and np.isnan(other))
