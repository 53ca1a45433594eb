"""Where surrogates infer: the plan by numbers alone, and a leader that answers for the ranks of its node."""

from __future__ import annotations

from typing import Any

import pytest
from cosolve.core.communicator import Communicator
from cosolve.core.consensus import Consensus, FaultAwareCommunicator
from cosolve.core.doctor import _inference
from cosolve.core.errors import BadInputError, RankFaultError
from cosolve.core.inference import NodeLeader, plan_of
from cosolve.core.probes import Probe


@pytest.mark.parametrize(
    ("mode", "rank", "gpus", "device"),
    [
        ("per_rank", 0, 0, "cpu"),
        ("per_rank", 0, 4, "cuda:0"),
        ("per_rank", 5, 4, "cuda:1"),
        ("node_leader", 0, 0, "cpu"),
        ("node_leader", 0, 4, "cuda:0"),
        ("node_leader", 5, 4, ""),
    ],
)
def test_the_plan(mode: str, rank: int, gpus: int, device: str) -> None:
    plan = plan_of(mode, rank, gpus=gpus)
    assert (plan.device, plan.threads) == (device, 1)
    assert plan.as_record() == {"inference": mode, "device": device, "local_rank": rank, "threads": 1}


def test_an_unknown_mode_is_named() -> None:
    with pytest.raises(BadInputError, match="unknown inference 'node_lead'; did you mean 'node_leader'"):
        plan_of("node_lead", 0, gpus=0)


def test_doctor_prints_the_plan() -> None:
    torch = Probe("torch", "ok", {"gpus": ["A", "B"]})
    (row,) = _inference(torch, {"OMPI_COMM_WORLD_LOCAL_SIZE": "3", "OMP_NUM_THREADS": "2"})
    assert row.what == "inference"
    assert "rank 2 of the node on cuda:0 with 2 threads" in row.detail
    assert "node_leader: rank 0 of the node on cuda:0 with 2 threads for all" in row.detail
    (row,) = _inference(torch, {"OMPI_COMM_WORLD_LOCAL_SIZE": "64"})
    assert "and so on to rank 63" in row.detail
    assert _inference(Probe("torch", "missing"), {}) == []


@pytest.mark.mpi
def test_the_leader_answers_each_rank(comm: Communicator) -> None:
    leader = NodeLeader(comm)
    assert leader.leads == (comm.Get_rank() == 0)
    seen: list[int] = []

    def work(question: int) -> int:
        seen.append(question)
        return 10 * question

    assert leader.ask(work, comm.Get_rank()) == 10 * comm.Get_rank()
    assert seen == (list(range(comm.Get_size())) if leader.leads else [])
    assert leader.share(lambda: f"rank {comm.Get_rank()}") == "rank 0"
    leader.close()
    leader.close()


@pytest.mark.mpi
@pytest.mark.parametrize("where", ["question", "work", "shared work", "before"])
def test_a_fault_is_told_and_nobody_waits(where: str, comm: Communicator) -> None:
    aware = FaultAwareCommunicator(comm.Dup())
    consensus, leader = Consensus(aware), NodeLeader(aware)
    last = comm.Get_size() - 1

    class Unpicklable:
        def __reduce__(self) -> Any:
            raise ValueError("planted in the question")

    def work(question: Any) -> Any:
        if where == "work" and question == last:
            raise ValueError("planted in the work")
        return 0

    def shared() -> int:
        raise ValueError("planted in the work")

    def section() -> Any:
        if where == "before" and comm.Get_rank() == last:
            raise ValueError("planted before")
        if where == "shared work":
            return leader.share(shared)
        return leader.ask(work, Unpicklable() if where == "question" and comm.Get_rank() == last else comm.Get_rank())

    if where == "question" and comm.Get_size() == 1:
        assert consensus.run("surrogate 'x'", 1, section) == 0  # alone nothing is sent
    else:
        with pytest.raises(RankFaultError, match=r"surrogate 'x' failed on rank \d at step 1: .*planted"):
            consensus.run("surrogate 'x'", 1, section)
    assert leader.ask(lambda question: question, 7) == 7
    leader.close()
    aware.Free()
