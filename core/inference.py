"""Where surrogates infer: on every rank, or on one rank of each node that owns the device.

The plan is plain logic over numbers, so that `cosolve doctor` can print it and tests need no GPU. `NodeLeader` carries
a question to the leader of a node and its answer back, and never leaves a rank waiting for one that failed.

Questions and answers are pickled as mpi4py pickles any object: in memory, from rank to rank of one run. Nothing that
comes from a file or from outside the run is ever unpickled.
"""

from __future__ import annotations

import pickle
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Final, Literal, TypeVar

from cosolve.core.communicator import Communicator, SerialCommunicator
from cosolve.core.consensus import FaultAwareCommunicator
from cosolve.core.errors import BadInputError, unknown_name
from cosolve.core.wording import counted

Inference = Literal["per_rank", "node_leader"]
INFERENCES: Final = ("per_rank", "node_leader")
Answer = TypeVar("Answer")


@dataclass(frozen=True, slots=True)
class InferencePlan:
    """Where one rank of a node infers.

    Attributes:
        mode: `per_rank` or `node_leader`.
        local_rank: Number of the rank on its node.
        device: `cpu`, `cuda:K`, or empty where the rank asks its node's leader.
        threads: Threads of the library on this rank.
    """

    mode: Inference
    local_rank: int
    device: str
    threads: int

    def as_text(self) -> str:
        """Return the plan in words.

        >>> plan_of("per_rank", 3, gpus=2).as_text()
        'rank 3 of the node on cuda:1 with 1 thread'
        >>> plan_of("node_leader", 3, gpus=2).as_text()
        'rank 3 of the node asks rank 0'
        """
        if not self.device:
            return f"rank {self.local_rank} of the node asks rank 0"
        return f"rank {self.local_rank} of the node on {self.device} with {counted(self.threads, 'thread')}"

    def as_record(self) -> dict[str, Any]:
        """Return the plan as JSON values for the ledger."""
        return {"inference": self.mode, "device": self.device, "local_rank": self.local_rank, "threads": self.threads}


def plan_of(mode: str, local_rank: int, *, gpus: int, threads: int = 1) -> InferencePlan:
    """Return where a rank infers.

    Args:
        mode: `per_rank`: every rank, on the GPU of its number on its node modulo their number; `node_leader`: rank 0 of
            each node alone, so that one process holds a GPU's context.
        local_rank: Number of the rank on its node.
        gpus: GPUs that a process of the node sees.
        threads: Threads of a rank.

    Raises:
        BadInputError: The mode is unknown.
    """
    checked = checked_inference(mode)
    if checked == "node_leader" and local_rank != 0:
        return InferencePlan(checked, local_rank, "", threads)
    return InferencePlan(checked, local_rank, f"cuda:{local_rank % gpus}" if gpus else "cpu", threads)


def checked_inference(mode: str) -> Inference:
    """Return the mode.

    Raises:
        BadInputError: It is unknown; names the nearest.
    """
    if mode not in INFERENCES:
        raise BadInputError(unknown_name("inference", mode, INFERENCES))
    return mode  # type: ignore[return-value]  # one of the literals, as just checked


class NodeLeader:
    """Answers on one rank of each node for all ranks of that node (collective to build and to use).

    Args:
        comm: Communicator of the run.

    Attributes:
        leads: Whether this rank answers.
    """

    def __init__(self, comm: Communicator) -> None:
        self._comm = comm
        raw: Any = comm.raw if isinstance(comm, FaultAwareCommunicator) else comm
        self._node: Any = SerialCommunicator()
        if raw.Get_size() > 1:
            # Imported here: only a communicator of several ranks can come from MPI, and mpi4py is optional.
            from mpi4py import MPI

            self._node = raw.Split_type(MPI.COMM_TYPE_SHARED)
        self.leads = self._node.Get_rank() == 0

    def ask(self, work: Callable[[Any], Answer], question: Any) -> Answer:
        """Have the leader do `work` on this rank's question, and return the answer (collective).

        Raises:
            Exception: What this rank's own question or the leader's work raised; the other ranks get their answers.
        """
        if self._node.Get_size() == 1:
            return work(question)
        # A rank that has failed before is told here, before anybody waits for it in calls that could not tell.
        self._comm.Barrier()
        sent, error = _attempt(lambda: pickle.dumps(question))
        questions = self._node.gather(sent, root=0)
        answers = None
        if self.leads:
            answers = [self._answered(work, one) for one in questions]
        answer, trouble = self._node.scatter(answers, root=0)
        if error is not None:
            raise error
        if trouble:
            raise RuntimeError(f"the leader of the node failed: {trouble}")
        return pickle.loads(answer)  # type: ignore[no-any-return]  # what `work` returned, from a rank of this run

    def share(self, work: Callable[[], Answer]) -> Answer:
        """Have the leader do `work`, which is the same on every rank, and return its answer (collective).

        Raises:
            Exception: What the leader's work raised; a RuntimeError with its words on the other ranks.
        """
        if self._node.Get_size() == 1:
            return work()
        self._comm.Barrier()
        answer, error = _attempt(work) if self.leads else (None, None)
        text = "" if error is None else f"{type(error).__name__}: {error}"
        answer, trouble = self._node.bcast((answer, text), root=0)
        if error is not None:
            raise error
        if trouble:
            raise RuntimeError(f"the leader of the node failed: {trouble}")
        return answer  # type: ignore[no-any-return]  # what `work` returned on the leader

    @staticmethod
    def _answered(work: Callable[[Any], Any], question: bytes | None) -> tuple[bytes, str]:
        if question is None:  # that rank has failed, and knows it
            return b"", ""
        answer, error = _attempt(lambda: pickle.dumps(work(pickle.loads(question))))
        return (b"", f"{type(error).__name__}: {error}") if answer is None else (answer, "")

    def close(self) -> None:
        """Free the node's communicator (collective). Idempotent."""
        if not isinstance(self._node, SerialCommunicator):
            self._node.Free()
        self._node = SerialCommunicator()


def _attempt(work: Callable[[], Answer]) -> tuple[Answer | None, BaseException | None]:
    """Return what `work` returned and what it raised: nobody may leave between two calls that all ranks make."""
    try:
        return work(), None
    except BaseException as error:  # Ctrl-C, too: raised again when all have met
        return None, error
