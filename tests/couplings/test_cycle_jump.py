from __future__ import annotations

import json

import numpy as np
import pytest
from cosolve.core.coupling import CouplingContext
from cosolve.core.errors import BadInputError
from cosolve.core.registry import Registry
from cosolve.core.session import Session
from cosolve.couplings.cycle_control import ControlledStepping, ControlSettings
from cosolve.couplings.cycle_jump import cycle_jump
from cosolve.couplings.cycle_jump_classical import ClassicalCycleJump, ClassicalSettings
from cosolve.couplings.cycle_jump_verifier import CycleGovernor, CycleSweeps
from cosolve.couplings.cycle_rivals import ClassicalJump, ControlledFullStepping, FullStepping
from cosolve.couplings.cycle_solver import CycleSettings, CycleSolver, ErrorAccount
from cosolve.couplings.cyclic import CyclicBlock
from cosolve.couplings.slow_evolution import Defects, SlowEvolution, slow_grid

from .toy_cycles import ToyCycles, ToySurrogate, X, blocks, exact_ends, start


def run(surrogate=None, *, row=None, tolerance=0.005, method="ladder", **options):
    solver = CycleSolver(ToyCycles(), start(), row or blocks(), CycleSettings(tolerance=tolerance, method=method))
    ends = []
    result = cycle_jump(
        solver,
        () if surrogate is None else surrogate,
        mode="off" if surrogate is None else "replace",
        on_block=lambda state: ends.append(1.0 - np.exp(-solver.parts(state.value)[0])),
        raise_on_failure=False,
        **options,
    )
    return solver, result, ends


def error_of(ends):
    return max(np.sqrt(np.mean((a - b) ** 2) / np.mean(b**2)) for a, b in zip(ends, exact_ends(), strict=True))


def sources(solver):
    return [solver.records[step].source for step in sorted(solver.records)]


@pytest.mark.parametrize("error", [0.0, 0.01, 0.02])
def test_an_honest_surrogate_is_corrected_to_the_tolerance(error):
    solver, result, ends = run(ToySurrogate(error))
    assert result.ok
    assert sources(solver) == ["surrogate"] * 3
    assert error_of(ends) <= result.stats["estimated_error"] <= 0.005
    assert result.stats["true_periods"] < 40 < result.stats["periods"]


@pytest.mark.parametrize("fault", ["raise", "nan"])
def test_a_faulty_surrogate_costs_time_and_nothing_else(fault):
    solver, result, ends = run(ToySurrogate(fault=fault))
    assert result.ok
    assert "surrogate" not in sources(solver)
    assert error_of(ends) <= 0.005
    assert all(verdict.decision.value == "reject" for verdict in result.verdicts)


def test_a_liar_is_rejected_or_corrected():
    for error in (0.5, 2.0):
        _, result, ends = run(ToySurrogate(error))
        assert result.ok
        assert error_of(ends) <= 0.005


def test_a_block_outside_of_training_is_refused_by_name():
    row = [CyclicBlock(0.5, 60), CyclicBlock(1.1, 20, 0.5)]
    solver, result, _ = run(ToySurrogate(), row=row)
    assert sources(solver)[0] == "surrogate"
    assert sources(solver)[1] != "surrogate"
    assert result.verdicts[-1].reason == "the load is outside"


def test_verdicts_are_estimates_and_never_certified():
    _, result, _ = run(ToySurrogate())
    assert all(verdict.grade.value == "estimated" for verdict in result.verdicts)
    with pytest.raises(BadInputError, match="certified"):
        run(ToySurrogate(), grade="certified")


def test_stepping_and_classical_rivals_agree():
    _, _, stepped = run(method="stepping")
    solver, _, jumped = run(method="classical")
    assert sources(solver) == ["classical"] * 3
    assert error_of(stepped) < 2e-3
    assert error_of(jumped) < 1e-2


def test_controlled_stepping_takes_the_steps_that_its_tolerance_needs():
    errors, works = [], []
    for tolerance in (0.05, 1e-5):
        solver = CycleSolver(ToyCycles(), start(), blocks(), CycleSettings(method="controlled"))
        solver.controlled = ControlledStepping(solver.cyclic, ControlSettings(tolerance=tolerance))
        ends = []
        cycle_jump(
            solver,
            mode="off",
            on_block=lambda state, ends=ends, one=solver: ends.append(1.0 - np.exp(-one.parts(state.value)[0])),
        )
        errors.append(error_of(ends))
        works.append(solver.cyclic.work)
    assert errors[1] < 0.5 * errors[0] < 0.001
    assert works[1] > works[0] > 3 * 60 * 8


