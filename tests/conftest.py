"""Tests that carry `@pytest.mark.mpi` are collective: under mpirun one that fails on a rank fails on every rank."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest
from cosolve.core.communicator import Communicator, launched_by_mpi, world
from hypothesis import settings

# One thread for each rank, before any library reads it.
for name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS"):
    os.environ.setdefault(name, "1")

# A shell that starts the tests in the background has them ignore Ctrl-C, and so would the runs that they interrupt.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)

# A deadline for each example would make tests fail on a busy machine; the same examples are drawn in every run.
settings.register_profile("cosolve", deadline=None, derandomize=True)
settings.load_profile("cosolve")


@pytest.fixture
def comm() -> Communicator:
    """The world, of one rank in plain pytest."""
    return world()


@pytest.fixture
def shared_path(tmp_path: Path, comm: Communicator) -> Path:
    """A fresh folder that is the same on every rank."""
    path: Path = comm.bcast(tmp_path)
    return path


@pytest.hookimpl(hookwrapper=True)
def pytest_runtest_makereport(item: pytest.Item, call: pytest.CallInfo[None]) -> Iterator[None]:
    outcome = yield
    if not launched_by_mpi() or item.get_closest_marker("mpi") is None:
        return
    report = outcome.get_result()  # type: ignore[attr-defined]  # hookwrapper's untyped result
    failed = [rank for rank, bad in enumerate(world().allgather(report.failed)) if bad]
    if failed and not report.failed:
        report.outcome = "failed"
        report.longrepr = f"{item.nodeid} failed in {call.when} on rank {failed[0]}, not on this one"
