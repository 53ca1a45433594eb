"""One transaction: what becomes of a proposal in each mode, and what is left when something goes wrong."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from cosolve.core.arrays import Array
from cosolve.core.errors import BadInputError, InterruptedRunError, OutputError, RankFaultError
from cosolve.core.events import StepEvent
from cosolve.core.governor import Governor, decisions_of
from cosolve.core.ledger import Ledger, read_ledger
from cosolve.core.prediction import Prediction
from cosolve.core.query import Query
from cosolve.core.session import Session
from cosolve.core.solver import SolveResult
from cosolve.core.surrogate import Surrogate
from cosolve.core.testing.faults import Fault
from cosolve.core.testing.faulty_parts import FaultyVerifier, OracleSurrogate
from cosolve.core.testing.mean_field import MeanFieldSolver, RatioVerifier
from cosolve.core.verdict import Decision, Grade

DT = 0.1


def oracle(error: float = 0.0, fault: Fault | None = None) -> OracleSurrogate:
    reference = MeanFieldSolver()
    return OracleSurrogate(lambda query: reference.step(query).value, reference.comm, error=error, fault=fault)


def session(solver: MeanFieldSolver | None = None, verifier: Any = None, **settings: Any) -> Session:
    settings.setdefault("governor", Governor("off"))
    return Session(solver or MeanFieldSolver(), verifier or RatioVerifier(), **settings)


def first(one: Session, **values: Any) -> Query:
    return Query(one.solver.initial_state(), dt=DT, **values)


def test_replace_commits_a_good_proposal() -> None:
    one = session()
    query = first(one)
    outcome = one.attempt(query, [oracle()])
    assert (outcome.source, outcome.rung, outcome.solve, outcome.t_end) == ("oracle", "", None, DT)
    assert outcome.verdict is not None
    assert outcome.verdict.accepted
    assert one.solver.measure(query, outcome.value).ratio < 0.5
    assert one.stats["accepted"] == one.stats["judged"] == 1


def test_replace_corrects_where_the_verdict_says_so() -> None:
    one = session(verifier=RatioVerifier(correct_below=1e12))
    query = first(one)
    outcome = one.attempt(query, [oracle(error=1e-3)])
    assert (outcome.source, outcome.rung) == ("oracle+correct", "correct")
    assert one.solver.measure(query, outcome.value).ratio <= 1.0


def test_replace_rejects_and_steps() -> None:
    one = session()
    outcome = one.attempt(first(one), [oracle(error=1e-3)])
    assert (outcome.source, outcome.rung) == ("solver", "step")
    assert outcome.verdict is not None
    assert outcome.verdict.decision is Decision.REJECT
    assert one.stats["fell_back"] == one.stats["rejected"] == 1


def test_the_next_proposer_is_asked_when_the_first_is_rejected() -> None:
    class Second(OracleSurrogate):
        name = "second"

    reference = MeanFieldSolver()
    second = Second(lambda query: reference.step(query).value, reference.comm)
    one = session()
    outcome = one.attempt(first(one), [oracle(error=1.0), second])
    assert outcome.source == "second"
    assert [verdict.decision for verdict in outcome.verdicts] == [Decision.REJECT, Decision.ACCEPT]


def test_correct_never_commits_a_proposal_as_it_is() -> None:
    one = session(mode="correct")
    assert one.attempt(first(one), [oracle()]).source == "oracle+correct"


def test_a_correction_that_does_not_converge_falls_back_to_the_step() -> None:
    one = session(verifier=RatioVerifier(correct_below=1e300), max_corrections=1)
    query = first(one)
    outcome = one.attempt(query, [oracle(error=50.0)])
    assert (outcome.source, outcome.rung) == ("solver", "step")
    assert one.solver.measure(query, outcome.value).ratio <= 1.0


def test_shadow_judges_and_uses_the_solver(tmp_path: Path) -> None:
    with Ledger(tmp_path) as ledger:
        one = session(mode="shadow", ledger=ledger)
        outcome = one.attempt(first(one), [oracle(error=1e-3)])
    assert (outcome.source, outcome.rung) == ("solver", "")
    record = read_ledger(tmp_path)[-1]
    assert record["verdicts"][0]["decision"] == "reject"
    assert 5e-4 < record["shadow_error"] < 5e-3


def test_off_asks_nobody() -> None:
    one = session(mode="off")
    outcome = one.attempt(first(one), [oracle()])
    assert (outcome.source, outcome.asked, outcome.verdicts) == ("solver", (), ())


def test_initial_guess_starts_from_the_candidate_with_the_smallest_residual() -> None:
    one = Session(MeanFieldSolver(), None, mode="initial_guess", governor=Governor("off"))
    outcome = one.attempt(first(one), [oracle(error=1e-6)])
    assert outcome.source == "oracle+solve"
    assert outcome.solve is not None
    assert outcome.solve.iterations == 1
    assert one.attempt(first(one), [oracle(error=1e9)]).source == "solver"


def test_a_start_that_leads_nowhere_costs_time_and_nothing_else() -> None:
    class Picky(MeanFieldSolver):
        def _step(self, query: Query, x0: Array | None) -> SolveResult:
            result = super()._step(query, x0)
            return result if x0 is None else SolveResult(result.value, False, "planted")

    solver = Picky()
    one = Session(solver, None, mode="initial_guess", governor=Governor("off"))
    outcome = one.attempt(first(one), [oracle()])
    assert (outcome.source, outcome.rung) == ("solver", "step")


def test_losers_of_the_tournament_are_asked_less_often() -> None:
    one = Session(MeanFieldSolver(), None, mode="initial_guess", governor=Governor("off"))
    bad = oracle(error=1e9)
    asked = [bool(one.attempt(first(one, step=step), [bad]).asked) for step in range(64)]
    assert all(asked[:4])
    assert sum(asked) < 14
    assert any(asked[32:])


def test_a_certified_run_refuses_estimates() -> None:
    one = session(verifier=RatioVerifier(grade=Grade.ESTIMATED), grade=Grade.CERTIFIED)
    outcome = one.attempt(first(one), [oracle()])
    assert outcome.source == "solver"
    assert outcome.verdict is not None
    assert 'an estimate cannot be accepted where grade = "certified" is demanded' in outcome.verdict.reason
    assert session(verifier=RatioVerifier(grade=Grade.ESTIMATED)).attempt(first(one), [oracle()]).source == "oracle"


def test_a_verdict_without_a_measure_accepts_nothing() -> None:
    one = session(verifier=FaultyVerifier(Fault("nan"), before=False))
    assert one.attempt(first(one), [oracle()]).source == "solver"


class Remembering(Surrogate):
    """Counts its predictions in its memory, and fails at the second."""

    name = "remembering"

    def __init__(self) -> None:
        self.count = np.zeros(1)
        self.observed: list[int] = []

    def _predict(self, query: Query) -> Prediction:
        self.count += 1.0
        if query.step == 1:
            raise ValueError("planted")
        return Prediction(query.state.copy())

    def observe(self, query: Query, value: Array) -> None:
        self.observed.append(query.step)
        if query.step == 2:
            raise ValueError("cannot learn")

    def memory(self) -> Mapping[str, Array]:
        return {"count": self.count}

    def restore(self, memory: Mapping[str, Array]) -> None:
        self.count = memory["count"]


def test_the_memory_of_a_proposer_that_fails_is_rolled_back() -> None:
    one, proposer = session(), Remembering()
    counts = []
    for step in range(3):
        one.attempt(first(one, step=step), [proposer])
        counts.append(float(proposer.count[0]))
    assert counts == [1.0, 1.0, 2.0]
    assert proposer.observed == [0, 1, 2]


def test_what_observe_raises_is_told_when_the_proposer_is_asked_next() -> None:
    one, proposer = session(), Remembering()
    reasons = [one.attempt(first(one, step=step), [proposer]).verdicts[0].reason for step in (2, 3, 4)]
    assert "failed" not in reasons[0]
    assert reasons[1] == "surrogate 'remembering' failed on rank 0 at step 3: ValueError: cannot learn"
    assert "failed" not in reasons[2]


def test_a_state_that_does_not_fit_is_an_error() -> None:
    with pytest.raises(RankFaultError, match=r"the state must have shape \(40,\), got \(39,\)"):
        session().attempt(Query(np.ones(39), dt=DT))


def test_two_proposers_of_one_name_are_refused() -> None:
    one = session()
    with pytest.raises(BadInputError, match="two proposers share a name: oracle, oracle"):
        one.attempt(first(one), [oracle(), oracle()])


@pytest.mark.parametrize("name", ["solver", "a+correct", "a/2", ""])
def test_a_proposer_may_not_pass_for_the_solver_in_the_records(name: str) -> None:
    impostor = oracle()
    impostor.name = name  # type: ignore[misc]  # a class variable of the role
    with pytest.raises(BadInputError, match="a proposer cannot be named"):
        session().attempt(first(session()), [impostor])


def test_a_proposer_meets_the_solver_once() -> None:
    class Bound(Remembering):
        bound = 0

        def bind(self, solver: Any) -> None:
            self.bound += 1

    one, proposer = session(), Bound()
    for step in (3, 4):
        one.attempt(first(one, step=step), [proposer])
    one.attempt(first(one, step=5), [])
    one.attempt(first(one, step=6), [proposer])
    assert proposer.bound == 1


class Telling:
    """Notes which hooks were called."""

    def __init__(self) -> None:
        self.told: list[str] = []

    def proposed(self, event: StepEvent) -> None:
        self.told.append(f"proposed {len(event.predictions)}")

    def judged(self, event: StepEvent) -> None:
        assert event.verdict is not None
        self.told.append(f"judged {event.verdict.decision.value}")

    def committed(self, event: StepEvent) -> None:
        self.told.append(f"committed {event.source}")

    def fell_back(self, event: StepEvent) -> None:
        self.told.append(f"fell back {event.rung}")


def test_observers_are_told_once_each() -> None:
    hooks = Telling()
    one = session(hooks=hooks)
    one.attempt(first(one), [oracle()])
    one.attempt(first(one), [oracle(error=1.0)])
    assert hooks.told == [
        "proposed 1",
        "judged accept",
        "committed oracle",
        "proposed 1",
        "judged reject",
        "fell back step",
        "committed solver",
    ]


def test_the_record_has_every_part(tmp_path: Path) -> None:
    with Ledger(tmp_path) as ledger:
        one = session(ledger=ledger)
        one.attempt(first(one, step=3), [oracle(error=1.0)])
    record = read_ledger(tmp_path)[-1]
    assert {"step", "t", "dt", "mode", "plan", "asked", "source", "rung", "status", "verdicts", "cost"} <= set(record)
    assert set(record["cost"]) == {"propose", "verify", "correct", "solve", "machinery"}
    assert record["cost"]["propose"] > 0.0
    assert record["cost"]["solve"] > 0.0
    # the same figure in both, and what writing the record took is told apart
    assert one.stats["seconds"]["machinery"] == pytest.approx(record["cost"]["machinery"], abs=1e-7)
    assert one.stats["seconds"]["ledger"] > 0.0
    # the snapshot, the proposal and the committed value: nothing else is copied
    assert (record["copies"], record["bytes"]) == (3, 3 * 40 * 8)
    assert record["verdicts"][0]["proposer"] == "oracle"


def test_a_replayed_run_repeats_the_decisions_and_the_answer(tmp_path: Path) -> None:
    def march(folder: Path, governor: Governor) -> tuple[list[str], Array]:
        with Ledger(folder) as ledger:
            one = session(governor=governor, ledger=ledger, verifier=RatioVerifier(correct_below=1e9))
            value, sources = one.solver.initial_state(), []
            slow = oracle(error=1e-9)
            for step in range(60):
                outcome = one.attempt(Query(value, DT * step, DT, step), [slow])
                value = outcome.value
                sources.append(outcome.source)
        return sources, value

    sources, value = march(tmp_path / "measured", Governor())
    assert "solver" in sources  # the references at the start, at least
    replay = Governor("replay", decisions_of(read_ledger(tmp_path / "measured")))
    again, same = march(tmp_path / "replayed", replay)
    assert again == sources
    np.testing.assert_array_equal(same, value)


def test_a_ledger_that_fails_ends_the_run(tmp_path: Path) -> None:
    ledger = Ledger(tmp_path)
    one = session(ledger=ledger)
    ledger.failure = "the disk is full"
    with pytest.raises(OutputError, match="the disk is full"):
        one.attempt(first(one))


@pytest.mark.parametrize(
    ("settings", "sentence"),
    [
        ({"mode": "replce"}, "mode must be one of replace, correct, initial_guess, shadow, off, got 'replce'"),
        ({"max_corrections": 0}, "max_corrections must be at least 1, got 0"),
        ({"smallest_step_fraction": 2.0}, r"smallest_step_fraction must lie in \(0, 1\], got 2.0"),
        ({"deadline_seconds": -1.0}, r"deadline_seconds must be positive, got -1\.0"),
    ],
)
def test_wrong_settings_are_named(settings: dict[str, Any], sentence: str) -> None:
    with pytest.raises(BadInputError, match=sentence):
        session(**settings)


def test_a_signal_within_a_proposer_is_no_rejection() -> None:
    class Interrupted(Surrogate):
        name = "interrupted"

        def _predict(self, query: Query) -> Prediction:
            query.state[:] = 7.0
            raise InterruptedRunError("interrupted by SIGTERM.")

    one = session()
    query = first(one)
    with pytest.raises(InterruptedRunError, match="while surrogate 'interrupted' was at work"):
        one.attempt(query, [Interrupted()])
    np.testing.assert_array_equal(query.state, one.solver.initial_state())
    assert one.attempt(query).source == "solver"


def test_replacing_needs_a_verifier() -> None:
    with pytest.raises(BadInputError, match="mode 'replace' needs a verifier"):
        Session(MeanFieldSolver(), None)