@pytest.mark.parametrize(
    ("coupling", "source"),
    [(ClassicalJump, "classical"), (FullStepping, "stepping"), (ControlledFullStepping, "stepping")],
)
def test_the_rivals_are_couplings_that_ask_nobody(coupling, source):
    solver = CycleSolver(ToyCycles(), start(), blocks())
    with Session(solver, CycleSweeps()) as session:
        result = coupling(CouplingContext(session, solver, [ToySurrogate()], session.verifier)).run()
    assert result.ok
    assert result.stats["asked"] == 0
    assert sources(solver) == [source] * 3


def test_the_rivals_are_registered_as_baselines():
    names = {entry.name for entry in Registry.discover().entries("coupling") if entry.baseline}
    assert {"classical_cycle_jump", "full_stepping", "controlled_full_stepping", "bare_stepping"} <= names


def test_an_audit_sees_what_the_checkpoints_share():
    """An audit with the checkpoints' own step finds less than one with a finer step."""
    solver, _, _ = run(ToySurrogate(), verifier=CycleSweeps(audit_seed=3))
    audits = [record.audit for record in solver.records.values() if record.audit is not None]
    assert len(audits) == 1
    assert 0.0 < audits[0] < 0.005


def test_same_seed_same_answer():
    first, second = (run(ToySurrogate(0.02))[1].value for _ in range(2))
    np.testing.assert_array_equal(first, second)


def test_the_ledger_explains(tmp_path):
    run(ToySurrogate(), directory=tmp_path)
    records = [json.loads(line) for line in (tmp_path / "ledger.jsonl").read_text().splitlines()]
    steps = [record for record in records if record["kind"] == "step"]
    assert len(steps) == 3
    assert "checkpoint" in json.dumps(steps[0])


def test_a_slow_surrogate_needs_a_solver_of_cycles():
    class Other:
        name = "other"

    with pytest.raises(BadInputError, match="runs no cycles"):
        ToySurrogate().bind(Other())


def test_classical_plan_covers_every_period():
    for periods in (1, 5, 20, 37, 100, 400):
        plan = ClassicalSettings().plan(periods)
        assert sum(max(entry, 1) for entry in plan) == periods
    jump = ClassicalCycleJump(ToyCycles(), ClassicalSettings(steps=10))
    assert jump.planned_work(100) == 10 * ClassicalSettings().plan(100).count(0)


def test_defects_are_interpolated_in_log_time():
    defects = Defects()
    assert defects.at(1.0) is None
    defects.add(20.0, np.ones(3))
    defects.add(2.0, np.zeros(3))
    assert len(defects) == 2
    np.testing.assert_array_equal(defects.at(1.0), 0.0)
    np.testing.assert_array_equal(defects.at(90.0), 1.0)
    middle = np.sqrt(5.0 * 23.0) - 3.0
    np.testing.assert_allclose(defects.at(middle), 0.5)


@pytest.mark.parametrize("periods", [1, 7, 60, 400])
def test_slow_grid_ends_at_the_block_end(periods):
    grid = slow_grid(periods)
    assert grid[0] == 0.0
    assert grid[-1] == periods
    assert np.all(np.diff(grid) > 0)


def test_slow_evolution_of_an_exact_rate_meets_stepping():
    solver = ToyCycles()
    block = blocks()[0]
    evolution = SlowEvolution(solver, ToySurrogate(), block, start().phi)
    alpha = solver.quantity(evolution.integrate([float(block.periods)])[0])
    np.testing.assert_allclose(alpha, exact_ends()[0], rtol=2e-2)


def test_the_governor_pauses_longer_after_each_failure():
    governor = CycleGovernor()
    asked = []
    for _ in range(8):
        asks = governor.asks()
        asked.append(asks)
        if asks:
            governor.record(work=100, rival_work=50, converged=True)
    assert asked == [True, False, True, False, False, True, False, False]
    governor = CycleGovernor()
    governor.record(work=10, rival_work=50, converged=True)
    assert governor.asks()


def test_the_account_adds_squares_and_the_audit():
    account = ErrorAccount(floor=0.001, audit_factor=0.5)
    account.add(0.003)
    account.add(0.004, audit=0.002)
    assert account.estimate == pytest.approx(0.001 + 0.005 + 0.001)


def test_memory_restores_the_account():
    solver = CycleSolver(ToyCycles(), start(), blocks())
    kept = solver.memory()
    solver.account.add(1.0, 1.0)
    solver.restore(kept)
    assert solver.account.squares == 0.0
    assert solver.n_owned == 2 * len(X)
