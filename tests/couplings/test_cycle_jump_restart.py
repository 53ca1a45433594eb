"""A cycle jump that was stopped goes on with its records, the judge's pauses and its account, on any ranks."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from cosolve.core.communicator import Communicator, SerialCommunicator
from cosolve.core.coupling import CouplingContext
from cosolve.core.governor import Governor
from cosolve.core.loop import LoopState
from cosolve.core.result import Result, Status
from cosolve.core.session import Session
from cosolve.couplings.cycle_jump import CycleJump
from cosolve.couplings.cycle_jump_verifier import CycleSweeps
from cosolve.couplings.small_cycles import NearlyExact
from cosolve.examples.faults.cycle_jump_case import solver_of

pytestmark = pytest.mark.mpi
LOADS = (0.5, 0.8, 0.4, 0.6, 0.45, 0.7)
FIGURES = ("estimated_error", "time_steps", "true_periods", "blocks_surrogate", "blocks_classical", "blocks_stepping")


def _run(comm: Any, folder: Path, *, stop: int = 0, resume: bool = False) -> tuple[Result, Any]:
    solver = solver_of(comm, LOADS)
    judge = CycleSweeps()
    # Wrong by so much that it fails in some blocks: then the judge leaves it out for one, two, four blocks.
    context = CouplingContext(
        Session(solver, judge, governor=Governor("off")),
        solver,
        [NearlyExact(0.6)],
        judge,
        directory=folder,
        checkpoint_every=1,
        resume=resume,
    )

    def interrupt(state: LoopState) -> None:
        context.session.consensus.comm.interrupt = state.step == stop

    result = CycleJump(context, interrupt).run()
    pieces = comm.allgather(solver.parts(result.value))
    context.session.close()
    return result, np.concatenate([np.concatenate([piece[index] for piece in pieces]) for index in (0, 1)])


@pytest.mark.parametrize("stop", [2, 4])
def test_a_stopped_cycle_jump_goes_on_as_it_would_have(stop: int, comm: Communicator, shared_path: Path) -> None:
    whole, state = _run(comm, shared_path / "whole")
    assert 0 < whole.stats["blocks_surrogate"] < len(LOADS)
    stopped, _ = _run(comm, shared_path / "part", stop=stop)
    assert stopped.status is Status.INTERRUPTED
    again, found = _run(comm, shared_path / "part", resume=True)
    np.testing.assert_array_equal(found, state)
    assert [again.stats[name] for name in FIGURES] == [whole.stats[name] for name in FIGURES]


def test_one_rank_reads_what_several_wrote(comm: Communicator, shared_path: Path) -> None:
    _, state = _run(comm, shared_path / "whole")
    _run(comm, shared_path / "part", stop=3)
    if comm.Get_rank() == 0:
        _, found = _run(SerialCommunicator(), shared_path / "part", resume=True)
        np.testing.assert_allclose(found, state, rtol=1e-10)
    comm.Barrier()
