"""How ranks fail together: an error on one rank becomes the same on all, or the job ends; nobody waits for ever."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable
from typing import Any, Final, TypeVar

from cosolve.core.communicator import Communicator
from cosolve.core.errors import BadInputError, CosolveError, NotConvergedError, OutputError, PluginError

Value = TypeVar("Value")

PATIENCE_SECONDS: Final = 5.0
"""How long a rank that failed waits for all others to fail alike before it ends the job."""

_KINDS: Final[tuple[type[CosolveError], ...]] = (BadInputError, NotConvergedError, PluginError, OutputError)


def together(
    comm: Communicator, what: str, work: Callable[[], Value], *, unexpected: type[CosolveError] = PluginError
) -> Value:
    """Run `work`, which must not communicate, on every rank; an error on one rank is raised on all (collective).

    Args:
        comm: The communicator.
        what: What is done, for the sentence.
        work: Rank-local work: reading a model, loading a plugin.
        unexpected: The kind of error that anything else than a `CosolveError` becomes.

    Raises:
        CosolveError: Of the kind that the lowest faulty rank met; `unexpected` for anything unexpected.
    """
    value: Value | None = None
    error: Exception | None = None
    try:
        value = work()
    except Exception as caught:  # whatever it is, the other ranks must hear of it
        error = caught
    found = [item for item in comm.allgather(_describe(error, what, unexpected)) if item is not None]
    if not found:
        return value  # type: ignore[return-value]  # no rank failed, so this one has a value
    code, text = found[0]
    if isinstance(error, CosolveError) and str(error) == text:
        raise error
    kind = next((kind for kind in _KINDS if kind.exit_code == code), PluginError)
    raise kind(text) from error


def _describe(error: Exception | None, what: str, unexpected: type[CosolveError]) -> tuple[int, str] | None:
    if error is None:
        return None
    if isinstance(error, CosolveError):
        return error.exit_code, str(error)
    reason = error.strerror if isinstance(error, OSError) and error.strerror else f"{type(error).__name__}: {error}"
    return unexpected.exit_code, f"{what} failed: {reason}."


def all_arrive(comm: Any, seconds: float = PATIENCE_SECONDS) -> bool:
    """Return whether every rank calls this within a moment, by a non-blocking barrier (collective, but never hangs).

    Args:
        comm: An mpi4py communicator; one of another kind, or of one rank, is always complete.
        seconds: How long to wait.
    """
    if comm.Get_size() == 1 or not hasattr(comm, "Ibarrier"):
        return True
    request = comm.Ibarrier()
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        if request.Test():
            return True
        time.sleep(0.01)
    return False


def settle(comm: Any, code: int, text: str) -> None:
    """Return when every rank failed alike, so that an error may be raised; else end the job (collective).

    A rank that failed alone cannot raise: the others would wait for it in their next collective call for ever. It
    prints its root cause and aborts the job.

    Args:
        comm: An mpi4py communicator, or a serial one.
        code: Exit code of the job.
        text: The root cause.
    """
    if all_arrive(comm):
        return
    rank = comm.Get_rank()
    # The rank's place in line: of several that fail alone, the first prints and ends the job.
    time.sleep(0.05 * rank)
    sys.stdout.flush()
    words = f"cosolve: rank {rank} failed while other ranks went on, so the job is aborted: {text}"
    print(words, file=sys.stderr, flush=True)
    comm.Abort(code)
