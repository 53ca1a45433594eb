"""The branching bench compares like with like: same instances, limits that count, contradictions that show."""

from __future__ import annotations

import math
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import cosolve
import pytest
from cosolve.core.errors import BadInputError
from cosolve.examples.mips import branching_bench, raced, shift_bench
from cosolve.examples.mips.comparing import (
    Budget,
    Row,
    Run,
    compare,
    percentile_95,
    ratios,
    run_row,
    same_optima,
    speedup,
)
from cosolve.examples.mips.exact import exactly_feasible
from cosolve.examples.mips.guides import shipped_guide
from cosolve.examples.mips.options import BranchingOptions, ShiftOptions
from cosolve.examples.mips.program import MixedIntegerProgram
from cosolve.plugins.scip.measured import Measured
from cosolve.plugins.scip.settings import Settings, settings_named
from pyscipopt import Model


def packing(size: int = 14, shift: int = 0) -> MixedIntegerProgram:
    program = MixedIntegerProgram(f"packing {shift}", maximise=True)
    x = list(program.add_variables((5 * i + shift) % 19 + 11 for i in range(size)))
    for k in range(3):
        weights = [float((7 * i + 11 * k + i * i * (k + 1)) % 23 + 5) for i in range(size)]
        program.add_row(x, weights, upper=float(sum(weights) // 2))
    return program


def run(seconds: float, primal: float = 1.0, *, status: str = "optimal", dual: float = 1.0) -> Run:
    return Run(Measured(seconds, 10, 100, status, primal, dual), limit=10.0)


@pytest.fixture
def guide(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> tuple[Path, list[dict[str, bool]]]:
    calls: list[dict[str, bool]] = []

    def fake(model: Model, path: Path, **switches: bool) -> Any:
        calls.append(switches)
        settings_named("lean+pscost").apply(model)
        return SimpleNamespace(inference_seconds=1e-6, decisions=3, fallbacks=0, governed=False)

    monkeypatch.setattr(cosolve, "guide", fake, raising=False)
    path = tmp_path / "guide.safetensors"
    path.write_bytes(b"")
    return path, calls


def test_the_quick_bench_runs_every_row_and_gives_its_metrics(
    guide: tuple[Path, list[dict[str, bool]]], tmp_path: Path
) -> None:
    path, calls = guide
    for shift in range(3):
        packing(shift=shift).write(tmp_path / "programs" / f"{shift}.mps")
    options = BranchingOptions(guide=path, instances=tmp_path / "programs")
    said: list[float] = []
    report = branching_bench.bench(quick=True, seed=1, progress=lambda done, _: said.append(done), options=options)
    metrics = report.metrics
    assert said[-1] == 1.0
    assert metrics["optima_equal"] == 1
    assert (metrics["exactly_feasible"], metrics["exactly_checked"]) == (1, 30)
    assert {"speedup_vs_default", "speedup_vs_best_classical", "ratio_p95", "default_ratio_p95"} <= set(metrics)
    assert 0.0 < metrics["inference_share"] < 1.0
    assert set(metrics["speedups"]) >= {"guided", *branching_bench.CLASSICAL, *branching_bench.ABLATION}
    assert len(report.cases) == 30
    assert len(calls) == 19
    assert {"branching": False, "start": False} in calls
    assert calls.count({}) == 4  # the first use is in no row
    assert metrics["first_use_seconds"] > 0.0


def test_the_bench_of_shifted_programs(
    guide: tuple[Path, list[dict[str, bool]]], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for shift in range(2):
        packing(8, shift).write(tmp_path / "miplib3" / f"{shift}.mps")
    monkeypatch.setenv("COSOLVE_DATA", str(tmp_path))
    options = ShiftOptions(guide=guide[0], seeds=3)
    report = shift_bench.bench(quick=True, seed=5, progress=lambda *_: None, options=options)
    assert report.metrics["optima_equal"] == 1
    assert report.metrics["guide"]["runs"] == 6
    assert report.metrics["time_ratio"] > 0.0
    assert report.metrics["default_ratio_p95"] > 0.0
    assert {case["row"] for case in report.cases} == {
        f"{name} {s}" for name in ("default", "guided guide") for s in (5, 6, 7)
    }
    monkeypatch.setattr(shift_bench, "GUIDES", tmp_path)
    (tmp_path / "guide.safetensors").unlink()
    with pytest.raises(BadInputError, match="train one"):
        shift_bench.bench(quick=True, seed=5, progress=lambda *_: None, options=ShiftOptions())


def test_a_full_bench_has_all_rivals() -> None:
    rows = branching_bench.rows_of(shipped_guide("set-cover"), "set-cover", quick=False)
    names = [row.name for row in rows]
    fullstrong = next(row for row in rows if row.name == "our settings, fullstrong")
    assert fullstrong.settings.params["branching/fullstrong/priority"] == 1_000_000
    # The guide's own rule and what only pays behind its start are left out.
    assert "branching/pscost/priority" not in fullstrong.settings.params
    assert not any(name.startswith("heuristics/") for name in fullstrong.settings.params)
    assert len(names) == len(set(names))
    assert {"our settings, fullstrong", "emphasis optimality", "gasse+relpscost"} <= set(names)


def test_instances_are_drawn_by_the_seed_and_the_missing_guide_is_named() -> None:
    names = [name for name, _ in branching_bench.drawn("knapsack", "easy", 3, 4)]
    assert names == [name for name, _ in branching_bench.drawn("knapsack", "easy", 3, 4)]
    assert not set(names) & {name for name, _ in branching_bench.drawn("knapsack", "easy", 4, 4)}
    with pytest.raises(BadInputError, match="no guide for 'knapsack'"):
        shipped_guide("knapsack")
    with pytest.raises(BadInputError, match="needs a guide"):
        branching_bench.bench(
            quick=True, seed=0, progress=lambda *_: None, options=BranchingOptions(instances=Path("somewhere"))
        )


def test_a_run_that_hits_its_limit_counts_with_it() -> None:
    stopped = run_row(Row("stopped"), packing(60).model(), limit=0.0)
    assert not stopped.measured.solved
    late = run(3.0, status="timelimit")
    assert late.seconds == 10.0
    assert speedup([run(1.0), None], [late, run(1.0)]) == pytest.approx(10.0)
    assert ratios([run(2.0), None], [run(4.0), run(1.0)]) == [0.5]
    assert percentile_95([1.0] * 19 + [3.0]) == pytest.approx(1.1)
    assert math.isnan(percentile_95([]))


@pytest.mark.parametrize(
    ("others", "equal"),
    [
        ([run(1.0, 5.0)], True),
        ([run(1.0, 5.0 + 1e-6)], True),
        ([run(1.0, 5.1)], False),
        ([run(1.0, 6.0, status="timelimit", dual=4.0)], True),
        ([run(1.0, 4.9, status="timelimit", dual=4.0)], False),
        ([run(1.0, math.nan, status="timelimit", dual=4.0)], True),
    ],
)
def test_contradicting_objectives_show(others: list[Run], equal: bool) -> None:
    rows = {"ours": [run(1.0, 5.0)], **{str(index): [one] for index, one in enumerate(others)}}
    # The program is minimised: nothing below 5 exists, a bound of 4 is no contradiction.
    assert same_optima(rows, 0) is equal


def test_rows_take_turns_and_may_leave_instances_out() -> None:
    order: list[tuple[str, str]] = []

    def noting(name: str) -> Callable[[Model], None]:
        return lambda model: order.append((name, model.getProbName()))

    rows = [Row("a", guide=noting("a")), Row("b", guide=noting("b"), only=1)]
    instances = [(f"p{i}", packing(6, i).model) for i in range(2)]
    runs = compare(instances, rows, Budget(60.0, 2), lambda *_: None)
    assert [name for name, _ in order] == ["a", "b", "a"]
    assert [one is None for one in runs["b"]] == [False, True]


def test_the_budget_is_shared_out() -> None:
    budget = Budget(100.0, 4)
    first = budget.limit()
    assert 10.0 <= first <= 100.0
    budget.spent(50.0)
    assert budget.limit() <= first
    assert Budget(0.0, 3).limit() == 10.0


def test_exact_feasibility() -> None:
    model = packing().model()
    model.optimize()
    assert exactly_feasible(model) is True
    program = packing()
    program.add_row([0, 1], [0.5, 1.0], upper=2.0)
    with_fractions = program.model()
    with_fractions.optimize()
    assert exactly_feasible(with_fractions) is None
    assert exactly_feasible(packing().model()) is None


def test_a_solution_within_tolerance_only_is_not_exactly_feasible() -> None:
    program = MixedIntegerProgram("3 fits only within the tolerance", maximise=True)
    x = program.add_variables([1.0], upper=10.0)
    program.add_row(list(x), 10_000.0, upper=29_999.0)
    model = program.model()
    model.setParam("numerics/feastol", 1e-3)
    model.optimize()
    assert model.getObjVal() == 3.0
    assert exactly_feasible(model) is False


def test_a_race_of_a_rule_keeps_the_rule(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(raced, "generate", lambda family, level, seed: packing(8, seed))
    names = ("lean+pscost", "gasse+pscost")
    monkeypatch.setattr(raced, "starting_points", lambda rule: [settings_named(name) for name in names])
    result = raced.run_race("knapsack", "pscost", 0.01)
    assert all(row.settings.params["branching/pscost/priority"] == 1_000_000 for row in result.rows)


def test_winners_of_races_are_stored_and_found(tmp_path: Path) -> None:
    path = tmp_path / "raced.toml"
    winner = Settings("any", {"lp/pricing": "q", "conflict/enable": False, "branching/scorefac": 0.4, "lp/scaling": 2})
    raced.store("set-cover", "pscost", winner, path)
    raced.store("auctions", "relpscost", Settings("other", {"lp/pricing": "s"}), path)
    assert dict(raced.raced("set-cover", "pscost", path).params) == dict(winner.params)
    assert raced.raced("auctions", "relpscost", path).name == "tuned relpscost"
    fallback = raced.raced("knapsack", "relpscost", path)
    assert fallback.params == settings_named("lean+relpscost").params
    path.write_text("[broken\n")
    with pytest.raises(BadInputError, match="TOML"):
        raced.raced("set-cover", "pscost", path)


def test_rows_of_a_part_of_the_instances_are_compared_on_these_alone() -> None:
    every = [run(1.0), run(2.0), run(30.0)]
    runs: dict[str, list[Run | None]] = {
        "guided": [*every],
        "default": [run(4.0), run(4.0), run(90.0)],
        "tuned pscost": [run(2.0), run(2.0), run(60.0)],
        "settings alone": [run(1.5), run(2.5), None],
    }
    metrics = branching_bench.summary(runs)
    assert "settings alone" not in metrics["seconds"]
    assert "settings alone" not in metrics["nodes"]
    shared = metrics["on_the_first"]["settings alone"]
    assert shared["instances"] == 2
    assert shared["guided"] == pytest.approx(6.0**0.5 - 1.0)
    assert shared["seconds"] > shared["guided"]


def test_the_notes_tell_for_which_rules_a_race_was_run(tmp_path: Path) -> None:
    path = tmp_path / "raced.toml"
    none = raced.told_of_races("knapsack", ["relpscost", "pscost"], path)
    assert none == "No race was run for relpscost, pscost: these take the lean settings as they are."
    raced.store("knapsack", "pscost", Settings("won", {"separating/maxrounds": 0}), path)
    assert raced.told_of_races("knapsack", ["relpscost", "pscost"], path) == (
        "Raced on training instances: pscost. No race was run for relpscost: these take the lean settings as they are."
    )
