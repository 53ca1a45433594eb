"""A run is resumed bit for bit on the ranks that wrote its checkpoint, and to 1e-10 on any other number."""

from __future__ import annotations

import shutil
import traceback
from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from cosolve.core.checkpoint import complete
from cosolve.core.communicator import Communicator, SerialCommunicator
from cosolve.core.errors import BadInputError
from cosolve.core.governor import Governor, decisions_of
from cosolve.core.ledger import Ledger, read_ledger
from cosolve.core.loop import Loop, LoopState
from cosolve.core.prediction import Prediction
from cosolve.core.query import Query
from cosolve.core.result import Status
from cosolve.core.session import Session
from cosolve.core.solver import Solver
from cosolve.core.surrogate import Surrogate
from cosolve.core.testing.mean_field import MeanFieldSolver, RatioVerifier

pytestmark = pytest.mark.mpi
Make = Callable[[Any], Solver]


class Noisy(Surrogate):
    """Extrapolates, remembers a field and a number, and draws from numpy's global generator."""

    name = "noisy"

    def __init__(self) -> None:
        self._drift: Any = None
        self._seen = 0

    def _predict(self, query: Query) -> Prediction:
        noise = 1.0 + 1e-9 * np.random.standard_normal()  # noqa: NPY002  # the global generator is what is tested
        before = query.history[0].state if query.history else query.state
        return Prediction(noise * (2.0 * query.state - before) + (0.0 if self._drift is None else 1e-6 * self._drift))

    def observe(self, query: Query, value: Any) -> None:
        self._drift = 0.5 * (self._drift if self._drift is not None else 0.0) + value - query.state
        self._seen += 1

    def memory(self) -> Mapping[str, Any]:
        drift = {} if self._drift is None else {"drift": self._drift}
        return {**drift, "seen": np.array([self._seen, 0, 7])}

    def restore(self, memory: Mapping[str, Any]) -> None:
        self._drift = memory.get("drift")
        self._seen = int(memory["seen"][0])


def _mean_field(comm: Any) -> Solver:
    return MeanFieldSolver(31, comm, atol=1e-10)


def _with_an_empty_rank(comm: Any) -> Solver:
    return MeanFieldSolver(31, comm, atol=1e-10, empty_rank=comm.Get_size() - 1)


def _heat(comm: Any) -> Solver:
    from cosolve.examples.heat.options import HeatOptions
    from cosolve.examples.heat.problem import HeatProblem
    from mpi4py import MPI

    problem = HeatProblem(HeatOptions(cells=7, dt=0.05))
    mpi = comm if comm.Get_size() > 1 else MPI.COMM_SELF
    # An old Jacobian is used over many steps: a restart has to assemble it where it was.
    return problem.make_solver(mpi, {"rtol": 1e-9, "prefix": "restart_"})


MAKERS: dict[str, Make] = {"mean field": _mean_field, "empty rank": _with_an_empty_rank, "fenicsx": _heat}
_DT, _END, _STOP = 0.05, 0.5, 6


def _run(make: Make, comm: Any, *, folder: Path, governor: Governor, stop: int = 0, resume: bool = False) -> Any:
    """Return the state by place, in an order that does not depend on the ranks; stop after some steps if asked to."""
    np.random.seed(3 + (100 if resume else 0))  # noqa: NPY002  # a new process starts anywhere
    solver = make(comm)
    verifier = RatioVerifier(correct_below=1e6)
    with Ledger(folder, comm, resume=resume) as ledger:
        session = Session(solver, verifier, governor=governor, ledger=ledger)

        def interrupt(state: LoopState) -> None:
            session.consensus.comm.interrupt = state.step == stop

        loop = Loop(session, [Noisy()], t_end=_END, dt=_DT, directory=folder, checkpoint_every=4, on_step=interrupt)
        result = loop.run(resume=resume)
        assert result.status is (Status.INTERRUPTED if stop else Status.SUCCESS), result.message
        value = result.value
        session.close()
    keys = solver.canonical_keys()
    solver.close()
    pieces = comm.allgather((keys, value))
    keys, values = (np.concatenate([piece[index] for piece in pieces]) for index in (0, 1))
    return values[np.lexsort(np.round(keys, 9).T)]


