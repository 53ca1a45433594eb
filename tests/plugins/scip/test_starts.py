"""Covering programs, the search for starts, and what SCIP makes of them."""

from __future__ import annotations

import cosolve
import numpy as np
import pytest
from cosolve.examples.mips.families import generate
from cosolve.plugins.scip.covering import Covering, covering_of
from cosolve.plugins.scip.covering_search import search
from cosolve.plugins.scip.settings import Settings
from hypothesis import given, settings
from hypothesis import strategies as st
from mip_models import LEAN, general_integers, guide, optimum, toy
from pyscipopt import Model, quicksum

QUIET = Settings("quiet", {**LEAN.params, "heuristics/rounding/freq": -1, "heuristics/oneopt/freq": -1})


def packing(seed: int = 0) -> Model:
    """Return a small auction."""
    rng = np.random.default_rng(seed)
    model = Model()
    model.hideOutput()
    x = [model.addVar(f"x{j}", vtype="B") for j in range(60)]
    for i in range(25):
        model.addCons(quicksum(x[int(j)] for j in rng.choice(60, 8, replace=False)) <= 1, f"item{i}")
    model.setObjective(quicksum(int(rng.integers(10, 50)) * x[j] for j in range(60)), "maximize")
    return model


def covered(program: Covering, chosen: np.ndarray) -> bool:
    counts = np.add.reduceat(chosen[program.columns].astype(int), program.row_starts[:-1])
    return bool((counts >= program.needed).all())


@pytest.mark.parametrize("make", [toy, packing])
def test_a_covering_or_packing_program_gets_a_start_near_its_optimum(make) -> None:
    model = make()
    program = covering_of(model)
    assert isinstance(program, Covering)
    chosen = search(program, 3000)
    assert covered(program, chosen)
    values = program.values(chosen)
    found = sum(variable.getObj() * values[variable.name] for variable in model.getVars())
    best = optimum(model)
    assert abs(found - best) <= 0.03 * abs(best)
    np.testing.assert_array_equal(search(program, 3000), chosen)  # no clock, no hidden state


def test_more_steps_are_never_worse() -> None:
    program = covering_of(generate("set-cover", "easy", 900).model())
    assert isinstance(program, Covering)
    costs = [float(program.costs @ search(program, steps)) for steps in (1, 50, 1000)]
    assert costs[0] >= costs[1] >= costs[2]
    assert costs[2] < costs[0]


@settings(max_examples=40, deadline=None)
@given(st.integers(0, 2**31), st.integers(2, 12), st.integers(1, 9), st.integers(0, 60))
def test_every_row_gets_what_it_needs(seed: int, columns: int, rows: int, steps: int) -> None:
    rng = np.random.default_rng(seed)
    members = [rng.choice(columns, int(rng.integers(1, columns + 1)), replace=False) for _ in range(rows)]
    sizes = np.array([len(one) for one in members])
    program = Covering(
        tuple(f"x{j}" for j in range(columns)),
        np.zeros(columns, bool),
        np.concatenate([[0], np.cumsum(sizes)]).astype(np.int32),
        np.concatenate(members).astype(np.int32),
        rng.integers(0, sizes + 1).astype(np.int32),
        rng.integers(0, 5, columns).astype(float),
    )
    assert covered(program, search(program, steps, seed))


def test_other_programs_are_told_apart() -> None:
    def one(build) -> Model:
        model = Model()
        model.hideOutput()
        x = [model.addVar(f"x{j}", vtype="B", obj=1.0) for j in range(4)]
        build(model, x)
        return model

    assert "not binary" in str(covering_of(general_integers()))
    assert "two sides" in str(covering_of(one(lambda model, x: model.addCons(quicksum(x) == 1))))
    assert "several coefficients" in str(covering_of(one(lambda model, x: model.addCons(x[0] + 2 * x[1] >= 1))))
    assert "not linear" in str(covering_of(one(lambda model, x: model.addCons(x[0] * x[1] >= 1))))
    assert "cannot be covered" in str(covering_of(one(lambda model, x: model.addCons(x[0] + x[1] >= 3))))
    assert "worth having" in str(covering_of(one(lambda model, x: model.addCons(x[0] + x[1] <= 1))))

    def both(model: Model, x: list) -> None:
        model.addCons(x[0] + x[1] >= 1)
        model.addCons(x[1] + x[2] <= 1)

    assert "both cover and pack" in str(covering_of(one(both)))


def test_a_row_with_scaled_coefficients_is_a_row() -> None:
    model = Model()
    model.hideOutput()
    x = [model.addVar(f"x{j}", vtype="B", obj=1.0 + j) for j in range(4)]
    model.addCons(-3 * x[0] - 3 * x[1] - 3 * x[2] <= -4)  # two of three
    program = covering_of(model)
    assert isinstance(program, Covering)
    assert list(program.needed) == [2]
    assert program.values(search(program, 20)) == {"x0": 1.0, "x1": 1.0, "x2": 0.0, "x3": 0.0}


@pytest.mark.parametrize("make", [toy, packing])
def test_a_guide_s_start_is_checked_by_scip_and_leads_to_the_same_optimum(make) -> None:
    best = optimum(make())
    model = make()
    guidance = cosolve.guide(model, guide(settings=QUIET, start_steps=500))
    assert model.getNSols() == 1
    assert not guidance.declined
    assert model.getParam("heuristics/rounding/freq") == -1
    model.optimize()
    assert model.getObjVal() == pytest.approx(best)


def test_without_its_start_a_guide_leaves_the_heuristics_on() -> None:
    model = toy()
    guidance = cosolve.guide(model, guide(settings=QUIET, start_steps=500), start=False)
    assert model.getNSols() == 0
    assert model.getParam("heuristics/rounding/freq") == 1
    assert model.getParam("presolving/maxrestarts") == 0
    assert not guidance.declined
    model = general_integers()
    for name in ("separating/maxrounds", "separating/maxroundsroot", "presolving/maxrestarts"):
        model.resetParam(name)
    guidance = cosolve.guide(model, guide(settings=QUIET, start_steps=500))
    assert [one.point for one in guidance.declined] == ["start"]
    assert "not binary" in guidance.declined[0].reason
    assert model.getParam("heuristics/rounding/freq") == 1


def test_the_user_s_start_comes_first() -> None:
    model = toy()
    values = {variable.name: 1.0 for variable in model.getVars()}
    cosolve.guide(model, guide(settings=QUIET, start_steps=500), start=values)
    assert model.getNSols() == 1
    model.optimize()
    assert model.getObjVal() == pytest.approx(optimum(toy()))
