"""The watchdog ends a blocked process with exit code 5 and the stacks, whoever holds the GIL, and nothing else."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from cosolve.core.checkpoint_reading import read_checkpoint
from cosolve.core.communicator import SerialCommunicator, launched_by_mpi
from cosolve.core.errors import WATCHDOG_EXIT_CODE, BadInputError
from cosolve.core.ledger import read_ledger
from cosolve.core.watchdog import Watchdog

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="the timer that gives exit code 5 is Linux's")

_RUN = """
import ctypes, sys, time
from pathlib import Path
from cosolve.core.communicator import world
from cosolve.core.governor import Governor
from cosolve.core.ledger import Ledger
from cosolve.core.loop import Loop
from cosolve.core.session import Session
from cosolve.core.testing.mean_field import MeanFieldSolver, RatioVerifier
from cosolve.core.watchdog import Watchdog

how, folder, timeout = sys.argv[1], Path(sys.argv[2]), float(sys.argv[3])
comm = world()

class Blocking(MeanFieldSolver):
    def _step(self, query, x0):
        if query.step == 5 and comm.Get_rank() == comm.Get_size() - 1:
            if how == "gil":
                ctypes.PyDLL(None).sleep(60)      # a C call that does not release the GIL
            elif how == "sleep":
                time.sleep(60)
            elif how == "collective":
                comm.recv(source=0, tag=77)       # never sent: the other rank waits in its collective
        if how == "slow":
            time.sleep(0.3)
        return super()._step(query, x0)

watchdog = Watchdog(timeout)
solver = Blocking(comm=comm)
with watchdog, Ledger(folder, comm) as ledger:
    session = Session(solver, RatioVerifier(), governor=Governor("off"), ledger=ledger, heartbeat=watchdog)
    result = Loop(session, t_end=1.0, dt=0.1, directory=folder, checkpoint_every=2).run()
print(result.status.name)
"""


def _run(how: str, folder: Path, timeout: float, *launcher: str) -> subprocess.CompletedProcess[str]:
    environment = os.environ | {"OMPI_ALLOW_RUN_AS_ROOT": "1", "OMPI_ALLOW_RUN_AS_ROOT_CONFIRM": "1"}
    command = [*launcher, sys.executable, "-c", _RUN, how, str(folder), str(timeout)]
    return subprocess.run(command, capture_output=True, text=True, timeout=90, env=environment, check=False)


def _all_is_intact(folder: Path) -> None:
    assert [record["step"] for record in read_ledger(folder) if record["kind"] == "step"] == [0, 1, 2, 3, 4]
    assert (folder / "checkpoints" / "step-00000004" / "checkpoint.json").exists()
    assert not list((folder / "checkpoints").glob("*.partial"))


@pytest.mark.parametrize("how", ["gil", "sleep"])
def test_a_blocked_process_ends_with_code_5_and_its_stacks(how: str, tmp_path: Path) -> None:
    done = _run(how, tmp_path, 2.0)
    assert done.returncode == WATCHDOG_EXIT_CODE == 5
    assert "Timeout (0:00:02)!" in done.stderr
    assert "in _step" in done.stderr
    _all_is_intact(tmp_path)
    assert read_checkpoint(tmp_path, SerialCommunicator()).step == 4


@pytest.mark.skipif(shutil.which("mpirun") is None, reason="needs mpirun: `make setup` installs it on Debian")
def test_ranks_blocked_in_collectives_end_with_code_5(tmp_path: Path) -> None:
    assert not launched_by_mpi(), "this test starts mpirun and cannot run inside one"
    mpirun = shutil.which("mpirun")
    assert mpirun is not None
    done = _run("collective", tmp_path, 4.0, mpirun, "--oversubscribe", "-n", "2")
    assert done.returncode == WATCHDOG_EXIT_CODE, done.stderr[-3000:]
    assert "Timeout (0:00:04)!" in done.stderr
    assert "in _step" in done.stderr  # the rank that never came
    assert "in _meet" in done.stderr  # the rank that waits for it
    _all_is_intact(tmp_path)


def test_a_slow_run_that_beats_is_left_alone(tmp_path: Path) -> None:
    done = _run("slow", tmp_path, 1.5)  # 3 s in all, 0.3 s a step
    assert (done.returncode, done.stdout.strip()) == (0, "SUCCESS"), done.stderr
    assert "Timeout" not in done.stderr


def test_a_library_that_takes_over_the_signals_changes_nothing() -> None:
    pytest.importorskip("petsc4py")
    code = (
        "import time; from cosolve.core.watchdog import Watchdog\n"
        "Watchdog(1.5).start()\nfrom petsc4py import PETSc\ntime.sleep(60)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=90, check=False)
    assert done.returncode == WATCHDOG_EXIT_CODE, done.stderr
    assert "PETSC ERROR" not in done.stderr


def test_nothing_happens_after_stop() -> None:
    code = (
        "import time; from cosolve.core.watchdog import Watchdog\n"
        "with Watchdog(0.2) as dog:\n    dog.beat()\n"
        "dog.stop(); dog.beat(); time.sleep(1.8); print('alive')"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=False)
    assert (done.returncode, done.stdout.strip(), done.stderr) == (0, "alive", "")


@pytest.mark.parametrize("timeout", [0.0, -1.0, float("nan"), float("inf")])
def test_a_timeout_must_be_positive(timeout: float) -> None:
    with pytest.raises(BadInputError, match="the watchdog's timeout must be a positive number of seconds"):
        Watchdog(timeout)
