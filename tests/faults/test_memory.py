"""A long hybrid run does not grow, and what it opened it closes."""

from __future__ import annotations

import gc
import sys
from pathlib import Path

import numpy as np
import pytest
from cosolve.core.communicator import Communicator
from cosolve.core.governor import Governor
from cosolve.core.ledger import Ledger
from cosolve.core.loop import Loop, LoopState
from cosolve.core.prediction import Prediction
from cosolve.core.query import Query
from cosolve.core.session import Session
from cosolve.core.surrogate import Surrogate
from cosolve.core.testing.mean_field import MeanFieldSolver, RatioVerifier


class Quadratic(Surrogate):
    name = "quadratic"

    def _predict(self, query: Query) -> Prediction:
        if len(query.history) < 2:
            return Prediction(query.state.copy())
        # Off the mark in every third step, so that all decisions occur.
        wrong = 1e-3 * (query.step % 3 == 0)
        return Prediction(3.0 * (query.state - query.history[0].state) + query.history[1].state + wrong)


def _resident_kib() -> int:
    for line in Path("/proc/self/status").read_text().splitlines():
        if line.startswith("VmRSS"):
            return int(line.split()[1])
    raise AssertionError("no VmRSS")


@pytest.mark.mpi
@pytest.mark.slow
@pytest.mark.timeout(1200)
@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
def test_ten_thousand_steps_grow_by_less_than_a_percent(comm: Communicator, shared_path: Path) -> None:
    seen: dict[int, int] = {}

    def watch(state: LoopState) -> None:
        if state.step in (500, 10_000):
            seen[state.step] = _resident_kib()

    solver = MeanFieldSolver(200, comm, atol=1e-8)
    with Ledger(shared_path, comm) as ledger:
        session = Session(solver, RatioVerifier(correct_below=1e4), governor=Governor("off"), ledger=ledger)
        loop = Loop(session, [Quadratic()], t_end=100.0, dt=0.01, directory=shared_path, checkpoint_every=250)
        loop.on_step = watch
        loop.run().raise_on_failure()
        session.close()
    solver.close()
    assert seen[10_000] < 1.01 * seen[500], seen


@pytest.mark.mpi
def test_communicators_are_freed(comm: Communicator, shared_path: Path) -> None:
    MPI = pytest.importorskip("mpi4py.MPI")
    world = MPI.COMM_SELF if comm.Get_size() == 1 else comm

    def number() -> int:
        """Return the number that MPI gives to a new communicator: a leak moves it on."""
        fresh = world.Dup()
        found = int(fresh.py2f())
        fresh.Free()
        return found

    def once() -> None:
        solver = MeanFieldSolver(20, world)
        with Ledger(shared_path, world) as ledger, Session(solver, RatioVerifier(), ledger=ledger) as session:
            value = Loop(session, [Quadratic()], t_end=0.2, dt=0.1, directory=shared_path).run().value
        solver.close()
        assert np.isfinite(value).all()

    once()
    gc.collect()  # what earlier tests left behind may go at any time, and make room below
    before = number()
    for _ in range(5):
        once()
    gc.collect()
    assert number() == before
