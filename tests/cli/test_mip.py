"""A mixed-integer program from the command line: train, run, explain, and what is wrong in one sentence each."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

pytest.importorskip("pyscipopt")
sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "plugins" / "scip"))

from cosolve.core.cli.main import group
from cosolve.core.errors import BadInputError, CosolveError, NotConvergedError
from cosolve.core.model_file import ModelCard, save_surrogate
from mip_models import LEAN, guide, toy


def cosolve(*arguments: str | Path) -> Result:
    return CliRunner().invoke(group, [str(one) for one in arguments], obj={"petsc": []}, standalone_mode=False)


def write(model, path: Path) -> Path:
    model.hideOutput()
    model.writeProblem(str(path), verbose=False)
    return path


@pytest.fixture
def case(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    write(toy(), tmp_path / "tomorrow.mps")
    save_surrogate(tmp_path / "fleet.safetensors", guide(settings=LEAN), ModelCard(surrogate="mip_guide"))
    path = tmp_path / "mip.toml"
    path.write_text(
        '[problem]\nname = "mip"\ninstance = "tomorrow.mps"\n[coupling]\nname = "branching"\n'
        '[[surrogate]]\nmodel = "fleet.safetensors"\n[output]\nreport = false\n'
    )
    return path


def test_a_case_is_solved_and_explained(case: Path) -> None:
    done = cosolve("run", case)
    assert done.exception is None, done.output
    alone = toy()
    alone.optimize()
    assert "SCIP proved the optimum" in done.output
    assert f"{alone.getObjVal():.10g}" in done.output
    assert Path("runs/mip/solution.sol").read_text().startswith("objective value:")
    told = cosolve("explain", "runs/mip").output
    assert "SCIP ended with the status 'optimal'" in told
    assert "Features and network took" in told
    records = [json.loads(line) for line in Path("runs/mip/ledger.jsonl").read_text().splitlines()]
    nodes = [record["node"] for record in records if record["kind"] == "branching"]
    told = cosolve("explain", "runs/mip", "--step", str(nodes[0])).output
    assert "the guide chose 'x" in told
    assert "The pseudo-cost rule would have chosen the same." in told
    missing = cosolve("explain", "runs/mip", "--step", "999999").exception
    assert isinstance(missing, BadInputError)
    assert "no decision of the guide at node 999999" in str(missing)


def test_without_a_guide_and_in_mode_off_scip_runs_alone(case: Path) -> None:
    done = cosolve("run", case, "--mode", "off")
    assert done.exception is None, done.output
    assert "SCIP proved the optimum" in done.output
    assert "Features and network" not in cosolve("explain", "runs/mip").output


def test_a_limit_is_told_by_its_name(case: Path) -> None:
    done = cosolve("run", case, "--set", 'problem.params={"limits/nodes"=2}')
    assert isinstance(done.exception, NotConvergedError)
    assert "node limit was reached" in str(done.exception)


def test_a_file_that_crashes_scip_s_reader_is_refused(case: Path) -> None:
    whole = Path("tomorrow.mps").read_text()
    end = whole.index("\nCOLUMNS")
    Path("tomorrow.mps").write_text(whole[: whole.rindex("\n", 0, end)] + "\n L  ")
    done = cosolve("run", case)
    assert isinstance(done.exception, BadInputError)
    assert "reader crashes on this file" in str(done.exception)


def infeasible():
    model = toy()
    model.addCons(model.getVars()[0] + model.getVars()[1] >= 3)
    return model


def unbounded():
    model = toy()
    free = model.addVar("free", vtype="I", lb=None, obj=1.0)
    model.addCons(free + model.getVars()[0] <= 9)
    return model


@pytest.mark.parametrize(("make", "word"), [(infeasible, "infeasible"), (unbounded, "unbounded")])
def test_infeasible_and_unbounded_models_are_answers(case: Path, make, word: str) -> None:
    write(make(), case.parent / "tomorrow.mps")
    done = cosolve("run", case)
    assert done.exception is None, done.output
    assert word in done.output


@pytest.mark.parametrize(
    ("assignment", "sentence"),
    [
        ("problem.instance=nowhere.mps", "nowhere.mps"),
        ('problem.params={"limits/nodez"=2}', "did you mean 'limits/nodes'"),
        ('problem.params={"limits/nodes"="many"}', "SCIP refused limits/nodes"),
        ("problem.start=nowhere.sol", "nowhere.sol"),
    ],
)
def test_bad_input_is_one_sentence(case: Path, assignment: str, sentence: str) -> None:
    done = cosolve("run", case, "--set", assignment)
    assert isinstance(done.exception, BadInputError)
    assert sentence in str(done.exception)


def test_an_instance_without_integers(case: Path) -> None:
    (case.parent / "tomorrow.lp").write_text("Minimize\n obj: x\nSubject To\n c: x >= 1\nEnd\n")
    done = cosolve("run", case, "--set", "problem.instance=tomorrow.lp")
    assert isinstance(done.exception, BadInputError)
    assert "no integer variables" in str(done.exception)


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    found = tmp_path / "fleet"
    found.mkdir()
    for seed in range(8):
        write(toy(seed, 60, 120), found / f"day{seed}.mps")
    (found / "continuous.lp").write_text("Minimize\n obj: x\nSubject To\n c: x >= 1\nEnd\n")
    (found / "notes.txt").write_text("not an instance")
    return found


def train(folder: Path, minutes: float = 0.5) -> Result:
    return cosolve(
        *("train", "branching", "--instances", folder, "--out", "fleet.safetensors", "--minutes", minutes),
        *("--set", "problem.jobs=1", "--set", "problem.fits=1", "--set", "problem.validation_instances=1"),
    )


def test_a_folder_becomes_a_guide_and_training_resumes(folder: Path) -> None:
    done = train(folder)
    assert done.exception is None, done.output
    assert "score_ratio" in done.output
    assert "refused      continuous.lp" in done.output
    report = json.loads(Path("fleet.json").read_text())
    assert report["notes"]["advice"]
    assert report["notes"]["labelled_nodes"] >= 20
    kept = {path.name: path.stat().st_mtime_ns for path in Path("fleet.labels").glob("*.npz")}
    assert len(kept) == 9
    hashed = report["data_sha256"]
    again = train(folder)
    assert again.exception is None, again.output
    assert {path.name: path.stat().st_mtime_ns for path in Path("fleet.labels").glob("*.npz")} == kept
    assert json.loads(Path("fleet.json").read_text())["data_sha256"] == hashed
    # What was trained works in a script, or says why not.
    import cosolve as package

    model = toy(11, 60, 120)
    guidance = package.guide(model, "fleet.safetensors")
    model.optimize()
    assert guidance.decisions > 0 or guidance.declined
    assert model.getStatus() == "optimal"


@pytest.mark.parametrize(
    ("make", "sentence"),
    [
        (lambda folder: folder / "nowhere", "does not exist"),
        (lambda folder: _only(folder, "notes.txt"), "holds no instances"),
        (lambda folder: _only(folder, "continuous.lp"), "could not be used (continuous.lp"),
    ],
)
def test_folders_that_teach_nothing(folder: Path, make, sentence: str) -> None:
    done = train(make(folder), 0.1)
    assert isinstance(done.exception, CosolveError)
    assert sentence in str(done.exception)


def _only(folder: Path, name: str) -> Path:
    for path in folder.iterdir():
        if path.name != name:
            path.unlink()
    return folder


def test_a_budget_that_is_used_up_says_so(folder: Path) -> None:
    done = train(folder, 0.0001)
    assert isinstance(done.exception, BadInputError)
    assert "left out by the budget" in str(done.exception)
