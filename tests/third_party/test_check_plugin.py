"""`cosolve check-plugin` finds every planted fault and accuses no good plugin."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections import defaultdict
from pathlib import Path
from typing import Any

import pytest

sys.path.insert(0, str(Path(__file__).parent))

from plants import BAD, GOOD, HANGING, Plant

ENVIRONMENT = {
    "OMP_NUM_THREADS": "1",
    "OPENBLAS_NUM_THREADS": "1",
    "OMPI_ALLOW_RUN_AS_ROOT": "1",
    "OMPI_ALLOW_RUN_AS_ROOT_CONFIRM": "1",
    "COLUMNS": "160",
}


def install(folder: Path, plants: list[Plant]) -> None:
    """Write distributions that Python finds in `folder`."""
    folder.mkdir(exist_ok=True)
    for plant in plants:
        for module, text in plant.modules().items():
            (folder / f"{module}.py").write_text(text)
        info = folder / f"{plant.name}-1.0.dist-info"
        info.mkdir()
        (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {plant.name}\nVersion: 1.0\n")
        (info / "entry_points.txt").write_text(f"[cosolve]\n{plant.name} = {plant.name}\n")


def check(folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    code = "from cosolve.core.cli.main import main; main()"
    return subprocess.run(
        [sys.executable, "-c", code, "check-plugin", *arguments],
        capture_output=True,
        text=True,
        check=False,
        env={**os.environ, **ENVIRONMENT, "PYTHONPATH": str(folder)},
        timeout=500,
    )


def findings(path: Path) -> dict[str, list[dict[str, Any]]]:
    found: dict[str, list[dict[str, Any]]] = defaultdict(list)
    for record in json.loads(path.read_text()):
        found[record["plugin"]].append(record)
    return found


Checked = tuple[subprocess.CompletedProcess[str], dict[str, list[dict[str, Any]]]]

PARALLEL = [plant for plant in BAD if plant.group == "ranks"]
"""Only several ranks show these; together with the good ones they go into one mpirun for each number of ranks."""


def checked(folder: Path, plants: list[Plant], *options: str) -> Checked:
    """Check plants in one call."""
    install(folder / "site", plants)
    path = folder / "findings.json"
    done = check(folder / "site", *[plant.name for plant in plants], "--json", str(path), *options)
    assert path.exists(), done.stdout[-2000:] + done.stderr[-2000:]
    return done, findings(path)


@pytest.fixture(scope="module")
def alone(tmp_path_factory: pytest.TempPathFactory) -> Checked:
    """The good plugins, and all whose fault one rank shows."""
    plants = GOOD + [plant for plant in BAD if plant not in PARALLEL]
    return checked(tmp_path_factory.mktemp("alone"), plants, "--ranks", "1")


@pytest.fixture(scope="module")
def on_ranks(tmp_path_factory: pytest.TempPathFactory) -> Checked:
    """Good plugins, and those whose fault only several ranks show."""
    if shutil.which("mpirun") is None:
        pytest.skip("needs mpirun and mpi4py: `make setup` installs both on Debian")
    good = [plant for plant in GOOD if plant.name in ("good_pointwise", "good_verifier")]
    return checked(tmp_path_factory.mktemp("ranks"), good + PARALLEL, "--ranks", "2")


def accused(found: Checked, plant: Plant) -> list[dict[str, Any]]:
    assert found[1][plant.name], "it was not checked"
    return [finding for finding in found[1][plant.name] if finding["state"] == "failed"]


@pytest.mark.parametrize("plant", GOOD, ids=lambda plant: plant.name)
def test_a_good_plugin_is_not_accused(plant: Plant, alone: Checked) -> None:
    assert not [f"{f['check']}: {f['reason']}" for f in accused(alone, plant)]


@pytest.mark.parametrize("plant", BAD, ids=lambda plant: plant.name)
def test_a_planted_fault_is_found_where_it_lies(plant: Plant, request: pytest.FixtureRequest) -> None:
    found = accused(request.getfixturevalue("on_ranks" if plant in PARALLEL else "alone"), plant)
    assert plant.group in {f["group"] for f in found}, [f"{f['check']}: {f['reason']}" for f in found]
    for finding in found:
        assert len(finding["reason"].split()) >= 4, f"no sentence for people: {finding}"


def test_on_several_ranks_no_good_plugin_is_accused(on_ranks: Checked) -> None:
    for plant in GOOD:
        if plant.name in on_ranks[1]:
            assert not [f"{f['check']}: {f['reason']}" for f in accused(on_ranks, plant)]
            assert {f["ranks"] for f in on_ranks[1][plant.name] if f["state"] == "passed"} == {1, 2}


@pytest.mark.slow
def test_all_plugins_on_all_ranks(tmp_path: Path) -> None:
    found = checked(tmp_path, GOOD + BAD)
    for plant in GOOD + BAD:
        assert bool(accused(found, plant)) == (plant in BAD), plant.name


def test_the_table_says_which_and_the_exit_code_tells(alone: Checked) -> None:
    done = alone[0]
    assert done.returncode == 4
    assert "good_solver: " in done.stdout
    assert "checks failed: " in done.stderr
    assert "Traceback" not in done.stdout + done.stderr
    for plant in GOOD:
        assert f"plugin '{plant.name}'" not in done.stderr


def test_one_good_plugin_ends_with_zero(tmp_path: Path) -> None:
    install(tmp_path / "site", GOOD[:1])
    done = check(tmp_path / "site", "good_pointwise", "--ranks", "1", "-v")
    assert done.returncode == 0, done.stdout + done.stderr
    assert "gradients 1" in done.stdout
    assert "(ranks 1)" in done.stdout


@pytest.mark.parametrize(
    ("arguments", "code", "sentence"),
    [
        (["pointwise"], 2, "unknown plugin 'pointwise'; did you mean 'good_pointwise'?"),
        ([], 2, "expected the name of an installed plugin, found none"),
        (["broken"], 4, "plugin 'broken' of broken 1.0 is broken: its import of 'broken' failed"),
    ],
)
def test_what_cannot_be_checked_is_a_sentence(arguments: list[str], code: int, sentence: str, tmp_path: Path) -> None:
    install(tmp_path / "site", [GOOD[0], Plant("broken", "surrogate", "")])
    (tmp_path / "site" / "broken.py").write_text("import nothing_of_this_name\n")
    done = check(tmp_path / "site", *arguments, "--ranks", "1")
    assert done.returncode == code
    assert sentence in done.stderr
    assert "Traceback" not in done.stderr


@pytest.mark.slow
def test_ranks_that_wait_for_each_other_are_found_and_the_next_plugin_is_checked(tmp_path: Path) -> None:
    if shutil.which("mpirun") is None:
        pytest.skip("needs mpirun")
    install(tmp_path / "site", [HANGING, GOOD[2]])
    done = check(tmp_path / "site", "bad_hang", "good_solver", "--json", str(tmp_path / "found.json"))
    found = findings(tmp_path / "found.json")
    assert done.returncode == 4
    accused = [f for f in found["bad_hang"] if f["state"] == "failed"]
    assert any("ranks wait for each other" in f["reason"] for f in accused)
    assert {f["ranks"] for f in found["good_solver"] if f["state"] == "passed"} == {1, 2, 3}
