"""A communicator that counts the collectives that pass through it, and their bytes."""

from __future__ import annotations

import pickle
from collections import Counter
from typing import Any

from cosolve.core.communicator import Communicator


class CountingCommunicator:
    """Hands everything on to `comm` and counts; its duplicates count into the same tally.

    Args:
        comm: The communicator.
        tally: Collectives by name, and `bytes`: what one rank puts in, objects as pickled; None for a new one.

    Attributes:
        tally: As given.
    """

    def __init__(self, comm: Communicator, tally: Counter[str] | None = None) -> None:
        self._comm = comm
        self.tally: Counter[str] = Counter() if tally is None else tally
        self.rank, self.size = comm.Get_rank(), comm.Get_size()

    def Get_rank(self) -> int:
        """Return this rank."""
        return self.rank

    def Get_size(self) -> int:
        """Return the number of ranks."""
        return self.size

    def Dup(self) -> CountingCommunicator:
        """Return a duplicate that counts into the same tally (collective)."""
        return CountingCommunicator(self._comm.Dup(), self.tally)

    def Free(self) -> None:
        """Free the communicator (collective)."""
        self._comm.Free()

    def Barrier(self) -> None:
        """Wait for all ranks (collective)."""
        self.tally["Barrier"] += 1
        self._comm.Barrier()

    def bcast(self, obj: Any, root: int = 0) -> Any:
        """Return the object of rank `root` (collective)."""
        self._count("bcast", len(pickle.dumps(obj)) if self.rank == root else 0)
        return self._comm.bcast(obj, root)

    def gather(self, sendobj: Any, root: int = 0) -> Any:
        """Return the objects of all ranks on rank `root` (collective)."""
        self._count("gather", len(pickle.dumps(sendobj)))
        return self._comm.gather(sendobj, root)

    def allgather(self, sendobj: Any) -> Any:
        """Return the objects of all ranks (collective)."""
        self._count("allgather", len(pickle.dumps(sendobj)))
        return self._comm.allgather(sendobj)

    def Allreduce(self, sendbuf: Any, recvbuf: Any, op: Any = None) -> None:
        """Reduce over all ranks (collective)."""
        self._count("Allreduce", int(sendbuf.nbytes))
        self._comm.Allreduce(sendbuf, recvbuf, *(() if op is None else (op,)))

    def _count(self, name: str, size: int) -> None:
        self.tally[name] += 1
        self.tally["bytes"] += size
