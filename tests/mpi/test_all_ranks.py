"""One mpirun for each number of ranks runs every test that is marked `mpi`, wherever it lies; slow ones apart."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from cosolve.core.communicator import launched_by_mpi

_TESTS = Path(__file__).parents[1]
_LIMIT_SECONDS = 540
_MARK = "pytest." + "mark.mpi"  # split, so that this file does not name itself


def _files() -> list[str]:
    """Return the files with marked tests, so that no rank imports the others."""
    return [str(path) for path in sorted(_TESTS.rglob("test_*.py")) if _MARK in path.read_text(encoding="utf-8")]


@pytest.mark.timeout(_LIMIT_SECONDS + 30)
@pytest.mark.parametrize(
    ("ranks", "chosen", "seconds"),
    [
        (2, "mpi and not slow", 180),
        (3, "mpi and not slow", 180),
        pytest.param(2, "mpi and slow", 500, marks=pytest.mark.slow),
    ],
)
def test_marked_tests_pass_on(ranks: int, chosen: str, seconds: int) -> None:
    if launched_by_mpi():
        pytest.fail("this test starts mpirun and cannot run inside one; select with -m mpi")
    mpirun = shutil.which("mpirun")
    if mpirun is None or _without_mpi4py():
        pytest.skip("needs mpirun and mpi4py: `make setup` installs both on Debian")
    environment = os.environ | {
        "OMPI_ALLOW_RUN_AS_ROOT": "1",
        "OMPI_ALLOW_RUN_AS_ROOT_CONFIRM": "1",
        "OMP_NUM_THREADS": "1",
        "OPENBLAS_NUM_THREADS": "1",
    }
    command = [mpirun, "--oversubscribe", "-n", str(ranks), sys.executable, "-m", "pytest", *_files()]
    # A rank that hangs in one test is ended with its stacks by the thread method; the signal method waits for the GIL.
    # Three ranks on two busy cores spend most of a test waiting for each other: the limit is a multiple of that.
    command += ["-m", chosen, "-q", "-p", "no:cacheprovider", f"--timeout={seconds}", "--timeout-method=thread"]
    with subprocess.Popen(
        command,
        cwd=_TESTS.parent,
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        start_new_session=True,
    ) as process:
        try:
            output, _ = process.communicate(timeout=_LIMIT_SECONDS)
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, signal.SIGKILL)
            output, _ = process.communicate()
            pytest.fail(f"{ranks} ranks were still running after {_LIMIT_SECONDS} s:\n{output[-8000:]}")
    assert process.returncode == 0, output[-12000:]
    passed = [line for line in output.splitlines() if " passed" in line]
    assert len(passed) == ranks, f"every rank must tell how many tests passed:\n{output[-4000:]}"


def _without_mpi4py() -> bool:
    try:
        import mpi4py  # noqa: F401
    except ImportError:
        return True
    return False
