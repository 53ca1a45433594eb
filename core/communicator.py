"""What cosolve needs of a communicator, with and without MPI.

Any `mpi4py.MPI.Intracomm` satisfies `Communicator`. A serial run needs no MPI: `SerialCommunicator` stands in.
"""

from __future__ import annotations

import os
import sys
from typing import Any, Final, Protocol, runtime_checkable


@runtime_checkable
class Communicator(Protocol):
    """The part of mpi4py's communicator that cosolve uses.

    All of it is collective but `rank`, `size`, `Get_rank` and `Get_size`.
    """

    @property
    def rank(self) -> int: ...  # noqa: D102
    @property
    def size(self) -> int: ...  # noqa: D102
    def Get_rank(self) -> int: ...  # noqa: D102
    def Get_size(self) -> int: ...  # noqa: D102
    def Dup(self) -> Any: ...  # noqa: D102
    def Free(self) -> None: ...  # noqa: D102
    def Barrier(self) -> None: ...  # noqa: D102
    def bcast(self, obj: Any, root: int = 0) -> Any: ...  # noqa: D102
    def gather(self, sendobj: Any, root: int = 0) -> Any: ...  # noqa: D102
    def allgather(self, sendobj: Any) -> Any: ...  # noqa: D102
    def Allreduce(self, sendbuf: Any, recvbuf: Any, op: Any = None) -> None: ...  # noqa: D102


class SerialCommunicator:
    """A communicator of one rank that needs no MPI library.

    Attributes:
        rank: 0, as `Get_rank()`.
        size: 1, as `Get_size()`.
    """

    rank: Final = 0
    size: Final = 1

    def Get_rank(self) -> int:
        """Return 0."""
        return 0

    def Get_size(self) -> int:
        """Return 1."""
        return 1

    def Dup(self) -> SerialCommunicator:
        """Return a new communicator of one rank."""
        return SerialCommunicator()

    def Free(self) -> None:
        """Do nothing: there is nothing to free."""

    def Barrier(self) -> None:
        """Return at once: one rank waits for nobody."""

    def bcast(self, obj: Any, root: int = 0) -> Any:
        """Return `obj`."""
        return obj

    def gather(self, sendobj: Any, root: int = 0) -> list[Any]:
        """Return `[sendobj]`."""
        return [sendobj]

    def allgather(self, sendobj: Any) -> list[Any]:
        """Return `[sendobj]`."""
        return [sendobj]

    def Allreduce(self, sendbuf: Any, recvbuf: Any, op: Any = None) -> None:
        """Copy `sendbuf` into `recvbuf`: the reduction over one rank, whatever the operation."""
        recvbuf[...] = sendbuf


_LAUNCHERS = ("OMPI_COMM_WORLD_SIZE", "PMI_SIZE", "PMIX_RANK", "MPI_LOCALNRANKS")


def launched_by_mpi() -> bool:
    """Return whether this process was started by mpirun, mpiexec or srun (not collective)."""
    return any(name in os.environ for name in _LAUNCHERS)


def world() -> Communicator:
    """Return `MPI.COMM_WORLD` where MPI is in use, else a serial communicator (not collective).

    MPI counts as in use when mpi4py was imported already or a launcher started this process, so that a serial
    user never initialises MPI.
    """
    if "mpi4py.MPI" in sys.modules or launched_by_mpi():
        # Imported here: mpi4py is optional, and importing it initialises MPI.
        from mpi4py import MPI

        communicator: Communicator = MPI.COMM_WORLD
        return communicator
    return SerialCommunicator()
