"""All ranks come out of a section alike; run on one rank by plain pytest, on 2 and 3 by mpirun."""

from __future__ import annotations

import contextlib
import subprocess
import sys
import time

import numpy as np
import pytest
from cosolve.core.communicator import Communicator, SerialCommunicator
from cosolve.core.consensus import Consensus, FaultAwareCommunicator, FaultBox, guard
from cosolve.core.errors import InterruptedRunError, OutputError, RankFaultError

pytestmark = pytest.mark.mpi


@pytest.fixture
def last(comm: Communicator) -> int:
    return comm.Get_size() - 1


def _sum(comm: FaultAwareCommunicator, value: float) -> float:
    total = np.zeros(1)
    comm.Allreduce(np.array([value]), total)
    return float(total[0])


def test_the_value_comes_back_with_the_largest_vote(comm: Communicator, last: int) -> None:
    consensus = Consensus(comm)
    value = consensus.run("work", 3, lambda: comm.Get_rank(), vote=float)
    assert value == comm.Get_rank()
    assert consensus.vote == last
    assert consensus.seconds > 0.0
    consensus.close()


def test_a_rank_that_raises_meets_the_others_in_their_next_collective(comm: Communicator, last: int) -> None:
    consensus = Consensus(comm)
    aware = consensus.comm

    def work() -> float:
        _sum(aware, 1.0)
        if aware.rank == last:
            raise ValueError("planted")
        for _ in range(5):
            _sum(aware, 1.0)
        return aware.bcast(1.0)

    with pytest.raises(RankFaultError) as caught:
        consensus.run("worker 'w'", 7, work)
    assert str(caught.value) == f"worker 'w' failed on rank {last} at step 7: ValueError: planted"
    assert (caught.value.rank, caught.value.step, caught.value.cause) == (last, 7, "ValueError: planted")
    # and all is well afterwards
    assert consensus.run("work", 8, lambda: _sum(aware, 1.0)) == aware.size
    consensus.close()


def test_of_several_faults_the_lowest_rank_is_named(comm: Communicator) -> None:
    consensus = Consensus(comm)

    def work() -> None:
        raise ValueError(f"rank {consensus.rank}")

    with pytest.raises(RankFaultError, match="failed on rank 0 at step 0: ValueError: rank 0"):
        consensus.run("work", 0, work)
    consensus.close()


def test_an_error_that_a_rank_swallows_is_raised_all_the_same(comm: Communicator, last: int) -> None:
    consensus = Consensus(comm)
    aware = consensus.comm

    def work() -> str:
        if aware.rank == last:
            raise ValueError("planted")
        with contextlib.suppress(RankFaultError):  # what a careless plugin does
            _sum(aware, 1.0)
        return "went on"

    with pytest.raises(RankFaultError, match="planted"):
        consensus.run("work", 0, work)
    consensus.close()


def test_a_rank_that_leaves_a_collective_out_is_told(comm: Communicator, last: int) -> None:
    consensus = Consensus(comm)
    aware = consensus.comm

    def work() -> float:
        return 0.0 if aware.rank == last else _sum(aware, 1.0)

    if last == 0:
        assert consensus.run("work", 0, work) == 0.0  # alone, nobody is missed
    else:
        told = r"the ranks did not enter the same collective: rank 0 entered Allreduce\(8\)"
        with pytest.raises(RankFaultError, match=told):
            consensus.run("work", 0, work)
    consensus.close()


def test_a_missed_deadline_is_the_fault_of_the_slow_rank_alone(comm: Communicator, last: int) -> None:
    consensus = Consensus(comm)
    aware = consensus.comm

    def work() -> float:
        if aware.rank == last:
            time.sleep(0.15)
        return _sum(aware, 1.0)

    with pytest.raises(RankFaultError, match=f"failed on rank {last} at step 0: MissedDeadlineError"):
        consensus.run("work", 0, work, deadline_seconds=0.1)
    consensus.close()


def test_zero_values_on_a_rank_are_fine(comm: Communicator, last: int) -> None:
    consensus = Consensus(comm)
    aware = consensus.comm
    owned = np.zeros(0) if aware.rank == last and last > 0 else np.ones(4)
    total = consensus.run("work", 0, lambda: _sum(aware, float(owned @ owned)))
    assert total == 4.0 * max(last, 1)
    consensus.close()


@pytest.mark.parametrize("interruption", [KeyboardInterrupt(), InterruptedRunError("SIGTERM")])
def test_a_signal_on_one_rank_interrupts_all(comm: Communicator, last: int, interruption: BaseException) -> None:
    consensus = Consensus(comm)

    def work() -> None:
        if consensus.rank == last:
            raise interruption

    with pytest.raises(InterruptedRunError, match=f"interrupted on rank {last} at step 0, while work was at work"):
        consensus.run("work", 0, work)
    consensus.run("more work", 1, lambda: None)  # it was told; the user may go on
    assert not consensus.interrupted
    consensus.close()


