"""The same verdicts and the same answer on 1, 2 and 3 ranks, a rank that owns nothing included, when replayed."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from cosolve.core.communicator import Communicator, SerialCommunicator
from cosolve.core.governor import Governor, decisions_of
from cosolve.core.ledger import Ledger, read_ledger
from cosolve.core.loop import Loop
from cosolve.core.prediction import Prediction
from cosolve.core.query import Query
from cosolve.core.session import Session
from cosolve.core.surrogate import Surrogate
from cosolve.core.testing.mean_field import MeanFieldSolver, RatioVerifier

pytestmark = pytest.mark.mpi


class Quadratic(Surrogate):
    """Quadratic extrapolation: accepted late in the run, corrected before, rejected at the start."""

    name = "quadratic"

    def _predict(self, query: Query) -> Prediction:
        if len(query.history) < 2:
            return Prediction(query.state.copy())
        return Prediction(3.0 * query.state - 3.0 * query.history[0].state + query.history[1].state)


def _march(
    comm: Communicator, folder: Path, governor: Governor, empty_rank: int | None = None
) -> tuple[Any, list[Any]]:
    """Return the whole state in global order, and source and decisions of each step."""
    solver = MeanFieldSolver(31, comm, atol=1e-9, empty_rank=empty_rank)
    verifier = RatioVerifier(correct_below=1e5)
    with Ledger(folder, comm) as ledger:
        session = Session(solver, verifier, governor=governor, ledger=ledger)
        result = Loop(session, [Quadratic()], t_end=4.0, dt=0.05).run().raise_on_failure()
        session.close()
    pieces = comm.allgather((solver.coordinates()[:, 0], result.value))
    solver.close()
    places = np.concatenate([place for place, _ in pieces])
    values = np.concatenate([value for _, value in pieces])
    comm.Barrier()
    told = [
        (record["source"], [verdict["decision"] for verdict in record["verdicts"]])
        for record in read_ledger(folder)
        if record["kind"] == "step"
    ]
    return values[np.argsort(places)], told


def test_answers_and_verdicts_do_not_depend_on_the_ranks(comm: Communicator, shared_path: Path) -> None:
    folder = shared_path / f"alone-{comm.Get_rank()}"
    made_up = {step: [{"quadratic"} if step % 7 else set()] for step in range(80)}
    value, told = _march(SerialCommunicator(), folder, Governor("replay", made_up))
    decisions = decisions_of(comm.bcast(read_ledger(folder)))
    assert {source for source, _ in told} >= {"solver", "quadratic+correct"}
    for empty_rank in {None, comm.Get_size() - 1}:
        other, again = _march(comm, shared_path / f"ranks-{empty_rank}", Governor("replay", decisions), empty_rank)
        assert again == told
        np.testing.assert_allclose(other, value, rtol=1e-10)


def test_a_split_communicator_gives_the_same(comm: Communicator, shared_path: Path) -> None:
    value, told = _march(SerialCommunicator(), shared_path / f"alone-{comm.Get_rank()}", Governor("off"))
    if comm.Get_size() == 1:
        other, again = _march(comm, shared_path / "world", Governor("off"))
    else:
        part = comm.Split(comm.Get_rank() % 2, -comm.Get_rank())  # type: ignore[attr-defined]  # an MPI communicator
        other, again = _march(part, shared_path / f"part-{comm.Get_rank() % 2}", Governor("off"))
        part.Free()
    assert again == told
    np.testing.assert_allclose(other, value, rtol=1e-10)
