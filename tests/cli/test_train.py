"""`cosolve train`: the documented command makes a model that a case can use; what is wrong is one sentence."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
COMMAND = [sys.executable, "-c", "from cosolve.core.cli.main import main; main()", "train"]


def train(folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run([*COMMAND, *arguments], cwd=folder, capture_output=True, text=True, check=False)


@pytest.fixture
def case(tmp_path: Path) -> Path:
    path = tmp_path / "case.toml"
    path.write_text((ROOT / "examples/embedded/case.toml").read_text())
    return path


def test_the_help_has_an_example() -> None:
    done = train(ROOT, "--help")
    assert done.returncode == 0
    assert "cosolve train examples/heat/case.toml" in done.stdout


def test_the_embedded_problem_is_trained_without_the_model_that_its_case_names(case: Path, tmp_path: Path) -> None:
    assert not (tmp_path / "embedded.safetensors").exists()
    done = train(tmp_path, str(case), "--runs", "12", "--seed", "3", "--budget-minutes", "4")
    assert done.returncode == 0, done.stderr
    model = tmp_path / "runs/models/embedded.safetensors"
    assert model.is_file()
    summary = json.loads(model.with_suffix(".json").read_text())
    assert summary["problem"] == "embedded"
    assert summary["seed"] == 3
    assert sum(summary["runs"].values()) == 12
    assert summary["cost_data_seconds"] > 0.0
    assert "runs/models/embedded.json" in done.stdout
    again = train(
        tmp_path, str(case), "--runs", "12", "--seed", "3", "--budget-minutes", "4", "--output", "b.safetensors"
    )
    assert again.returncode == 0, again.stderr
    repeated = json.loads((tmp_path / "b.json").read_text())
    assert repeated["reused_runs"] == 12
    assert repeated["data_sha256"] == summary["data_sha256"]


@pytest.mark.parametrize(
    ("arguments", "code", "sentence"),
    [
        (("--set", "training.runz=3"), 2, "training.runz"),
        (("--runs", "1"), 2, "training.runs"),
        (("--budget-minutes", "-1"), 2, "training.budget_minutes"),
        (("-ksp_monitor",), 2, "takes no PETSc options, found -ksp_monitor"),
        (("--set", "training.surrogate=fno"), 2, "training.surrogate"),
        (("--output", "case.toml/model.safetensors", "--runs", "2"), 7, "model.safetensors cannot be written"),
    ],
)
def test_what_is_wrong_is_a_sentence(
    case: Path, tmp_path: Path, arguments: tuple[str, ...], code: int, sentence: str
) -> None:
    done = train(tmp_path, str(case), *arguments, *(("--runs", "3") if "surrogate=fno" in arguments[-1] else ()))
    assert done.returncode == code, done.stderr
    assert sentence in done.stderr
    assert "Traceback" not in done.stderr


def test_a_missing_case_is_named(tmp_path: Path) -> None:
    done = train(tmp_path, "absent.toml")
    assert done.returncode == 2
    assert "absent.toml" in done.stderr


def test_a_case_that_names_a_trained_surrogate_without_its_model_says_so(case: Path, tmp_path: Path) -> None:
    text = case.read_text().replace('model = "embedded.safetensors"', 'name = "pod_mlp"')
    case.write_text(text)
    command = [*COMMAND[:-1], "run", "--check", str(case)]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert done.returncode == 2
    assert "'pod_mlp' is built from a trained model: give `model = \"FILE.safetensors\"`" in done.stderr
