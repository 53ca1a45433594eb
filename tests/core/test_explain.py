"""Why a step was accepted or not, in plain sentences."""

from __future__ import annotations

from pathlib import Path

import pytest
from cosolve.core.errors import BadInputError
from cosolve.core.explain import explain
from cosolve.core.governor import Governor
from cosolve.core.ledger import Ledger
from cosolve.core.loop import Loop
from cosolve.core.query import Query
from cosolve.core.session import Session
from cosolve.core.testing.faults import Fault
from cosolve.core.testing.faulty_parts import FaultySolver, OracleSurrogate
from cosolve.core.testing.mean_field import MeanFieldSolver, RatioVerifier


@pytest.fixture
def run(tmp_path: Path) -> Path:
    """Steps 0 to 9: accepted, but a NaN at step 3 and, at step 5, a proposal off by 1e-3, which is corrected."""
    reference = MeanFieldSolver()

    class Oracle(OracleSurrogate):
        def _predict(self, query: Query):  # type: ignore[no-untyped-def]  # as in the base class
            self._error = 1e-3 if query.step == 5 else 0.0
            return super()._predict(query)

    oracle = Oracle(lambda query: reference.step(query).value, reference.comm, fault=Fault("nan", steps=(3,)))
    with Ledger(tmp_path) as ledger:
        session = Session(MeanFieldSolver(), RatioVerifier(correct_below=1e12), governor=Governor("off"), ledger=ledger)
        Loop(session, [oracle], t_end=1.0, dt=0.1).run()
    return tmp_path


def test_the_run_is_told(run: Path) -> None:
    text = explain(run)
    assert "10 steps from t = 0, last step 9. Computed: 8 by oracle, 1 by solver, 1 by oracle+correct." in text
    assert "9 verdicts: 8 accept (certified), 1 correct (certified)." in text
    assert "Failed: oracle: 10 asked, 1 failed: surrogate 'oracle' failed on rank 0 at step 3" in text
    assert "rejected" not in text, "nobody judged it"
    assert "Time: propose" in text


def test_an_accepted_step_is_told(run: Path) -> None:
    text = explain(run, 4)
    assert "Step 4, from t = 0.4 by dt = 0.1, mode replace." in text
    assert "ratio had the proposal of 'oracle' accepted: residual" in text
    assert "The proposal of 'oracle' was committed as it was." in text


def test_a_rejected_step_is_told(run: Path) -> None:
    text = explain(run, 3)
    fault = "surrogate 'oracle' failed on rank 0 at step 3: ContractError: its proposal has 40 values"
    assert f"It failed before it could be judged: {fault}" in text
    assert "The solver computed the value as the fallback, 3 iterations." in text


def test_a_corrected_step_is_told(run: Path) -> None:
    text = explain(run, 5)
    assert "taken as the start of a correction: residual" in text
    assert "oracle proposed, and 2 solver iterations corrected it." in text


def test_a_step_where_nobody_was_asked_is_told(tmp_path: Path) -> None:
    with Ledger(tmp_path) as ledger:
        session = Session(MeanFieldSolver(), None, mode="off", ledger=ledger)
        Loop(session, t_end=0.1, dt=0.1).run()
    assert "Nobody was asked: the mode is off." in explain(tmp_path, 0)
    assert "Nothing was judged." in explain(tmp_path)


def test_why_a_proposer_was_left_out_is_told(tmp_path: Path) -> None:
    reference = MeanFieldSolver()
    oracle = OracleSurrogate(lambda query: reference.step(query).value, reference.comm)
    with Ledger(tmp_path) as ledger:
        session = Session(MeanFieldSolver(), RatioVerifier(), ledger=ledger)
        Loop(session, [oracle], t_end=0.3, dt=0.1).run()
        session.attempt(Query(session.solver.initial_state(), dt=0.1, step=3))
    assert "Nobody was asked: the governor measured the cost without 'oracle'." in explain(tmp_path, 0)
    assert "Nobody was asked: there was no proposer." in explain(tmp_path, 3)


def test_a_failed_step_is_told(tmp_path: Path) -> None:
    with Ledger(tmp_path) as ledger:
        solver = FaultySolver(Fault("exception", steps=(1,)), whole_steps_only=False)
        Loop(Session(solver, None, mode="off", ledger=ledger), t_end=1.0, dt=0.1, directory=tmp_path).run()
    text = explain(tmp_path, 1)
    assert "It did not hold: step: solver 'faulty' failed on rank 0 at step 1: ValueError: planted on rank 0." in text
    assert "No value was committed, the state was rolled back" in text
    assert "Stopped at step 1 (FAULT)" in explain(tmp_path)


def test_smaller_steps_are_told(tmp_path: Path) -> None:
    with Ledger(tmp_path) as ledger:
        solver = FaultySolver(Fault("exception", steps=(1,)))
        Loop(Session(solver, None, mode="off", ledger=ledger), t_end=0.3, dt=0.1).run()
    assert "The solver computed the value in 2 smaller steps as the fallback" in explain(tmp_path, 1)


def test_an_unknown_step_names_those_there_are(run: Path) -> None:
    with pytest.raises(BadInputError, match="has no step 99; it has steps 0 to 9"):
        explain(run, 99)
