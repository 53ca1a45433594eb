"""The Brusselator by a user's own TS: proposals save Newton iterations, and the answer is that of the classical run."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

pytest.importorskip("petsc4py", reason="petsc4py is not installed here")

import cosolve
from cosolve.core.ledger import read_ledger

ROOT = Path(__file__).resolve().parents[2]
CASE = ROOT / "examples" / "brusselator" / "case.toml"


def run(folder: Path, **overrides: Any) -> tuple[Any, list[dict[str, Any]]]:
    settings = {"output.directory": str(folder), "output.report": False, "governor.mode": "off"} | overrides
    result = cosolve.run(CASE, overrides=settings)
    return result, [record for record in read_ledger(folder) if record["kind"] == "step"]


def test_proposals_inside_ts_solve_save_newton_iterations(tmp_path: Path) -> None:
    classical, classical_steps = run(tmp_path / "off", **{"coupling.mode": "off"})
    hybrid, steps = run(tmp_path / "hybrid")
    assert len(steps) == len(classical_steps) == 100
    assert hybrid.stats["accepted"] >= 8
    saved = sum(step["iterations"] for step in classical_steps) - sum(step["iterations"] for step in steps)
    assert saved >= 30
    for step in steps:
        for verdict in step["verdicts"]:
            if verdict["decision"] == "accept":
                assert verdict["measure"] <= 0.5 * verdict["tolerance"]
    difference = np.linalg.norm(hybrid.value - classical.value) / np.linalg.norm(classical.value)
    # A hundred steps, each with an algebraic error of up to 1e-4.
    assert difference <= 100 * 1e-4
    assert classical.value.max() == pytest.approx(3.479, abs=0.01)


def test_a_run_goes_on_from_its_checkpoint(tmp_path: Path) -> None:
    small = {"problem.cells": 32, "coupling.mode": "off", "output.checkpoint_every": 10}
    whole, _ = run(tmp_path / "whole", **small)
    run(tmp_path / "parts", **small, **{"coupling.t_end": 2.5})
    rest = {"output.directory": str(tmp_path / "parts"), "output.report": False, "governor.mode": "off"} | small
    result = cosolve.run(CASE, overrides=rest, resume=True)
    assert result.t == pytest.approx(5.0)
    np.testing.assert_allclose(result.value, whole.value, rtol=1e-10)


def test_a_trained_patch_network_halves_the_newton_iterations_and_changes_no_answer() -> None:
    pytest.importorskip("torch")
    from cosolve.examples.brusselator.comparing import compare
    from cosolve.examples.brusselator.options import BrusselatorOptions

    found = compare(BrusselatorOptions(cells=32, seed=7, end_time=5.0), repeats=1)
    classical, network = found["classical"], found["patch network"]
    assert network.iterations <= 0.6 * classical.iterations
    assert network.iterations < found["quadratic_extrapolation"].iterations
    assert network.accepted + network.started >= 90
    for one in found.values():
        away = np.linalg.norm(one.value - classical.value) / np.linalg.norm(classical.value)
        assert away <= 100 * 1e-4  # a hundred steps, each with an algebraic error of up to 1e-4


def on_two_ranks(folder: Path, *words: str) -> subprocess.CompletedProcess[str]:
    """`mpirun -n 2 cosolve run case.toml` with words for PETSc."""
    mpirun = shutil.which("mpirun")
    if mpirun is None:
        pytest.skip("needs mpirun: `make setup` installs it on Debian")
    command = [mpirun, "--oversubscribe", "-n", "2", sys.executable, "-m", "cosolve.core.cli", "run", str(CASE)]
    command += ["--set", "problem.cells=16", "--set", "coupling.t_end=0.5", *words]
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"}
    environment |= {"OMPI_ALLOW_RUN_AS_ROOT": "1", "OMPI_ALLOW_RUN_AS_ROOT_CONFIRM": "1"}
    return subprocess.run(
        command, cwd=folder, env=environment, capture_output=True, text=True, timeout=300, check=False
    )


def test_petscs_options_work_under_mpirun_as_petsc_users_know_them(tmp_path: Path) -> None:
    words = "-brusselator_ksp_monitor -brusselator_ksp_typo 1 -log_view -options_left -brusselator_ksp_rtol 1e-3"
    done = on_two_ranks(tmp_path, *words.split())
    said = done.stdout + done.stderr
    assert done.returncode == 0, said[-4000:]
    assert "KSP Residual norm" in said, "-ksp_monitor"
    assert "that nothing has read: -brusselator_ksp_typo" in said
    for part in ("propose", "judge"):
        assert re.search(rf"^ \d+: +cosolve: {part}: ", said, re.MULTILINE), f"the stage {part} in -log_view"
        assert re.search(rf"^cosolve_{part} +\d+ ", said, re.MULTILINE), f"the event {part} in -log_view"
    left = said.lower().split("unused database option", 1)
    assert len(left) == 2, "-options_left"
    assert "brusselator_ksp_typo" in left[1].split("summary of stages")[0][:2000]


def test_ksp_error_if_not_converged_ends_with_petscs_own_reason_on_every_rank(tmp_path: Path) -> None:
    done = on_two_ranks(tmp_path, "-brusselator_ksp_error_if_not_converged", "-brusselator_ksp_max_it", "1")
    assert done.returncode == 3, done.stderr[-4000:]
    # PETSc 3.25 writes brackets behind the name.
    assert re.search(r"KSPSolve(\(\))? has not converged, reason DIVERGED_ITS", done.stderr)
    assert done.stderr.count("cosolve: TS 'brusselator_' stopped at step 0") == 1
    assert "Traceback" not in done.stderr
