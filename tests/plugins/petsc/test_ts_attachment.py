"""Proposals inside `TS.solve`: the TS keeps its loop, and its SNES decides at iteration 0."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from cosolve.core.errors import BadInputError, NotConvergedError, RankFaultError
from cosolve.core.governor import Governor
from cosolve.core.ledger import Ledger, read_ledger
from cosolve.core.prediction import Prediction
from cosolve.core.query import Query
from cosolve.core.session import Session
from cosolve.core.surrogate import Surrogate
from cosolve.core.verdict import Decision, Grade, Verdict
from cosolve.plugins.baselines.extrapolation import QuadraticExtrapolation
from cosolve.plugins.petsc import TsAttachment, TsSolver
from cosolve.plugins.verifiers.residual import Residual
from petsc4py import PETSc
from petsc_problems import Rod

DT, STEPS = 0.02, 25


class Recalls(Surrogate):
    """An oracle: proposes what a classical run reached at that time; `error` times a wave is added."""

    name = "recalls"

    def __init__(self, states: dict[float, Any], error: float = 0.0) -> None:
        self.states, self.error = states, error

    def _predict(self, query: Query) -> Prediction:
        known = self.states.get(round(query.t_end, 6), query.state)
        return Prediction(known + self.error * np.cos(np.arange(len(known))))


@contextmanager
def attachment(ts: Any) -> Iterator[TsAttachment]:
    with (
        TsSolver(ts, rtol=1e-8) as solver,
        Session(solver, Residual(), governor=Governor("off")) as session,
        TsAttachment(session, solver, [QuadraticExtrapolation()]) as attached,
    ):
        yield attached


class Run:
    """One run of the rod by TS.solve; `record` maps times to committed states."""

    def __init__(
        self,
        proposers: list[Surrogate],
        mode: Any = "replace",
        *,
        kind: str = "beuler",
        t_end: float = DT * STEPS,
        **more: Any,
    ) -> None:
        rod = Rod()
        self.ts = rod.ts(kind)
        self.record: dict[float, Any] = {}
        self.iterations: list[int] = []
        prepare, ledger = more.pop("prepare", None), more.pop("ledger", None)
        if prepare is not None:
            prepare(self.ts, rod)
        with TsSolver(self.ts, rtol=more.pop("rtol", 1e-8)) as solver:
            verifier = None if mode in ("off", "initial_guess") else Residual()
            with Session(solver, verifier, mode=mode, governor=Governor("off"), ledger=ledger) as session:
                attached = TsAttachment(session, solver, proposers, on_commit=self._commit)
                with attached:
                    self.value = attached.run(t_end, DT)
                self.stats = session.stats
                self.attached = attached

    def _commit(self, t: float, value: Any, outcome: Any) -> None:
        self.record[round(t, 6)] = value
        self.iterations.append(0 if outcome.solve is None else outcome.solve.iterations)


@pytest.mark.parametrize("kind", ["beuler", "cn", "bdf"])
def test_the_snes_accepts_an_exact_proposal_at_iteration_0(kind: str, options: Any) -> None:
    options("rod_ts_adapt_type", "none")
    classical = Run([], "off", kind=kind)
    assert min(classical.iterations) > 0
    hybrid = Run([Recalls(classical.record)], kind=kind)
    assert hybrid.stats["accepted"] >= STEPS - 1
    assert sum(hybrid.iterations) == 0 if kind != "bdf" else sum(hybrid.iterations) <= classical.iterations[0]
    np.testing.assert_allclose(hybrid.value, classical.value, rtol=1e-6, atol=1e-7)
    assert hybrid.ts.getStepNumber() == STEPS


@pytest.mark.parametrize("mode", ["replace", "correct", "initial_guess"])
def test_a_near_proposal_is_where_the_snes_starts(mode: str) -> None:
    classical = Run([], "off")
    hybrid = Run([Recalls(classical.record, error=1e-7)], mode)
    assert hybrid.stats["accepted"] == 0
    assert set(hybrid.stats["sources"]) == {f"recalls+{'solve' if mode == 'initial_guess' else 'correct'}"}
    assert sum(hybrid.iterations) < sum(classical.iterations)
    np.testing.assert_allclose(hybrid.value, classical.value, rtol=1e-6, atol=1e-7)


@pytest.mark.parametrize("error", [1e3, np.nan])
def test_a_bad_proposal_changes_nothing(error: float) -> None:
    classical = Run([], "off")
    for mode in ("replace", "initial_guess", "shadow"):
        hybrid = Run([Recalls(classical.record, error=error)], mode)
        np.testing.assert_array_equal(hybrid.value, classical.value)
        assert hybrid.iterations == classical.iterations


def test_no_residual_is_evaluated_twice_for_an_accepted_proposal() -> None:
    counts = {}

    def prepare(ts: Any, rod: Rod) -> None:
        counts["rod"] = rod

    classical = Run([], "off")
    Run([Recalls(classical.record)], prepare=prepare)
    # One for each step, three for the reference norm.
    assert counts["rod"].evaluations <= STEPS + 3


def test_the_ts_keeps_its_monitors_and_post_steps() -> None:
    seen: dict[str, list[Any]] = {"monitor": [], "pre": [], "post": []}

    def prepare(ts: Any, rod: Rod) -> None:
        ts.setMonitor(lambda ts, step, t, u: seen["monitor"].append(step))
        ts.setPreStep(lambda ts: seen["pre"].append(ts.getStepNumber()))
        ts.setPostStep(lambda ts: seen["post"].append(ts.getStepNumber()))

    run = Run([QuadraticExtrapolation()], prepare=prepare, rtol=1e-4)
    assert seen["monitor"] == list(range(STEPS + 1))
    assert seen["pre"] == list(range(STEPS))
    assert seen["post"] == list(range(1, STEPS + 1))
    run.ts.getPostStep()[0](run.ts)
    assert len(seen["post"]) == STEPS + 1, "given back"


def test_events_roll_steps_back_and_the_run_goes_on() -> None:
    zeros: list[float] = []

    def prepare(ts: Any, rod: Rod) -> None:
        def indicator(ts: Any, t: float, u: Any, values: Any) -> None:
            values[0] = t - 0.235

        def found(ts: Any, events: Any, t: float, u: Any, forward: bool) -> None:
            zeros.append(t)

        ts.setEventHandler([0], [False], indicator, found)

    classical = Run([], "off", prepare=prepare)
    hybrid = Run([Recalls(classical.record)], prepare=prepare)
    assert zeros == [pytest.approx(0.235, abs=1e-6)] * 2
    assert hybrid.stats["accepted"] == len(classical.record)
    assert sorted(hybrid.record) == sorted(classical.record)
    np.testing.assert_allclose(hybrid.value, classical.value, rtol=1e-6, atol=1e-7)


def test_an_adaptive_ts_chooses_its_steps_as_before(tmp_path: Path, options: Any) -> None:
    options("rod_ts_adapt_type", "basic")
    options("rod_ts_theta_adapt")
    options("rod_ts_rtol", "1e-5")
    classical = Run([], "off", kind="cn")
    with Ledger(tmp_path, PETSc.COMM_SELF.tompi4py()) as ledger:
        hybrid = Run([Recalls(classical.record)], kind="cn", ledger=ledger)
    assert len(set(np.round(np.diff(sorted(classical.record)), 9))) > 3, "the steps differ"
    np.testing.assert_allclose(sorted(hybrid.record), sorted(classical.record), rtol=1e-4)
    np.testing.assert_allclose(hybrid.value, classical.value, rtol=1e-4, atol=1e-5)
    steps = [record for record in read_ledger(tmp_path) if record["kind"] == "step"]
    assert [record["step"] for record in steps] == list(range(len(hybrid.record)))
    assert sum(record["dt"] for record in steps) == pytest.approx(DT * STEPS)


def test_a_start_from_which_the_snes_fails_is_withdrawn_and_the_step_is_classical() -> None:
    classical = Run([], "off")

    class Astray(Surrogate):
        name = "astray"

        def _predict(self, query: Query) -> Prediction:
            return Prediction(query.state + (100.0 if query.step == 3 else 1e-9))

    ts = Rod().ts()
    ts.getSNES().setTolerances(max_it=4)
    with (
        TsSolver(ts, rtol=1e-8) as solver,
        Session(solver, Residual(correct_ratio=1e30), governor=Governor("off")) as session,
        TsAttachment(session, solver, [Astray()]) as attached,
    ):
        value = attached.run(DT * STEPS, DT)
    np.testing.assert_allclose(value, classical.value, rtol=1e-6, atol=1e-7)
    assert attached.steps == STEPS
    assert session.stats["sources"]["solver"] == 1


def test_divergence_is_a_typed_error_and_the_ts_stands_at_the_last_step() -> None:
    rod = Rod()
    ts = rod.ts()
    ts.getSNES().setTolerances(max_it=1)
    with TsSolver(ts, rtol=1e-12) as solver, Session(solver, None, mode="off") as session:
        with TsAttachment(session, solver) as attached, pytest.raises(NotConvergedError) as caught:
            attached.run(1.0, 0.5)
        assert caught.value.reason == "TS_DIVERGED_NONLINEAR_SOLVE (SNES_DIVERGED_MAX_IT)"
        np.testing.assert_array_equal(ts.getSolution().array_r, solver.initial_state())
        assert ts.getTime() == 0.0


@pytest.mark.parametrize("where", ["function", "jacobian", "post-step"])
def test_a_fault_in_the_users_code_is_raised_once_outside(where: str) -> None:
    rod = Rod()
    ts = rod.ts()

    def fail(*arguments: Any) -> None:
        if ts.getStepNumber() >= 5:
            raise ValueError("planted")

    if where == "post-step":
        ts.setPostStep(fail)
    else:
        setattr(rod, "before" if where == "function" else "before_jacobian", fail)
    with attachment(ts) as attached:
        with pytest.raises(RankFaultError, match="ValueError: planted"):
            attached.run(1.0, DT)
        assert attached.steps == 5
        assert ts.getTime() == pytest.approx(5 * DT)
        np.testing.assert_array_equal(ts.getSolution().array_r, attached.state)


def test_a_function_that_fails_at_a_proposal_only_rejects_it() -> None:
    classical = Run([], "off")

    def prepare(ts: Any, rod: Rod) -> None:
        def picky() -> None:
            if np.abs(rod.local.array_r).max() > 50.0:
                raise ValueError("concentration out of range")

        rod.before = picky

    class Far(Surrogate):
        name = "far"

        def _predict(self, query: Query) -> Prediction:
            return Prediction(query.state + 100.0)

    hybrid = Run([Far()], prepare=prepare)
    np.testing.assert_array_equal(hybrid.value, classical.value)
    assert hybrid.stats["rejected"] == STEPS


def test_a_jump_is_a_restart_from_a_judged_state() -> None:
    classical = Run([], "off", t_end=1.0)
    rod = Rod()
    ts = rod.ts("bdf")
    with attachment(ts) as attached:
        attached.run(0.2, DT)
        state = classical.record[0.6]
        rejected = Verdict(Decision.REJECT, Grade.ESTIMATED, 9.0, 1.0, "far off")
        with pytest.raises(BadInputError, match="far off"):
            attached.restart_from(0.6, state, rejected)
        accepted = Verdict(Decision.ACCEPT, Grade.ESTIMATED, 0.1, 1.0, "near")
        with pytest.raises(BadInputError, match="forward"):
            attached.restart_from(0.1, state, accepted)
        attached.restart_from(0.6, state, accepted)
        value = attached.run(1.0, DT)
    assert ts.getTime() == pytest.approx(1.0)
    np.testing.assert_allclose(value, classical.value, atol=2e-2)


def test_a_type_without_one_solve_a_step_is_refused_for_proposals() -> None:
    with pytest.raises(BadInputError, match="arkimex"), attachment(Rod().ts("arkimex")):
        pass
