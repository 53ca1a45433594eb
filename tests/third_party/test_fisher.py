"""The third-party distribution of the examples: installed in a fresh environment, checked, and run."""

from __future__ import annotations

import re
import shutil
from pathlib import Path

import pytest
from environment import Environment

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture(scope="module")
def installed(fresh: Environment, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A copy of the distribution, so that pip leaves nothing in the repository."""
    folder = tmp_path_factory.mktemp("fisher") / "third_party"
    shutil.copytree(ROOT / "examples" / "third_party", folder, ignore=shutil.ignore_patterns("build", "*.egg-info"))
    fresh.install(folder)
    return folder


def test_it_registers_a_solver_a_surrogate_and_a_verifier(installed: Path, fresh: Environment) -> None:
    table = fresh.run("cosolve", "plugins").stdout
    row = next(line for line in table.splitlines() if " fisher " in line)
    assert "loaded" in row
    assert "cosolve-fisher 0.1.0" in row
    assert "1 surrogate, 1 solver, 1 verifier" in row


def test_it_passes_check_plugin(installed: Path, fresh: Environment) -> None:
    done = fresh.run("cosolve", "check-plugin", "fisher", "--ranks", "1")
    assert done.returncode == 0, done.stdout + done.stderr
    assert "gradients 1" in done.stdout


def test_its_own_tests_pass(installed: Path, fresh: Environment) -> None:
    done = fresh.run("python", "-m", "pytest", "-q", "-p", "no:cacheprovider", cwd=installed)
    assert done.returncode == 0, done.stdout[-3000:]


def test_the_wave_travels_at_its_own_speed(installed: Path, fresh: Environment, tmp_path: Path) -> None:
    done = fresh.run("python", str(installed / "front.py"), cwd=tmp_path)
    assert done.returncode == 0, done.stderr[-3000:]
    found = re.search(r"front at ([\d.]+), exact ([\d.]+); relative error (\S+)", done.stdout)
    assert found, done.stdout
    position, exact, error = map(float, found.groups())
    assert position == pytest.approx(exact, rel=0.02)
    assert error < 1e-2
    asked = re.search(r"(\d+) of 300 steps accepted", done.stdout)
    assert asked
    assert int(asked.group(1)) >= 1