def _part(comm: Any, size: int) -> Any:
    """Return a communicator of the first `size` ranks; None on the others."""
    if comm.Get_size() == 1:
        return SerialCommunicator()
    part = comm.Split(int(comm.Get_rank() >= size), comm.Get_rank())
    return part if comm.Get_rank() < size else None


def _on(comm: Any, size: int, work: Callable[[Any], Any]) -> Any:
    """Do `work` on the first `size` ranks; return what rank 0 got, on all ranks, or fail on all (collective)."""
    part = _part(comm, size)
    value, trouble = None, ""
    if part is not None:
        try:
            value = work(part)
        except Exception:  # told to all below: the ranks that do not work wait there
            trouble = traceback.format_exc()
    troubles = [one for one in comm.allgather(trouble) if one]
    assert not troubles, troubles[0]
    return comm.bcast(value)


@pytest.mark.parametrize("name", MAKERS)
def test_on_any_number_of_ranks(name: str, comm: Communicator, shared_path: Path) -> None:
    if name == "fenicsx":
        pytest.importorskip("dolfinx")  # on every rank: it starts PETSc, which is collective
    make, size = MAKERS[name], comm.Get_size()
    for writers in {min(2, size), 1 if size == 2 else min(2, size)}:
        folder = shared_path / f"from-{writers}"
        whole = _on(comm, writers, partial(_run, make, folder=folder / "whole", governor=Governor("off")))
        _on(comm, writers, partial(_run, make, folder=folder / "part", governor=Governor("off"), stop=_STOP))
        decisions = decisions_of(comm.bcast(read_ledger(folder / "whole") if comm.Get_rank() == 0 else None))
        for readers in range(1, size + 1):
            copy = folder / f"to-{readers}"
            if comm.Get_rank() == 0:
                shutil.copytree(folder / "part", copy)
            comm.Barrier()
            replay = Governor("replay", decisions)
            found = _on(comm, readers, partial(_run, make, folder=copy, governor=replay, resume=True))
            # MUMPS on several ranks may add up in another order from run to run.
            if readers == writers and (name != "fenicsx" or readers == 1):
                np.testing.assert_array_equal(found, whole)
            else:
                np.testing.assert_allclose(found, whole, rtol=1e-10, atol=1e-10 * np.abs(whole).max())


def test_a_solver_without_keys_takes_as_many_ranks(comm: Communicator, shared_path: Path) -> None:
    class Placeless(MeanFieldSolver):
        def _canonical_keys(self) -> None:
            return None

    _run_only(Placeless(31, comm), comm, shared_path)
    assert _run_only(Placeless(31, comm), comm, shared_path, resume=True) == 2.0
    if comm.Get_size() > 1 and comm.Get_rank() == 0:
        alone = Placeless(31, SerialCommunicator())
        sentence = f"was written by {comm.Get_size()} ranks, this run has 1, and the solver gives no keys"
        with pytest.raises(BadInputError, match=sentence):
            _run_only(alone, SerialCommunicator(), shared_path, resume=True)
    comm.Barrier()


def _run_only(solver: Solver, comm: Any, folder: Path, *, resume: bool = False) -> float:
    session = Session(solver, None, mode="off")
    end = 2.0 if resume else 1.0
    result = Loop(session, t_end=end, dt=0.1, directory=folder, checkpoint_every=5).run(resume=resume)
    session.close()
    return result.raise_on_failure().t


def test_another_mesh_and_places_that_are_not_distinct_are_refused(comm: Communicator, shared_path: Path) -> None:
    class Moved(MeanFieldSolver):
        shift, pairs = 0.0, False

        def _canonical_keys(self) -> Any:
            keys = self.coordinates() + self.shift
            return 2.0 * np.floor(keys / 2.0) if self.pairs else keys

    if comm.Get_rank() == 0:
        serial = SerialCommunicator()
        _run_only(Moved(31, serial), serial, shared_path)
        other = Moved(31, serial)
        other.shift = 0.25
        with pytest.raises(BadInputError, match="31 of 31 values of this rank have no counterpart"):
            _run_only(other, serial, shared_path, resume=True)
        twins = Moved(31, serial)
        twins.pairs = True
        with pytest.raises(BadInputError, match="15 of its 31 values are nobody's, 15 have several places"):
            _run_only(twins, serial, shared_path, resume=True)
        assert complete(shared_path / "checkpoints")
    comm.Barrier()
