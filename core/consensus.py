"""One decision for all ranks: what goes wrong on one rank is known on every rank before any other collective call.

The protocol is one small reduction of fixed shape, the *meeting*. Every collective of a `FaultAwareCommunicator` is
preceded by a meeting, and every section that `Consensus.run` runs is closed by one. A rank whose code failed performs
exactly one meeting with its fault flag set, which the other ranks join either in their next collective or in the
closing meeting. So nobody hangs, and all ranks unwind to the same `RankFaultError`. A meeting also carries what kind
of collective each rank entered (so that a rank that left one out is told, not waited for), requests to interrupt, a
failed output file, the time of the section and a vote.

With one rank there is no meeting: a section costs two clock reads.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from typing import Any, Final, NoReturn, TypeVar

import numpy as np
from cosolve.core.communicator import Communicator
from cosolve.core.errors import InterruptedRunError, OutputError, RankFaultError
from cosolve.core.fault_box import FaultBox as FaultBox
from cosolve.core.fault_box import guard as guard

T = TypeVar("T")

_LOGGER = logging.getLogger("cosolve.consensus")

# What a meeting carries, all reduced by MAX: the lowest faulty rank as size - rank, the kind of the collective and
# its negative (both equal on all ranks or somebody is elsewhere), two requests, and two values of the section.
_FAULT, _KIND, _ANTIKIND, _INTERRUPT, _OUTPUT, _SECONDS, _VOTE = range(7)
_SLOTS: Final = 7

_CLOSE: Final = 0.0
_KINDS: Final = {"close": 0, "Barrier": 1, "bcast": 2, "gather": 3, "allgather": 4, "Allreduce": 5, "Dup": 6, "Free": 7}


# What a signal raises within the code of a plugin: the run is to end, and no plugin is to blame.
_INTERRUPTIONS: Final = (KeyboardInterrupt, InterruptedRunError)


class MissedDeadlineError(Exception):
    """Code of a plugin took longer on this rank than its deadline allows."""


class FaultAwareCommunicator:
    """A communicator whose every collective first agrees that no rank has failed.

    Works in serial without MPI, with mpi4py 3.1 and 4, and on split communicators. Solvers, verifiers and couplings
    of ours use it for their own reductions; a library that communicates on its own (PETSc) gets `raw`, and faults in
    its callbacks go through `guard`.

    Args:
        comm: The communicator to wrap. A `FaultAwareCommunicator` is shared, not wrapped again.

    Attributes:
        raw: The wrapped communicator, for libraries.
        rank: This rank.
        size: Number of ranks.
        interrupt: Set on any rank to ask all ranks to stop after the current transaction.
        interrupted: Whether the ranks agreed to stop.
        output_failure: Set on a rank whose output file could not be written; the next meeting tells all.
        fault: The agreed fault of the current section.
        seconds: Longest time of the last section over the ranks.
        vote: Largest vote of the last section over the ranks.
        waited: Seconds that this rank has spent in collectives so far: what another rank's delay costs it.
    """

    def __init__(self, comm: Communicator) -> None:
        self.raw: Communicator = comm.raw if isinstance(comm, FaultAwareCommunicator) else comm
        self.rank: Final = int(comm.Get_rank())
        self.size: Final = int(comm.Get_size())
        self.interrupt = False
        self.interrupted = False
        self.output_failure = ""
        self.fault: Exception | None = None
        self.seconds = 0.0
        self.vote = 0.0
        self.waited = 0.0
        self._label = ""
        self._step = 0
        self._depth = 0
        self._mine = np.zeros(_SLOTS)
        self._ours = np.zeros(_SLOTS)
        self._max: Any = None
        if self.size > 1:
            # Imported here: only a communicator of several ranks can come from MPI, and mpi4py is optional.
            from mpi4py import MPI

            self._max = MPI.MAX

    # Collectives, each after a meeting
    def Get_rank(self) -> int:
        """Return this rank."""
        return self.rank

    def Get_size(self) -> int:
        """Return the number of ranks."""
        return self.size

    def Dup(self) -> FaultAwareCommunicator:
        """Return a fault-aware duplicate (collective); free it with `Free`."""
        self._before("Dup")
        return FaultAwareCommunicator(self.raw.Dup())

    def Free(self) -> None:
        """Free the wrapped communicator (collective)."""
        self.raw.Free()

    def Barrier(self) -> None:
        """Wait for all ranks (collective)."""
        self._collective("Barrier", 0, self.raw.Barrier)

    def bcast(self, obj: Any, root: int = 0) -> Any:
        """Return the object of rank `root` (collective)."""
        return self._collective("bcast", root, self.raw.bcast, obj, root)

    def gather(self, sendobj: Any, root: int = 0) -> Any:
        """Return the objects of all ranks on rank `root`, None elsewhere (collective)."""
        return self._collective("gather", root, self.raw.gather, sendobj, root)

    def allgather(self, sendobj: Any) -> Any:
        """Return the objects of all ranks in order (collective)."""
        return self._collective("allgather", 0, self.raw.allgather, sendobj)

    def Allreduce(self, sendbuf: Any, recvbuf: Any, op: Any = None) -> None:
        """Reduce `sendbuf` over all ranks into `recvbuf`, by default the sum (collective).

        Raises:
            RankFaultError: A rank has failed, or the buffers have different sizes on different ranks.
        """
        arguments = (sendbuf, recvbuf) if op is None else (sendbuf, recvbuf, op)
        self._collective("Allreduce", int(getattr(recvbuf, "nbytes", 0)), self.raw.Allreduce, *arguments)

    def _collective(self, name: str, detail: int, call: Callable[..., Any], *arguments: Any) -> Any:
        """Meet, then make the collective; `detail` must be the same on every rank."""
        if self.size == 1:
            self._refuse_after_fault()
            return call(*arguments)
        start = time.perf_counter()
        try:
            self._before(name, detail)
            return call(*arguments)
        finally:
            self.waited += time.perf_counter() - start

    def _refuse_after_fault(self) -> None:
        if self.fault is not None:  # code of a plugin swallowed the agreed error: nobody else is in this collective
            raise self.fault

    def _before(self, name: str, detail: int = 0) -> None:
        self._refuse_after_fault()
        if self.size > 1:
            self._meet(_KINDS[name] + 8.0 * detail)

    def agreed(self) -> Exception | None:
        """Return the fault that all ranks agreed on in the current section, if any (not collective)."""
        return self.fault

    # The meeting
    def _meet(self, kind: float, *, seconds: float = 0.0, vote: float = 0.0) -> None:
        mine, ours = self._mine, self._ours
        mine[_FAULT] = 0.0
        mine[_KIND] = kind
        mine[_ANTIKIND] = -kind
        mine[_INTERRUPT] = self.interrupt
        mine[_OUTPUT] = self.size - self.rank if self.output_failure else 0.0
        mine[_SECONDS] = seconds
        mine[_VOTE] = vote
        self.raw.Allreduce(mine, ours, self._max)
        self.seconds = float(ours[_SECONDS])
        self.vote = float(ours[_VOTE])
        if ours[_FAULT] > 0.0:
            self._unwind(self.size - int(ours[_FAULT]), "")
        if ours[_KIND] != -ours[_ANTIKIND]:
            self._disagree(kind)
        if ours[_INTERRUPT] > 0.0:
            self.interrupted = True
        if ours[_OUTPUT] > 0.0:
            sentence = self.raw.bcast(self.output_failure, root=self.size - int(ours[_OUTPUT]))
            self.fault = OutputError(sentence)
            raise self.fault

    def _confess(self, error: BaseException, seconds: float) -> NoReturn:
        """Hold the one meeting of a rank whose code failed, then raise what all ranks raise."""
        mine, ours = self._mine, self._ours
        mine[:] = 0.0
        mine[_FAULT] = self.size - self.rank
        mine[_SECONDS] = seconds
        self.raw.Allreduce(mine, ours, self._max)
        self.seconds = float(ours[_SECONDS])
        self._unwind(self.size - int(ours[_FAULT]), _describe(error), error)

    def _unwind(self, root: int, cause: str, error: BaseException | None = None) -> NoReturn:
        kind = "interrupt" if isinstance(error, _INTERRUPTIONS) else "fault"
        label, step, kind, cause = self.raw.bcast((self._label, self._step, kind, cause), root=root)
        interrupted = kind == "interrupt"
        self.fault = _interruption(label, root, step) if interrupted else rank_fault(label, root, step, cause)
        raise self.fault from (error if root == self.rank else None)

    def _disagree(self, kind: float) -> NoReturn:
        names = {number: name for name, number in _KINDS.items()}
        entered = self.raw.allgather(kind)
        words = []
        for value in entered:
            name, detail = names[int(value) % 8], int(value) // 8
            words.append("the end of the section" if name == "close" else f"{name}({detail})" if detail else name)
        told = ", ".join(f"rank {rank} entered {word}" for rank, word in enumerate(words))
        odd = next(rank for rank, word in enumerate(words) if word != words[0])
        self.fault = rank_fault(self._label, odd, self._step, f"the ranks did not enter the same collective: {told}")
        raise self.fault


class Consensus:
    """Runs sections of code so that all ranks come out of them alike.

    Args:
        comm: The communicator. A `FaultAwareCommunicator` is shared, so that a failing rank meets the others in the
            collectives they make through it; any other is duplicated, and the duplicate freed by `close`.
    """

    def __init__(self, comm: Communicator) -> None:
        self._owned = not isinstance(comm, FaultAwareCommunicator)
        self.comm = comm if isinstance(comm, FaultAwareCommunicator) else FaultAwareCommunicator(comm.Dup())
        self.rank = self.comm.rank
        self.size = self.comm.size
        self._closed = False

    def run(
        self,
        label: str,
        step: int,
        fn: Callable[[], T],
        *,
        deadline_seconds: float | None = None,
        vote: Callable[[T], float] | None = None,
        contained: bool = False,
    ) -> T:
        """Run `fn` on every rank, then agree (collective).

        After it, `seconds` is the longest time over the ranks and `vote` the largest vote; after a fault, `seconds` is
        the time that the failed rank took.

        Args:
            label: Who is at work, for the sentence: "surrogate 'fno'".
            step: Number of the transaction.
            fn: Rank-local or collective code; its collectives must go through `self.comm`, or be a library's own in
                which no rank may raise alone.
            deadline_seconds: A rank that needs longer has failed; waiting in collectives of `self.comm` does not count.
            vote: A number of the value that is reduced by MAX, so that a decision taken from it is one for all.
            contained: Whether every rank handles the agreed fault and goes on; a section round this one then does, too.

        Returns:
            What `fn` returned on this rank.

        Raises:
            RankFaultError: `fn` failed on at least one rank; the same sentence on every rank.
            InterruptedRunError: Ctrl-C or SIGTERM was raised inside `fn`.
            OutputError: A rank could not write its output.
        """
        comm = self.comm
        comm._depth += 1
        try:
            return self._run(label, step, fn, deadline_seconds, vote)
        finally:
            comm._depth -= 1
            if comm._depth == 0 or contained:
                comm.fault = None  # all ranks have unwound: what follows starts afresh

    def _run(
        self,
        label: str,
        step: int,
        fn: Callable[[], T],
        deadline_seconds: float | None,
        vote: Callable[[T], float] | None,
    ) -> T:
        comm = self.comm
        if comm._depth > 1:  # a section within one whose agreed error this rank swallowed: nobody else enters it
            comm._refuse_after_fault()
        comm._label, comm._step = label, step
        comm.fault = None
        start, waited = time.perf_counter(), comm.waited
        try:
            value = fn()
            seconds = time.perf_counter() - start
            # Waiting for a slow rank is not this rank's delay: the root cause alone is to be named.
            own = seconds - (comm.waited - waited)
            if deadline_seconds is not None and own > deadline_seconds:
                raise MissedDeadlineError(f"needed {own:.3g} s, its deadline is {deadline_seconds:.3g} s")
            ballot = 0.0 if vote is None else vote(value)
        except BaseException as error:
            agreed = comm.agreed()
            if agreed is not None:  # by all ranks already, in a meeting inside fn
                try:
                    if error is agreed:
                        raise
                    raise agreed from error
                finally:
                    del agreed  # a frame that holds its own error lives until a garbage collection
            if not isinstance(error, _INTERRUPTIONS):
                _LOGGER.debug("%s failed on rank %d at step %d", label, comm.rank, step, exc_info=True)
            comm._label, comm._step = label, step
            seconds = time.perf_counter() - start
            if self.size > 1:
                comm._confess(error, seconds)
            comm.seconds = seconds
            if isinstance(error, _INTERRUPTIONS):
                raise _interruption(label, 0, step) from error
            if isinstance(error, RankFaultError):
                raise
            raise rank_fault(label, 0, step, _describe(error)) from error
        swallowed = comm.agreed()
        if swallowed is not None:  # fn went on after the agreed error, which the other ranks have unwound to
            raise swallowed
        if self.size > 1:
            comm._label, comm._step = label, step
            comm._meet(_CLOSE, seconds=seconds, vote=ballot)
        else:
            comm.seconds = seconds
            comm.vote = ballot
            if comm.interrupt:
                comm.interrupted = True
            if comm.output_failure:
                raise OutputError(comm.output_failure)
        return value

    @property
    def seconds(self) -> float:
        """Longest time of the last section over the ranks."""
        return self.comm.seconds

    @property
    def vote(self) -> float:
        """Largest vote of the last section."""
        return self.comm.vote

    @property
    def interrupted(self) -> bool:
        """Whether the ranks agreed to stop after the current transaction."""
        return self.comm.interrupted or (self.size == 1 and self.comm.interrupt)

    def close(self) -> None:
        """Free the duplicate, if there is one (collective). Idempotent."""
        if self._owned and not self._closed:
            self.comm.Free()
        self._closed = True


def rank_fault(label: str, rank: int, step: int, cause: str) -> RankFaultError:
    """Return the error with the sentence that every rank prints."""
    return RankFaultError(f"{label} failed on rank {rank} at step {step}: {cause}", rank=rank, step=step, cause=cause)


def _interruption(label: str, rank: int, step: int) -> InterruptedRunError:
    return InterruptedRunError(f"interrupted on rank {rank} at step {step}, while {label} was at work")


def _describe(error: BaseException) -> str:
    if isinstance(error, RankFaultError):
        return error.cause or str(error)
    return f"{type(error).__name__}: {error}" if str(error) else type(error).__name__