def test_a_rank_that_swallows_the_error_of_an_inner_section_enters_no_other(comm: Communicator, last: int) -> None:
    consensus = Consensus(comm)
    inner = Consensus(consensus.comm)

    def fail() -> None:
        if consensus.rank == last:
            raise ValueError("planted")

    def outer() -> None:
        try:
            inner.run("inner", 4, fail)
        except RankFaultError:
            if consensus.rank != last:
                raise
        inner.run("another", 4, lambda: None)

    if comm.Get_size() == 1:  # with nobody to wait for, it may
        consensus.run("outer", 4, outer)
    else:
        with pytest.raises(RankFaultError, match=f"inner failed on rank {last} at step 4: ValueError: planted"):
            consensus.run("outer", 4, outer)
    consensus.run("next", 5, lambda: None)
    consensus.close()


def test_a_contained_fault_of_an_inner_section_lets_all_ranks_go_on(comm: Communicator, last: int) -> None:
    consensus = Consensus(comm)

    def fail() -> None:
        _sum(consensus.comm, 1.0)
        if consensus.rank == last:
            raise ValueError("planted")
        _sum(consensus.comm, 1.0)

    def outer() -> float:
        with pytest.raises(RankFaultError, match=f"inner failed on rank {last}"):
            consensus.run("inner", 4, fail, contained=True)
        return _sum(consensus.comm, 1.0)

    assert consensus.run("outer", 4, outer) == comm.Get_size()
    consensus.close()


def test_a_request_to_stop_is_agreed_at_the_next_meeting(comm: Communicator, last: int) -> None:
    consensus = Consensus(comm)
    assert not consensus.interrupted
    if consensus.rank == last:
        consensus.comm.interrupt = True
    consensus.run("work", 0, lambda: None)
    assert consensus.interrupted
    consensus.close()


def test_an_output_that_fails_on_one_rank_is_raised_on_all(comm: Communicator, last: int) -> None:
    consensus = Consensus(comm)
    if consensus.rank == last:
        consensus.comm.output_failure = "the disk is full"
    with pytest.raises(OutputError, match="the disk is full"):
        consensus.run("work", 0, lambda: None)
    consensus.close()


def test_sections_nest(comm: Communicator, last: int) -> None:
    consensus = Consensus(comm)

    def inner() -> None:
        if consensus.rank == last:
            raise ValueError("inner")

    with pytest.raises(RankFaultError, match="inner work failed on rank"):
        consensus.run("outer work", 0, lambda: consensus.run("inner work", 0, inner))
    consensus.close()


def test_objects_travel(comm: Communicator, last: int) -> None:
    aware = FaultAwareCommunicator(comm)
    assert aware.bcast({"rank": aware.rank}, root=last) == {"rank": last}
    assert aware.allgather(aware.rank) == list(range(aware.size))
    assert aware.gather(aware.rank) == (list(range(aware.size)) if aware.rank == 0 else None)
    aware.Barrier()
    copy = aware.Dup()
    assert _sum(copy, 1.0) == aware.size
    copy.Free()


def test_a_guarded_callback_poisons_and_keeps_the_first_fault() -> None:
    box = FaultBox()
    calls = []

    def residual(x: float) -> float:
        calls.append(x)
        raise ValueError(f"at {x}")

    guarded = guard(residual, box, lambda x: float("nan"))
    assert np.isnan(guarded(1.0))
    assert np.isnan(guarded(2.0))
    assert calls == [1.0]
    with pytest.raises(ValueError, match=r"at 1\.0"):
        box.raise_kept()
    box.raise_kept()  # told once


def test_serial_runs_import_no_mpi() -> None:
    code = (
        "import sys; from cosolve.core.testing.mean_field import *; from cosolve.core.session import Session;"
        "from cosolve.core.query import Query; s = MeanFieldSolver(); S = Session(s, RatioVerifier());"
        "assert S.attempt(Query(s.initial_state(), dt=0.1)).ok; assert 'mpi4py' not in sys.modules"
    )
    environment = {"PATH": "/usr/bin:/bin"}  # without a launcher's variables
    done = subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


def test_one_rank_makes_no_reduction() -> None:
    class Counting(SerialCommunicator):
        reductions = 0

        def Dup(self) -> SerialCommunicator:
            return self

        def Allreduce(self, sendbuf: object, recvbuf: object, op: object = None) -> None:
            self.reductions += 1

    comm = Counting()
    consensus = Consensus(comm)
    consensus.run("work", 0, lambda: 1)
    assert comm.reductions == 0
