"""A run that kills itself at a given event: started by `test_kill.py`, alone or under mpirun.

    python killed_run.py KIND FOLDER REPLAYED VICTIM EVENT

EVENT counts calls of Python and C functions from the start of the loop on; 0 kills nothing and prints how many there
were. REPLAYED is the folder of the run whose decisions are repeated, or `-`.
"""

from __future__ import annotations

import os
import signal
import sys
from pathlib import Path
from typing import Any

import numpy as np
from cosolve.core.checkpoint import CHECKPOINT_FOLDER, complete
from cosolve.core.communicator import SerialCommunicator, launched_by_mpi, world
from cosolve.core.coupling import CouplingContext
from cosolve.core.governor import Governor, decisions_of
from cosolve.core.ledger import Ledger, read_ledger
from cosolve.core.prediction import Prediction
from cosolve.core.query import Query
from cosolve.core.session import Session
from cosolve.core.surrogate import Surrogate
from cosolve.core.testing.mean_field import MeanFieldSolver, RatioVerifier
from cosolve.couplings.cycle_jump import CycleJump
from cosolve.couplings.cycle_jump_verifier import CycleSweeps
from cosolve.couplings.time_loop import TimeLoop


class Drifting(Surrogate):
    """Extrapolates with a drift that it remembers and noise from the global generator."""

    name = "drifting"

    def __init__(self) -> None:
        self._drift: Any = None

    def _predict(self, query: Query) -> Prediction:
        before = query.history[0].state if query.history else query.state
        noise = 1.0 + 1e-10 * np.random.standard_normal()  # noqa: NPY002  # the global generator is what is tested
        return Prediction(noise * (2.0 * query.state - before) + (0.0 if self._drift is None else 1e-6 * self._drift))

    def observe(self, query: Query, value: Any) -> None:
        self._drift = value - query.state + (0.0 if self._drift is None else 0.5 * self._drift)

    def memory(self) -> dict[str, Any]:
        return {} if self._drift is None else {"drift": self._drift}

    def restore(self, memory: Any) -> None:
        self._drift = memory.get("drift")


def _parts(kind: str, comm: Any) -> tuple[Any, Any, Any]:
    """Return solver, surrogate and verifier."""
    if kind == "cycle_jump":
        from cosolve.couplings.small_cycles import NearlyExact
        from cosolve.examples.faults.cycle_jump_case import solver_of

        return solver_of(comm), NearlyExact(0.3), CycleSweeps()
    if kind == "fenicsx":
        from cosolve.examples.heat.options import HeatOptions
        from cosolve.examples.heat.problem import HeatProblem
        from mpi4py import MPI

        mpi = comm if comm.Get_size() > 1 else MPI.COMM_SELF
        solver = HeatProblem(HeatOptions(cells=8)).make_solver(mpi, {"rtol": 1e-9, "prefix": "killed_"})
        return solver, Drifting(), RatioVerifier(correct_below=1e6)
    return MeanFieldSolver(31, comm, atol=1e-10), Drifting(), RatioVerifier(correct_below=1e6)


def _strike_at(event: int) -> list[int]:
    counted = [0]

    def hook(frame: Any, kind: str, argument: Any) -> None:
        if kind in ("call", "c_call"):
            counted[0] += 1
            if counted[0] == event:
                os.kill(os.getpid(), signal.SIGKILL)

    sys.setprofile(hook)
    return counted


def main(kind: str, folder: Path, replayed: str, victim: int, event: int) -> None:
    comm: Any = world() if launched_by_mpi() else SerialCommunicator()
    resume = comm.bcast(bool(complete(folder / CHECKPOINT_FOLDER)))
    solver, surrogate, verifier = _parts(kind, comm)
    governor = Governor("measured")
    if replayed != "-":
        governor = Governor("replay", decisions_of(comm.bcast(read_ledger(replayed) if comm.rank == 0 else None)))
    elif kind == "cycle_jump":
        governor = Governor("off")
    np.random.seed(5 + comm.Get_rank())  # noqa: NPY002  # a restart must not start from here
    with Ledger(folder, comm, resume=resume) as ledger:
        session = Session(solver, verifier, governor=governor, ledger=ledger)
        context = CouplingContext(
            session, solver, [surrogate], verifier, directory=folder, checkpoint_every=2, resume=resume
        )
        coupling = CycleJump(context) if kind == "cycle_jump" else TimeLoop(context, (0.0, 1.2, 0.05))
        counted = _strike_at(event if comm.Get_rank() == victim else 0)
        result = coupling.run().raise_on_failure()
        sys.setprofile(None)
        session.close()
    keys = solver.canonical_keys()
    pieces = comm.gather((keys, result.value))
    events = comm.gather(counted[0])
    solver.close()
    if comm.Get_rank() == 0:
        keys, value = (np.concatenate([piece[index] for piece in pieces]) for index in (0, 1))
        np.save(folder / "answer.npy", value[np.lexsort(np.round(keys, 9).T)])
        print("EVENTS", *events)


if __name__ == "__main__":
    main(sys.argv[1], Path(sys.argv[2]), sys.argv[3], int(sys.argv[4]), int(sys.argv[5]))
