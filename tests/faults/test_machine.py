"""What a machine does to a run: a full disk, a read-only folder, a clock that jumps, SIGTERM of a batch system."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from cosolve.core.checkpoint_reading import check_checkpoint
from cosolve.core.ledger import read_ledger
from cosolve.examples.faults.launching import environment

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="limits and signals are POSIX's")

RUN = """
import os, resource, sys, time
from pathlib import Path
from cosolve.core.cli.ending import ending
from cosolve.core.communicator import SerialCommunicator, launched_by_mpi, world
from cosolve.core.governor import Governor
from cosolve.core.ledger import Ledger
from cosolve.core.loop import Loop
from cosolve.core.session import Session
from cosolve.core.testing.mean_field import MeanFieldSolver, RatioVerifier

how, folder = sys.argv[1], Path(sys.argv[2])
if how == "full":  # a file system that takes no file above this size: of the ledger first, later of a checkpoint
    resource.setrlimit(resource.RLIMIT_FSIZE, (int(sys.argv[3]), int(sys.argv[3])))
if how == "readonly" and os.geteuid() == 0:  # root may write anywhere
    os.setegid(65534)
    os.seteuid(65534)
real = time.time
if how == "clock":
    time.time = lambda: real() + (1e9 if int(10 * real()) % 2 else -1e9)
pause = 0.05 if how == "terminated" else 0.0
comm = world() if launched_by_mpi() else SerialCommunicator()
size = int(sys.argv[4]) if len(sys.argv) > 4 else 40

def told(state):
    if comm.Get_rank() == 0:
        (folder / "alive").touch()
    time.sleep(pause)

with ending():
    with Ledger(folder, comm) as ledger:
        session = Session(MeanFieldSolver(size, comm, atol=1e-9), RatioVerifier(), mode="off", ledger=ledger)
        loop = Loop(session, t_end=100.0 if pause else 2.0, dt=0.1, directory=folder, checkpoint_every=3,
                    on_step=told if pause else None)
        result = loop.run().raise_on_failure()
        print(repr(float(result.value.sum())))
"""


def _command(how: str, folder: Path, *words: object) -> list[str]:
    return [sys.executable, "-c", RUN, how, str(folder), *(str(word) for word in words)]


def _run(how: str, folder: Path, *words: object) -> subprocess.CompletedProcess[str]:
    command = _command(how, folder, *words)
    return subprocess.run(command, capture_output=True, text=True, timeout=120, check=False, env=environment())


@pytest.mark.parametrize(("size", "limit"), [(40, 4000), (4000, 60_000)], ids=["ledger", "checkpoint"])
def test_a_full_disk_ends_with_a_sentence(size: int, limit: int, tmp_path: Path) -> None:
    done = _run("full", tmp_path, limit, size)
    assert done.returncode == 7, done.stderr
    assert "File too large" in done.stderr
    assert "Traceback" not in done.stderr
    assert len(done.stderr.strip().splitlines()) == 1
    assert read_ledger(tmp_path)[0]["kind"] == "ledger"


def test_a_read_only_folder_ends_with_a_sentence(tmp_path: Path) -> None:
    locked = tmp_path / "locked"
    locked.mkdir(mode=0o555)
    for parent in (tmp_path, *list(tmp_path.parents)[:2]):
        parent.chmod(parent.stat().st_mode | 0o055)
    done = _run("readonly", locked / "run")
    assert done.returncode == 7, done.stderr
    assert "cannot be written: Permission denied; give another one" in done.stderr
    assert "Traceback" not in done.stderr


def test_a_clock_that_jumps_changes_nothing(tmp_path: Path) -> None:
    calm, jumping = _run("calm", tmp_path / "calm"), _run("clock", tmp_path / "clock")
    assert (calm.returncode, jumping.returncode) == (0, 0), jumping.stderr
    assert calm.stdout == jumping.stdout
    spent = [record["cost"]["solve"] for record in read_ledger(tmp_path / "clock") if record["kind"] == "step"]
    assert all(0.0 <= seconds < 60.0 for seconds in spent)


@pytest.mark.timeout(200)
@pytest.mark.parametrize("ranks", [1, 2])
def test_sigterm_leaves_a_checkpoint_a_code_and_a_sentence(ranks: int, tmp_path: Path) -> None:
    if ranks > 1 and shutil.which("mpirun") is None:
        pytest.skip("needs mpirun: `make setup` installs it on Debian")
    launcher = [] if ranks == 1 else [str(shutil.which("mpirun")), "--oversubscribe", "-n", str(ranks)]
    command = [*launcher, *_command("terminated", tmp_path)]
    with subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=environment()
    ) as process:
        end = time.monotonic() + 90.0
        while not (tmp_path / "alive").exists() and process.poll() is None and time.monotonic() < end:
            time.sleep(0.05)
        # As a batch system does that signals the processes of the job: one rank hears of it, all stop.
        victims = [process.pid] if ranks == 1 else _children(process.pid)
        os.kill(victims[-1], signal.SIGTERM)
        _, errors = process.communicate(timeout=90)
    assert process.returncode == 6, errors
    assert errors.count("cosolve: interrupted ") == 1
    assert "resume from there" in errors
    assert check_checkpoint(tmp_path) > 0


def _children(pid: int) -> list[int]:
    found = []
    for status in Path("/proc").glob("[0-9]*/stat"):
        try:
            fields = status.read_text().rpartition(")")[2].split()
        except OSError:
            continue  # it has ended meanwhile
        if int(fields[1]) == pid:
            found.append(int(status.parent.name))
    return sorted(found)
