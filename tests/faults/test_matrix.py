"""Whatever a surrogate, a verifier or a solver does wrong: the classical answer, or one error on every rank."""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from pathlib import Path

import pytest
from cosolve.core.communicator import launched_by_mpi
from cosolve.core.registry import Registry
from cosolve.core.testing.fault_matrix import Cell, CellOutcome, cells_of
from cosolve.examples.faults.bench import bench, choice_of
from cosolve.examples.faults.launching import run_cells
from cosolve.examples.faults.lies import certified, estimated
from cosolve.examples.faults.targets import NOT_IN_THE_MATRIX, TARGETS


def _all_hold(cells: Sequence[Cell], folder: Path) -> list[CellOutcome]:
    assert not launched_by_mpi(), "this test starts mpirun and cannot run inside one"
    outcomes = run_cells(cells, folder)
    failed = [f"{outcome.cell}: {outcome.ended}: {outcome.why}" for outcome in outcomes if not outcome.holds]
    assert not failed, "\n".join(failed)
    assert [outcome.cell for outcome in outcomes] == [cell.name for cell in sorted(cells, key=lambda one: one.blocks)]
    return outcomes


@pytest.mark.timeout(900)
@pytest.mark.parametrize("ranks", [1, 2, 3])
def test_each_pair_of_kind_role_and_coupling_holds(ranks: int, tmp_path: Path) -> None:
    if ranks > 1 and shutil.which("mpirun") is None:
        pytest.skip("needs mpirun: `make setup` installs it on Debian")
    chosen = [cell for cell in choice_of(cells_of(TARGETS.values())[0]) if cell.ranks == ranks]
    outcomes = _all_hold(chosen, tmp_path)
    # One start of the ranks serves all: what blocks comes last and ends it.
    assert [outcome.ended == "watchdog" for outcome in outcomes].count(True) == 1


def test_each_coupling_is_in_the_matrix_or_left_out_with_a_reason() -> None:
    registered = {offer.entry.name for offer in Registry.discover().offers() if offer.role == "coupling"}
    couplings = {"time_loop" if name == "time_loop_fenicsx" else name for name in TARGETS}
    assert couplings | set(NOT_IN_THE_MATRIX) == registered
    assert not couplings & set(NOT_IN_THE_MATRIX)


def test_no_lie_gets_past_a_certified_verdict() -> None:
    cases = certified((0.0, 1e-13, 1e-11, 1e-9, 1e-3), 3, seed=5)
    assert [case["bad_values"] for case in cases] == [0] * 5
    assert cases[0]["accepted"] == cases[0]["judged"]
    assert cases[-1]["rejected"] == cases[-1]["judged"]
    assert sum(case["corrected"] for case in cases) > 0


def test_a_small_lie_leaves_an_estimate_within_its_tolerance() -> None:
    for case in estimated((0.0, 0.03), 1, seed=3):
        assert case["accepted_blocks"] > 0
        assert not case["missed"], case


@pytest.mark.slow
@pytest.mark.timeout(14400)
def test_every_cell_holds() -> None:
    report = bench(quick=False, seed=11)
    assert report.metrics["cells_run"] >= 350
    assert report.metrics["failed"] == []
    assert report.metrics["silent_bad_answers"] == 0
