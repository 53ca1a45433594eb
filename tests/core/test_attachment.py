"""The host that owns its loop: callbacks never raise, and the whole solve fails once, outside, on every rank."""

from __future__ import annotations

import math
from collections.abc import Callable
from functools import partial
from pathlib import Path

import numpy as np
import pytest
from cosolve.core.attachment import Attachment
from cosolve.core.communicator import Communicator
from cosolve.core.errors import RankFaultError
from cosolve.core.ledger import Ledger, read_ledger
from cosolve.core.session import Session
from cosolve.core.testing.mean_field import MeanFieldSolver

pytestmark = pytest.mark.mpi


class Library:
    """Stands for a library that owns its loop, reduces a norm over the ranks, and stops at NaN."""

    def __init__(self, comm: Communicator) -> None:
        self._comm = comm
        self.callback: Callable[[int], float] | None = None

    def solve(self, iterations: int) -> str:
        for iteration in range(iterations):
            assert self.callback is not None
            norm = np.zeros(1)
            self._comm.Allreduce(np.array([self.callback(iteration)]), norm)
            if math.isnan(norm[0]):
                return "diverged: not a number"
        return "converged"


class Attached(Attachment):
    """Counts iterations; fails on the last rank at the iteration it is told."""

    name = "attached"

    def __init__(self, session: Session, library: Library, fails_at: int = -1) -> None:
        super().__init__(session)
        self._library = library
        self._fails_at = fails_at
        self._last = session.consensus.size - 1

    def _attach(self) -> None:
        self._library.callback = self.guard(self.norm, lambda iteration: math.nan)

    def _detach(self) -> None:
        self._library.callback = None

    def norm(self, iteration: int) -> float:
        if iteration == self._fails_at and self.session.consensus.rank == self._last:
            raise ValueError("planted in a callback")
        self.count("good")
        return 1.0


@pytest.fixture
def session(comm: Communicator, shared_path: Path) -> Session:
    return Session(MeanFieldSolver(comm=comm), None, mode="off", ledger=Ledger(shared_path, comm))


def test_callbacks_are_counted_once_for_each_solve(session: Session, comm: Communicator, shared_path: Path) -> None:
    library = Library(comm)
    with Attached(session, library) as attached:
        for iterations in (3, 5):
            assert attached.solve("library", partial(library.solve, iterations), goal="x") == "converged"
    assert library.callback is None
    records = [record for record in read_ledger(shared_path) if record["kind"] == "solve"]
    if comm.Get_rank() == 0:
        assert [record["counts"] for record in records] == [{"norm": 3, "good": 3}, {"norm": 5, "good": 5}]
        assert [record["goal"] for record in records] == ["x", "x"]
    comm.Barrier()


def test_a_fault_in_a_callback_is_raised_once_outside(session: Session, comm: Communicator) -> None:
    library = Library(comm)
    last = comm.Get_size() - 1
    with Attached(session, library, fails_at=2) as attached:
        with pytest.raises(RankFaultError) as caught:
            attached.solve("library", lambda: library.solve(5))
        assert str(caught.value) == f"library failed on rank {last} at step 0: ValueError: planted in a callback"
        # told, and forgotten: the next solve is a new one
        attached._fails_at = -1
        assert attached.solve("library", lambda: library.solve(2)) == "converged"


def test_attaching_and_detaching_twice_is_harmless(session: Session, comm: Communicator) -> None:
    library = Library(comm)
    attached = Attached(session, library)
    assert attached.attach() is attached.attach()
    attached.detach()
    attached.detach()
    assert not attached.attached
