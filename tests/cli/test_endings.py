"""How a run ends when ranks fail alone, hang, or lose their disk: never in silence and never without an end."""

from __future__ import annotations

import shutil
import subprocess
import sys
import time
from pathlib import Path

import pytest
from cosolve.core.ledger import Ledger, read_ledger

# Fields that cannot be written on one rank from some time on, beside a solver whose end is collective.
FULL_DISK = """
import errno
import os
from pathlib import Path

from toy_problem import Toy as Plain


class Series:
    path, names = Path("fields.xdmf"), ("value",)

    def __init__(self, rank):
        self.rank = rank

    def write(self, t, fields, source=""):
        if t > 0.45 and self.rank == int(os.environ["FAILING_RANK"]):
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    def close(self):
        pass


class Toy(Plain):
    def make_solver(self, comm, settings):
        solver = super().make_solver(comm, settings)
        close = solver.close
        solver.close = lambda: (comm.Barrier(), close())
        return solver

    def open_fields(self, solver, directory):
        return Series(solver.comm.Get_rank())
"""


def fill_the_disk(site) -> None:
    plugin = site.folder / "toy_plugin.py"
    plugin.write_text(plugin.read_text().replace("toy_problem:Toy", "full_disk:Toy"))
    (site.folder / "full_disk.py").write_text(FULL_DISK)


@pytest.mark.skipif(sys.platform != "linux", reason="the timer that gives exit code 5 is Linux's")
def test_a_run_that_hangs_is_ended_by_the_watchdog_of_the_case(toy: Path, process) -> None:
    case = toy / "case.toml"
    case.write_text(case.read_text() + "[watchdog]\nseconds = 1.5\n")
    began = time.monotonic()
    ended = process("run", "case.toml", "--set", "problem.pause=100", cwd=toy)
    assert ended.code == 5, ended.err
    assert time.monotonic() - began < 60.0
    assert "Timeout (0:00:01.500000)!" in ended.err
    assert "in _step" in ended.err
    assert [record["kind"] for record in read_ledger(toy / "out")] == ["ledger", "run_started"]


SLOW_REPORT = """
import time
from cosolve import hookimpl
COSOLVE_API_VERSION = 1

@hookimpl
def cosolve_run_finished(event):
    time.sleep(4)
"""


def test_a_run_that_is_slow_but_alive_is_left_alone_and_so_is_its_report(toy: Path, site, process) -> None:
    site.install("slow-report", {"slow_report": SLOW_REPORT}, {"slow": "slow_report"})
    settings = ("watchdog.seconds=3", "problem.pause=0.4", "coupling.mode=off")
    ended = process("run", "case.toml", *(word for text in settings for word in ("--set", text)), cwd=toy)
    assert ended.code == 0, ended.err
    assert "Timeout" not in ended.err


def test_records_that_are_lost_at_the_end_of_a_run_are_told(toy: Path, cosolve, monkeypatch) -> None:
    flush = Ledger.flush

    def full(ledger: Ledger) -> None:
        flush(ledger)
        ledger.failure = "the rejected proposals cannot be written: No space left on device"

    monkeypatch.setattr(Ledger, "flush", full)
    ended = cosolve("run", "case.toml")
    assert (ended.code, "No space left on device" in ended.err) == (7, True)


def test_fields_that_cannot_be_written_exit_with_7(toy: Path, site, process) -> None:
    fill_the_disk(site)
    ended = process("run", "case.toml", cwd=toy, FAILING_RANK="0")
    assert ended.code == 7, ended.err
    assert "cosolve: the fields in out cannot be written at t = 0.5: No space left on device; free the" in ended.err


mpirun = pytest.mark.skipif(shutil.which("mpirun") is None, reason="no mpirun on this machine")


def launch(site, work: Path, *arguments: str, ranks: int = 2):
    root = {"OMPI_ALLOW_RUN_AS_ROOT": "1", "OMPI_ALLOW_RUN_AS_ROOT_CONFIRM": "1"}
    return subprocess.run(
        ["mpirun", "--oversubscribe", "-n", str(ranks), sys.executable, "-m", "cosolve.core.cli", *arguments],
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
        cwd=work,
        env=site.environment() | root,
    )


@mpirun
def test_under_mpirun_only_rank_0_prints(toy: Path, site) -> None:
    ended = launch(site, toy, "run", "case.toml", "-ksp_type", "cg")
    assert ended.returncode == 0, ended.stderr
    assert ended.stdout.count("every accepted value") == 1
    assert ended.stderr.count("PETSc options that nothing has read: -ksp_type") == 1
    assert read_ledger(toy / "out")[0]["ranks"] == 2


@mpirun
def test_under_mpirun_bad_input_is_said_once(toy: Path, site) -> None:
    ended = launch(site, toy, "run", "case.toml", "--set", "solver.atol=-1")
    assert ended.returncode == 2
    assert ended.stderr.count("expected a number greater than 0, found -1") == 1


@mpirun
@pytest.mark.parametrize("rank", [0, 1])
def test_under_mpirun_a_rank_that_fails_alone_ends_the_job_with_its_cause(toy: Path, site, rank: int) -> None:
    ended = launch(site, toy, "run", "case.toml", "--set", f"problem.fail_on_rank={rank}")
    assert ended.returncode == 4
    assert f"rank {rank} failed while other ranks went on, so the job is aborted: " in ended.stderr
    assert ended.stderr.count("RuntimeError: the mesh generator gave up") == 1


@mpirun
def test_under_mpirun_a_disk_that_is_full_on_one_rank_ends_the_job(toy: Path, site, monkeypatch) -> None:
    fill_the_disk(site)
    monkeypatch.setenv("FAILING_RANK", "1")
    ended = launch(site, toy, "run", "case.toml")
    assert ended.returncode == 7, ended.stderr
    assert "rank 1 failed while other ranks went on, so the job is aborted: the fields in out cannot" in ended.stderr
