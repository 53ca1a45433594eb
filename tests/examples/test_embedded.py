"""The embedded demo: complete, certified, without torch and MPI, on unseen parameters, and it pays in solves."""

import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from cosolve.core.cli.demo import case_file
from cosolve.core.communicator import SerialCommunicator
from cosolve.core.errors import BadInputError
from cosolve.core.ledger import read_ledger
from cosolve.core.model_file import check_matches, load_card, load_surrogate
from cosolve.core.progress import Progress
from cosolve.core.query import Query
from cosolve.core.registry import Registry
from cosolve.core.run import run
from cosolve.core.training import TrainingSettings, train
from cosolve.examples.embedded.options import EmbeddedOptions
from cosolve.examples.embedded.problem import RTOL, EmbeddedProblem, bump, draw

CASE = case_file("embedded")
MODEL = CASE.parent / "embedded.safetensors"


def hybrid(tmp_path, mode, **overrides):
    """Run the case without its rivals."""
    values = {
        "coupling.name": "time_loop",
        "coupling.mode": mode,
        "output.directory": str(tmp_path / mode),
        "output.fields": False,
        "output.report": False,
        "governor.mode": "off",
    }
    return run(CASE, SerialCommunicator(), overrides=values | overrides)


def test_the_shipped_model_is_small_and_belongs_to_the_problem():
    assert MODEL.stat().st_size <= 200_000
    card = load_card(MODEL)
    for cells in (64, 256):
        check_matches(card, EmbeddedProblem(EmbeddedOptions(cells=cells)).describe())
    assert card.cost_data_seconds > 0.0
    assert (
        card.made_by
        == "cosolve train examples/embedded/case.toml --set training.output=examples/embedded/embedded.safetensors"
    )
    assert card.figures["validation_accepted_share"] > 0.8


def test_unseen_runs_are_not_training_runs():
    card = load_card(MODEL)
    unseen = EmbeddedProblem(EmbeddedOptions(run=0)).parameters
    for index in range(240):
        assert EmbeddedProblem().draw_training_run(card.seed, index)["diffusivity"] != unseen["diffusivity"]


def test_bumps_have_next_to_no_slope_at_the_boundary():
    x = np.array([0.0, 1e-4, 0.3, 0.3 + 1e-4, 1.0 - 1e-4, 1.0])
    slopes = np.abs(np.diff(bump(x, 0.2, 0.3))[::2]) / 1e-4
    # The nearest images are kept, the next ones lie four widths away.
    assert max(slopes[0], slopes[2]) < 0.01 * slopes[1]


def test_replace_accepts_most_steps_certified_and_ends_where_the_solver_ends(tmp_path):
    result = hybrid(tmp_path, "replace")
    classical = hybrid(tmp_path, "off")
    assert result.stats["accepted"] >= 45
    assert result.stats["judged"] == 60
    accepted = [verdict for verdict in result.verdicts if verdict.accepted]
    assert all(
        verdict.grade.value == "certified" and verdict.measure <= 0.5 * verdict.tolerance for verdict in accepted
    )
    difference = np.linalg.norm(result.value - classical.value) / np.linalg.norm(classical.value)
    # Both solve each step to RTOL; the steps contract errors, so the ends agree to that.
    assert difference < RTOL


@pytest.mark.parametrize("mode", ["correct", "initial_guess"])
def test_as_a_start_the_proposal_saves_iterations(tmp_path, mode):
    result = hybrid(tmp_path, mode)
    classical = hybrid(tmp_path, "off")
    difference = np.linalg.norm(result.value - classical.value) / np.linalg.norm(classical.value)
    assert difference < RTOL
    started = [name for name in result.stats["sources"] if name.startswith("pod_ridge+")]
    assert sum(result.stats["sources"][name] for name in started) >= 45


def test_outside_its_training_the_model_costs_time_and_nothing_else(tmp_path):
    # Half the step: every proposal is a guess along a line, and none may pass unless its residual does.
    result = hybrid(tmp_path, "replace", **{"problem.dt": 0.125, "problem.steps": 12})
    classical = hybrid(tmp_path, "off", **{"problem.dt": 0.125, "problem.steps": 12})
    assert result.stats["accepted"] == 0
    assert np.linalg.norm(result.value - classical.value) < 1e-4 * np.linalg.norm(classical.value)


