"""A user's own KSP as a case: a trained coarse space halves the iterations, and the answers are those of the KSP."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

pytest.importorskip("petsc4py", reason="petsc4py is not installed here")

import cosolve
from cosolve.core.ledger import read_ledger
from cosolve.examples.preconditioning.options import LensOptions
from cosolve.examples.preconditioning.problem import LensProblem
from mpi4py import MPI

CASE = Path(__file__).resolve().parents[2] / "examples" / "preconditioning" / "case.toml"


def run(folder: Path, **overrides: Any) -> tuple[Any, list[dict[str, Any]]]:
    settings = {"output.directory": str(folder), "output.report": False, "governor.mode": "off"} | overrides
    result = cosolve.run(CASE, overrides=settings | {"coupling.solves": 3, "problem.points": 14})
    return result, [record for record in read_ledger(folder) if record["kind"] == "step"]


def test_trained_modes_save_half_of_the_iterations(tmp_path: Path) -> None:
    classical, alone = run(tmp_path / "off", **{"coupling.mode": "off"})
    hybrid, steps = run(tmp_path / "hybrid")
    assert all("gave_up" not in step["solver_notes"]["preconditioner"] for step in steps)
    counts = [sum(step["linear_iterations"] for step in these) for these in (steps, alone)]
    assert counts[0] < 0.6 * counts[1]
    difference = np.linalg.norm(hybrid.value - classical.value) / np.linalg.norm(classical.value)
    assert difference < 1e-5
    assert "the proposals" not in cosolve.explain(tmp_path / "off", 0)
    assert "they led to the tolerance" in cosolve.explain(tmp_path / "hybrid", 0)


@pytest.mark.mpi
def test_the_answer_does_not_depend_on_the_ranks() -> None:
    norms = []
    for comm in (MPI.COMM_WORLD, MPI.COMM_SELF):
        problem = LensProblem(LensOptions(points=8, wavenumber=5.0))
        with problem.make_solver(comm, {}) as solver:
            value = solver.solve(parameters=problem.solve_parameters(1)).value
            norms.append(solver.quantities(value)["norm"])
    assert norms[0] == pytest.approx(norms[1], rel=1e-6)
