"""What is measured of an instance, who belongs to the training's kind, and the exact check of a solution."""

from __future__ import annotations

from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest
from cosolve.core.errors import BadInputError
from cosolve.core.query import Query
from cosolve.plugins.scip.instance import find_instances, read_instance, rehearse
from cosolve.plugins.scip.instance_features import NAMES, envelope_of, measure
from cosolve.plugins.scip.linear_rows import check_exactly, linear_rows
from cosolve.plugins.scip.solver import ScipSolver
from mip_models import general_integers, guide, toy
from pyscipopt import Model, quicksum


def kinds() -> Model:
    model = Model()
    model.hideOutput()
    x = [model.addVar(f"x{j}", vtype="B", obj=float(j)) for j in range(6)]
    y = model.addVar("y", vtype="I", ub=9)
    z = model.addVar("z")
    model.addCons(quicksum(x[:3]) >= 1)
    model.addCons(quicksum(x[2:5]) <= 1)
    model.addCons(quicksum(x[1:4]) == 1)
    model.addCons(-x[0] - x[1] - x[5] <= -1)
    model.addCons(3 * x[0] + 4 * x[1] + 5 * x[2] <= 8)
    model.addCons(x[0] + y - z <= 2)
    model.addCons(y <= 3 * x[5])
    model.addCons(x[0] * x[1] <= 1)
    return model


def test_rows_are_told_apart() -> None:
    found = measure(kinds())
    assert set(found) == set(NAMES)
    eighth = 1 / 8
    assert found["cover_rows"] == 2 * eighth  # also the one that is written with minus signs
    assert found["pack_rows"] == found["partition_rows"] == found["knapsack_rows"] == eighth
    assert found["mixed_sign_rows"] == found["two_variable_rows"] == found["other_rows"] == eighth
    assert found["equality_rows"] == eighth
    assert found["binary"] == 6 / 8
    assert found["integer"] == found["continuous"] == eighth


def test_larger_instances_of_the_kind_are_inside_and_others_outside() -> None:
    known = guide(envelope=envelope_of([measure(toy(seed)) for seed in range(4)]))
    assert known.outside(measure(toy(7, 160, 320))) == ""
    assert "log_variables" in known.outside(measure(toy(7, 160, 8000)))
    assert known.outside(measure(general_integers()))
    assert known.outside({})


def test_an_exact_check_needs_no_tolerance() -> None:
    model = Model()
    model.hideOutput()
    x, y = model.addVar("x", vtype="I", ub=10**9), model.addVar("y", vtype="I", ub=10**9)
    model.addCons(3 * x + 7 * y <= 10**9, "row")
    model.setObjective(x + 2 * y)
    rows = linear_rows(model)
    good = check_exactly(rows, [0.9999999, 142857142.0])
    assert good.feasible
    assert good.objective == Fraction(1 + 2 * 142857142)
    bad = check_exactly(rows, [3.0, 142857142.0])
    assert not bad.feasible
    assert bad.worst == Fraction(3)
    with pytest.raises(BadInputError, match="finite value for each of 2"):
        check_exactly(rows, [1.0, float("nan")])


def test_scip_s_solution_is_feasible_exactly_and_a_wrong_one_is_measured() -> None:
    model = toy()
    solver = ScipSolver(model)
    rows = linear_rows(model)
    result = solver.step(Query(solver.initial_state()))
    assert result.converged
    assert check_exactly(rows, result.value).feasible
    measured = solver.measure(Query(result.value), result.value)
    assert measured.ratio <= 1.0
    assert solver.measure(Query(result.value), np.zeros_like(result.value)).ratio > 1e5
    assert solver.quantities(result.value)["objective"] == pytest.approx(model.getObjVal())


def test_files_that_are_no_instances(tmp_path: Path) -> None:
    with pytest.raises(BadInputError, match="does not exist"):
        read_instance(tmp_path / "none.mps")
    (tmp_path / "text.lp").write_text("this is no linear program at all <<< 3\n")
    with pytest.raises(BadInputError, match=r"text\.lp"):
        read_instance(tmp_path / "text.lp")
    with pytest.raises(BadInputError, match="does not exist"):
        find_instances(tmp_path / "nowhere")
    (tmp_path / "deep").mkdir()
    (tmp_path / "deep" / "a.MPS.gz").write_bytes(b"")
    assert [path.name for path in find_instances(tmp_path)] == ["a.MPS.gz", "text.lp"]


def test_a_file_that_crashes_the_reader_gets_a_sentence(tmp_path: Path) -> None:
    whole = tmp_path / "whole.mps"
    model = general_integers()
    model.writeProblem(str(whole), verbose=False)
    rehearse(whole)
    (tmp_path / "cut.mps").write_text("NAME cut\nROWS\n N  obj\n L  first\n L  ")
    with pytest.raises(BadInputError, match=r"cut\.mps: SCIP's reader crashes on this file \(SIG\w+\)"):
        rehearse(tmp_path / "cut.mps")
    # An error that SCIP tells itself is left to `read_instance`, which gives its reason.
    (tmp_path / "text.lp").write_text("this is no linear program at all <<< 3\n")
    rehearse(tmp_path / "text.lp")
    with pytest.raises(BadInputError, match="does not exist"):
        rehearse(tmp_path / "none.mps")
