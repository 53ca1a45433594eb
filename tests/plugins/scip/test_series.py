"""A series starts ahead of its default, never ends elsewhere, and is remembered."""

from __future__ import annotations

from pathlib import Path

import pytest
from cosolve.core.errors import BadInputError, OutputError
from cosolve.plugins.scip.series import KEPT_SOLUTIONS, Series, SeriesOptions
from cosolve.plugins.scip.settings import Settings, settings_named
from pyscipopt import Model, quicksum


def knapsack(shift: int = 0, *, capacity: float = 0.5, size: int = 20, with_slack: bool = False) -> Model:
    model = Model()
    model.hideOutput()
    model.setParams({"separating/maxroundsroot": 0, "presolving/maxrounds": 0, "heuristics/completesol/freq": 0})
    x = [model.addVar(vtype="B", name=f"x{i}") for i in range(size)]
    z = model.addVar(vtype="C", ub=3.0, name="z") if with_slack else 0.0
    for k in range(4):
        weights = [(7 * i + 11 * k + i * i * (k + 1)) % 23 + 5 for i in range(size)]
        model.addCons(quicksum(w * v for w, v in zip(weights, x, strict=True)) + z <= int(sum(weights) * capacity))
    model.setObjective(quicksum(((5 * i + 3 * shift) % 19 + 11) * v for i, v in enumerate(x)) + 0.5 * z, "maximize")
    return model


def solved(model: Model) -> float:
    model.optimize()
    assert model.getStatus() == "optimal"
    return float(model.getObjVal())


@pytest.mark.parametrize("starts", ["none", "last", "all"])
def test_a_series_ends_at_the_optima_of_its_instances(starts: str) -> None:
    series = Series(SeriesOptions(starts=starts))
    for shift in range(5):
        model = knapsack(shift, capacity=0.5 - 0.02 * shift)
        series.prepare(model)
        assert solved(model) == solved(knapsack(shift, capacity=0.5 - 0.02 * shift))
        series.learn(model)
    assert len(series.solutions) <= KEPT_SOLUTIONS
    assert all(solution for solution in series.solutions)


def test_a_solution_that_still_fits_is_there_before_the_search() -> None:
    series = Series()
    first = knapsack()
    series.prepare(first)
    best = solved(first)
    series.learn(first)
    again = knapsack()
    series.prepare(again)
    again.setParam("limits/nodes", 1)
    for name in again.getParams():
        if name.startswith("heuristics/") and name.endswith("/freq"):
            again.setParam(name, -1)
    again.optimize()
    assert again.getNSols() >= 1
    assert again.getObjVal() == best


def test_a_solution_that_fits_no_more_is_completed() -> None:
    series = Series(SeriesOptions(starts="last", pseudo_costs=False))
    first = knapsack(with_slack=True)
    solved(first)
    series.learn(first)
    # Continuous values are left open: what the integers leave over is found anew.
    tighter = knapsack(with_slack=True)
    tighter.chgVarUb(next(v for v in tighter.getVars() if v.name == "z"), 1.0)
    series.prepare(tighter)
    assert solved(tighter) == pytest.approx(solved_with_bound())


def solved_with_bound() -> float:
    model = knapsack(with_slack=True)
    model.chgVarUb(next(v for v in model.getVars() if v.name == "z"), 1.0)
    return solved(model)


def test_pseudo_costs_are_handed_on() -> None:
    series = Series(SeriesOptions(starts="none"))
    first = knapsack(size=30)
    solved(first)
    series.learn(first)
    assert first.getNTotalNodes() > 1
    assert set(series.pseudo_costs) == {f"x{i}" for i in range(30)}
    assert all(down >= 0.0 and up >= 0.0 and weight == 1.0 for down, up, weight in series.pseudo_costs.values())
    second = knapsack(size=30)
    series.prepare(second)
    assert solved(second) == first.getObjVal()
    second.freeProb()


def test_the_settings_that_win_a_race_are_chosen_and_the_users_own_stay() -> None:
    candidates = [settings_named("default"), settings_named("lean"), Settings("quick", {"lp/pricing": "q"})]
    series = Series(SeriesOptions(settings=candidates))
    model = knapsack(size=6)
    series.prepare(model)
    assert series.chosen == candidates[0]
    model.optimize()
    series.learn(model)
    scores = iter([0.9, 0.2, 0.8])
    series.race(lambda: knapsack(size=6), 5.0, lambda found: next(scores) if found.solved else 9.0)
    assert series.race_seconds > 0.0
    again = knapsack(size=6)
    again.setParam("separating/maxroundsroot", 4)
    series.prepare(again)
    assert series.chosen == candidates[1]
    assert again.getParam("separating/maxroundsroot") == 4
    assert again.getParam("separating/maxrounds") == 0


def test_other_variables_and_no_solution_are_borne() -> None:
    series = Series()
    first = knapsack(size=12)
    solved(first)
    series.learn(first)
    larger = knapsack(size=15)
    series.prepare(larger)
    assert solved(larger) == solved(knapsack(size=15))
    infeasible = knapsack(size=12)
    infeasible.addCons(quicksum(infeasible.getVars()) >= 100.0)
    series.prepare(infeasible)
    infeasible.optimize()
    assert infeasible.getStatus() == "infeasible"
    series.learn(infeasible)
    assert len(series.solutions) == 1


def test_a_series_is_kept_for_tomorrow(tmp_path: Path) -> None:
    path = tmp_path / "series.json"
    series = Series(SeriesOptions(settings=[settings_named("lean")]))
    model = knapsack()
    series.prepare(model)
    solved(model)
    series.learn(model)
    series.save(path)
    again = Series.load(path, series.options)
    assert (again.solutions, again.pseudo_costs, again.scores) == (series.solutions, series.pseudo_costs, series.scores)
    path.write_text("{}")
    with pytest.raises(BadInputError, match="begin a new series"):
        Series.load(path)
    with pytest.raises(OutputError, match="give another path"):
        series.save(tmp_path)
