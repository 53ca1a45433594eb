"""A race finds the faster settings, stops the slow ones, resumes from its file, and ends when its budget does."""

from __future__ import annotations

import math
from collections.abc import Callable
from pathlib import Path

import pytest
from cosolve.core.errors import BadInputError
from cosolve.plugins.scip import racing
from cosolve.plugins.scip.choices import CHOICES, choices_for, starting_points
from cosolve.plugins.scip.measured import Measured, measure, shifted_geometric_mean
from cosolve.plugins.scip.racing import race
from cosolve.plugins.scip.settings import Settings, defaults, settings_named
from pyscipopt import Model, quicksum


def knapsack(size: int = 12) -> Model:
    model = Model()
    model.hideOutput()
    x = [model.addVar(vtype="B", name=f"x{i}") for i in range(size)]
    for k in range(3):
        weights = [(7 * i + 11 * k + i * i * (k + 1)) % 23 + 5 for i in range(size)]
        model.addCons(quicksum(w * v for w, v in zip(weights, x, strict=True)) <= sum(weights) // 2)
    model.setObjective(quicksum(((5 * i) % 19 + 11) * v for i, v in enumerate(x)), "maximize")
    return model


class Track:
    """Stands in for SCIP's clock: the time of settings is what the track says, and runs are counted."""

    def __init__(self, seconds: Callable[[Settings, int], float]) -> None:
        self.seconds = seconds
        self.runs: list[tuple[str, int]] = []

    def measure(self, model: int, settings: Settings, *, time_limit: float, prepare: object) -> Measured:
        self.runs.append((settings.name, model))
        taken = self.seconds(settings, model)
        status = "optimal" if taken <= time_limit else "timelimit"
        return Measured(min(taken, time_limit), 1, 1, status, 0.0, 0.0)

    def instances(self, count: int) -> list[Callable[[], int]]:
        return [lambda index=index: index for index in range(count)]


@pytest.fixture
def track(monkeypatch: pytest.MonkeyPatch) -> Callable[..., Track]:
    def lay(seconds: Callable[[Settings, int], float]) -> Track:
        made = Track(seconds)
        monkeypatch.setattr(racing, "measure", made.measure)
        return made

    return lay


PACE = {"slow": 50.0, "middling": 5.0, "fast": 1.0, "worse": 9.0}
RUNNERS = [Settings(name, {"limits/nodes": index}) for index, name in enumerate(PACE)]


def test_halving_finds_the_fastest_and_spends_most_on_it(track: Callable[..., Track]) -> None:
    laid = track(lambda settings, index: PACE[settings.name] * (1 + index))
    result = race(laid.instances(8), RUNNERS, 1e9)
    assert result.winner.name == "fast"
    assert result.rows[0].settings.name == "fast"
    assert result.rows[0].instances > result.rows[-1].instances
    assert [row.ratio >= 1.0 for row in result.rows] == [True] * 4
    assert len([run for run in laid.runs if run[0] == "slow"]) == 2


def test_the_budget_ends_a_race(track: Callable[..., Track]) -> None:
    laid = track(lambda settings, index: PACE[settings.name])
    result = race(laid.instances(8), RUNNERS, 20.0)
    assert result.winner.name == "fast"
    assert len(laid.runs) <= 5


def test_a_race_resumes_from_its_file(track: Callable[..., Track], tmp_path: Path) -> None:
    store = tmp_path / "race.jsonl"
    laid = track(lambda settings, index: PACE[settings.name] + index)
    first = race(laid.instances(4), RUNNERS, 1e9, store=store)
    with store.open("a") as file:
        file.write('{"key": "torn\n')
    runs = len(laid.runs)
    again = race(laid.instances(4), RUNNERS, 1e9, store=store)
    assert len(laid.runs) == runs
    assert (again.winner, again.spent_seconds) == (first.winner, first.spent_seconds)
    race(laid.instances(4), RUNNERS, 1e9, store=store, label="other instances")
    assert len(laid.runs) == 2 * runs


def test_challengers_improve_what_halving_left(track: Callable[..., Track]) -> None:
    def seconds(settings: Settings, index: int) -> float:
        return (
            4.0 - 2.0 * (settings.params.get("lp/pricing") == "q") - (settings.params.get("conflict/enable") is False)
        )

    choices = {"lp/pricing": ("l", "q"), "conflict/enable": (True, False), "lp/fastmip": (1, 0)}
    result = race(track(seconds).instances(6), [Settings("default")], 400.0, choices=choices)
    assert result.winner.params["lp/pricing"] == "q"
    assert result.winner.params["conflict/enable"] is False


def test_nothing_to_race_is_said() -> None:
    with pytest.raises(BadInputError, match="give both"):
        race([], RUNNERS, 1.0)


def test_choices_are_parameters_of_this_scip_and_hold_its_default() -> None:
    for name, values in choices_for("relpscost").items():
        assert name in defaults()
        model = Model()
        for value in values:
            model.setParam(name, value)
    assert set(CHOICES) < set(choices_for("relpscost"))
    assert all("relpscost" in one.name for one in starting_points("relpscost"))


def test_scip_is_measured_by_its_own_clock_and_the_preparation_counts() -> None:
    seen = []
    done = measure(knapsack(), settings_named("lean+pscost"), prepare=lambda model: seen.append(sum(range(10**6))))
    assert done.solved
    assert seen
    assert done.seconds >= done.setup_seconds > 0.0
    default = measure(knapsack(), Settings("default"), seed_shift=3)
    assert done.primal == default.primal == default.dual
    assert Measured.from_json(done.as_json()) == done
    stopped = measure(knapsack(40), Settings("default"), time_limit=0.0)
    assert not stopped.solved
    assert math.isnan(Measured.from_json(stopped.as_json()).primal) or stopped.primal > 0.0
    assert shifted_geometric_mean([2.0, 2.0]) == pytest.approx(2.0)


def test_a_race_with_scip_itself() -> None:
    result = race([knapsack, lambda: knapsack(14)], [settings_named("lean"), settings_named("lean+pscost")], 5.0)
    assert result.spent_seconds < 5.0
    assert {row.settings.name for row in result.rows} == {"lean", "lean+pscost"}