def test_a_quarter_of_the_grid_needs_no_other_model(tmp_path):
    result = hybrid(tmp_path, "replace", **{"problem.cells": 128})
    assert result.stats["accepted"] + result.stats.get("corrected", 0) >= 45


def test_the_comparison_measures_each_rival_beside_the_run(tmp_path):
    overrides = {"output.directory": str(tmp_path / "run"), "problem.steps": 16, "coupling.repeats": 2}
    result = run(CASE, SerialCommunicator(), overrides=overrides)
    assert result.ok
    rows = [row for row in read_ledger(tmp_path / "run") if row["kind"] == "comparison"]
    assert {row["rival"] for row in rows} == {
        f"solver from {name}" for name in ("previous", "linear_extrapolation", "quadratic_extrapolation")
    }
    for row in rows:
        assert len(row["rival_costs"]) == len(row["run_costs"]) == 2
        assert row["rival_cost_seconds"] > 0.0
        assert row["rival_iterations"] >= 16
        assert 0.0 < row["error"] < 1e-3
        assert 0.0 < row["rival_error"] < 1e-3
        assert row["data_seconds"] == load_card(MODEL).cost_data_seconds
    assert rows[0]["rival_cost_seconds"] == min(row["rival_cost_seconds"] for row in rows)
    assert (tmp_path / "run" / "fields.pvd").exists()


class Quiet:
    """Progress that nobody looks at."""

    def __call__(self, share: float, text: str = "") -> None:
        assert 0.0 <= share <= 1.0


def test_training_writes_a_model_that_the_problem_takes(tmp_path):
    problem = EmbeddedProblem(EmbeddedOptions(cells=32, steps=8))
    settings = TrainingSettings(
        output=str(tmp_path / "model.safetensors"),
        data=str(tmp_path / "data"),
        runs=6,
        options={"modes_in": 4, "modes_out": 6, "leading": (6,), "ridge": 1e-6},
    )
    quiet: Progress = Quiet()
    report = train(problem, settings, quiet)
    surrogate = load_surrogate(report.path, Registry.discover())
    check_matches(load_card(report.path), problem.describe())
    solver = problem.make_solver(SerialCommunicator(), {})
    query = Query(solver.initial_state(), 0.0, problem.options.dt, parameters=problem.parameters)
    assert np.all(np.isfinite(surrogate.predict(query).value))
    again = train(problem, settings, quiet)
    assert again.reused == 6
    assert again.card.tensors_sha256 == report.card.tensors_sha256
    with pytest.raises(BadInputError, match="is trained without torch"):
        train(problem, settings.model_copy(update={"surrogate": "fno"}), quiet)


def test_draws_depend_on_seed_and_index_alone():
    one, two = draw(1, 2, 5), draw(1, 2, 5)
    assert all(np.array_equal(one[name], two[name]) for name in one)
    assert draw(1, 3, 5)["diffusivity"] != one["diffusivity"]
    assert draw(2, 2, 5)["diffusivity"] != one["diffusivity"]


def test_the_demo_loads_neither_torch_nor_mpi(tmp_path):
    code = (
        "import sys\n"
        "from cosolve.core.cli.main import main\n"
        "for name in ('torch', 'mpi4py', 'petsc4py', 'dolfinx', 'pyscipopt'):\n"
        "    sys.modules[name] = None\n"
        f"main(['demo', '--embedded', '--output', {str(tmp_path / 'run')!r}, '--set', 'problem.steps=12',"
        " '--set', 'coupling.repeats=1'])\n"
    )
    environment = {key: value for key, value in os.environ.items() if not key.startswith(("OMPI_", "PMI"))}
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=tmp_path, env=environment, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert "against solver from previous" in " ".join(done.stdout.split())
    report = Path(tmp_path / "run" / "report.html").read_text()
    assert "solver from" in report
    assert json.loads((tmp_path / "run" / "ledger.jsonl").read_text().splitlines()[0])
