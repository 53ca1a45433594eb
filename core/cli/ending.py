"""How a command ends: one sentence, one exit code, on one rank; and never a hang because another rank goes on."""

from __future__ import annotations

import logging
import os
import signal
import sys
import threading
import traceback
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType
from typing import Any, Final

from cosolve.core.communicator import launched_by_mpi
from cosolve.core.errors import BadInputError, CosolveError, InterruptedRunError, OutputError
from cosolve.core.together import settle

logger = logging.getLogger(__name__)

_RANK_VARIABLES: Final = ("OMPI_COMM_WORLD_RANK", "PMIX_RANK", "PMI_RANK", "MPI_LOCALRANKID", "SLURM_PROCID")
_SIZE_VARIABLES: Final = ("OMPI_COMM_WORLD_SIZE", "PMI_SIZE", "SLURM_NTASKS", "MPI_LOCALNRANKS")


def launched_rank() -> int:
    """Return this process's rank as the launcher tells it, without starting MPI; 0 without a launcher."""
    if launched_by_mpi():
        for name in _RANK_VARIABLES:
            if name in os.environ:
                return int(os.environ[name])
    return 0


def launched_size() -> int:
    """Return the number of ranks as the launcher tells it, without starting MPI; 1 without a launcher."""
    if launched_by_mpi():
        for name in _SIZE_VARIABLES:
            if os.environ.get(name, "").isdigit():
                return int(os.environ[name])
    return 1


@contextmanager
def ending() -> Iterator[None]:
    """Run the body of `main` and end the process with the code of whatever it raised.

    Under MPI a rank that failed waits a moment for the others: when all failed alike, the lowest prints and all exit
    with the code; when others go on (and would wait for this rank for ever), it prints and aborts the job.
    """
    try:
        with _sigterm_is_an_error():
            yield
    except BaseException as error:  # every way to end is told apart below, and ends in one exit
        code, text = describe(error)
        _leave(code, text)


@contextmanager
def _sigterm_is_an_error() -> Iterator[None]:
    """Let SIGTERM raise within the body, where Python allows a handler: in the main thread."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = signal.signal(signal.SIGTERM, _terminate)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, signal.SIG_DFL if before is None else before)


def _terminate(number: int, frame: FrameType | None) -> None:
    """Make SIGTERM an error like any other, so that ledgers are closed; a loop of transactions has its own handler."""
    raise InterruptedRunError("interrupted by SIGTERM.")


def describe(error: BaseException) -> tuple[int, str]:
    """Return the exit code and the text for the user of whatever ended the command."""
    if isinstance(error, CosolveError):
        return error.exit_code, str(error)
    if isinstance(error, KeyboardInterrupt) or type(error).__name__ == "Abort":
        return InterruptedRunError.exit_code, "interrupted by Ctrl-C."
    if isinstance(error, SystemExit):
        return _code_of(error), error.code if isinstance(error.code, str) else ""
    # click's errors are told by name, so that this module does not import click for the sake of a type.
    if hasattr(error, "format_message") and hasattr(error, "exit_code"):
        return BadInputError.exit_code, f"{error.format_message()} Try `{_command_of(error)} --help`."
    if type(error).__name__ == "Exit" and hasattr(error, "exit_code"):
        return int(error.exit_code), ""
    if isinstance(error, OSError) and error.filename and isinstance(error, PermissionError | IsADirectoryError):
        return OutputError.exit_code, f"{error.filename}: {error.strerror}; give a folder that can be written."
    return 1, "".join(traceback.format_exception(error)).rstrip()


def _code_of(error: SystemExit) -> int:
    if error.code is None:
        return 0
    return error.code if isinstance(error.code, int) else 1


def _command_of(error: Any) -> str:
    context = getattr(error, "ctx", None)
    return context.command_path if context is not None else "cosolve"


def _leave(code: int, text: str) -> None:
    MPI = sys.modules.get("mpi4py.MPI")
    comm: Any = MPI.COMM_WORLD if MPI is not None and MPI.Is_initialized() and not MPI.Is_finalized() else None
    if code == 0 or comm is None or comm.Get_size() == 1:
        if comm is not None or launched_rank() == 0:
            _print(text)
        _exit(code)
    settle(comm, code, text)
    # All ranks are here, so a collective call is safe again.
    texts = comm.allgather(text)
    rank = comm.Get_rank()
    if rank == next((other for other, one in enumerate(texts) if one), 0):
        _print(text if rank == 0 else f"rank {rank}: {text}")
    _exit(code)


def _print(text: str) -> None:
    if text:
        sys.stdout.flush()
        print(f"cosolve: {text}" if not text.startswith("Traceback") else text, file=sys.stderr, flush=True)


def _exit(code: int) -> None:
    sys.stdout.flush()
    sys.stderr.flush()
    raise SystemExit(code)
