"""The watchdog: ends a process that is blocked, without the GIL, with its own exit code and the stacks.

A rank that waits in a collective for one that never comes cannot be rescued from within: the library holds the GIL, so
no Python code runs any more. Two things of the operating system do not need it: `faulthandler` prints the stacks from a
thread of its own, and a POSIX timer then has the C library call `_exit(5)` in another: exit code 5. It takes no signal,
so it does not matter whose handlers (PETSc's, a debugger's) are installed before or afterwards. MPI launchers end the
other ranks and hand the code on. Ledger lines were flushed and checkpoints renamed before.
"""

from __future__ import annotations

import contextlib
import ctypes
import faulthandler
import logging
import math
import os
import sys
import time
from typing import Final, Protocol

from cosolve.core.errors import WATCHDOG_EXIT_CODE, BadInputError

_LOGGER = logging.getLogger("cosolve.watchdog")

_CLOCK_MONOTONIC: Final = 1
_SIGEV_THREAD: Final = 2
_GRACE_SECONDS: Final = 1.0
_SLACK: Final = 0.1


class _SignalEvent(ctypes.Structure):
    """`struct sigevent` of Linux, 64 bytes in all."""

    _fields_ = (
        ("value", ctypes.c_void_p),  # what the function gets
        ("signo", ctypes.c_int),
        ("notify", ctypes.c_int),
        ("function", ctypes.c_void_p),
        ("attributes", ctypes.c_void_p),
        ("rest", ctypes.c_char * 32),
    )


class _TimerSpec(ctypes.Structure):
    """`struct itimerspec`: interval, then first expiry, each in seconds and nanoseconds."""

    _fields_ = tuple((name, ctypes.c_long) for name in ("every_s", "every_ns", "first_s", "first_ns"))


class Heartbeat(Protocol):
    """What a session tells that the run is alive: a watchdog, or a test's stand-in."""

    def beat(self) -> None: ...  # noqa: D102


class Watchdog:
    """Ends this process when `beat` was not called for `timeout_seconds`.

    On Linux the exit code is 5. Elsewhere `faulthandler` itself must end the process and can only exit with 1.

    Args:
        timeout_seconds: Longest time between two beats: more than the slowest step on the slowest rank may need.

    Raises:
        BadInputError: The timeout is not a positive number.
    """

    def __init__(self, timeout_seconds: float) -> None:
        if not (math.isfinite(timeout_seconds) and timeout_seconds > 0.0):
            raise BadInputError(f"the watchdog's timeout must be a positive number of seconds, got {timeout_seconds!r}")
        self.timeout_seconds = timeout_seconds
        self._armed_at = math.nan
        self._stream = -1
        self._libc: ctypes.CDLL | None = None
        self._timer = ctypes.c_void_p()

    def start(self) -> Watchdog:
        """Start watching (not collective). Does nothing when it watches already."""
        if self._stream >= 0:
            return self
        # A duplicate of the descriptor: sys.stderr may be replaced or closed while the watchdog lives.
        try:
            self._stream = os.dup(sys.stderr.fileno())
        except (AttributeError, OSError, ValueError):
            self._stream = os.dup(2)
        if sys.platform == "linux":
            self._make_timer()
        if self._libc is None:
            _LOGGER.warning("no POSIX timer here: the watchdog ends a blocked process with exit code 1, not 5")
        self._arm()
        return self

    def beat(self) -> None:
        """Say that this rank is alive: two clock reads, and a new deadline when a tenth of the timeout has passed."""
        if time.monotonic() - self._armed_at > _SLACK * self.timeout_seconds:
            self._arm()

    def stop(self) -> None:
        """Stop watching (not collective). Idempotent."""
        if self._stream < 0:
            return
        faulthandler.cancel_dump_traceback_later()
        if self._libc is not None:
            self._libc.timer_delete(self._timer)
            self._libc = None
        os.close(self._stream)
        self._stream = -1
        self._armed_at = math.nan

    def __enter__(self) -> Watchdog:
        return self.start()

    def __exit__(self, *exception: object) -> None:
        self.stop()

    def _make_timer(self) -> None:
        with contextlib.suppress(AttributeError, OSError):  # a C library without timers: faulthandler ends alone
            libc = ctypes.CDLL(None, use_errno=True)
            libc.timer_settime.argtypes = (ctypes.c_void_p, ctypes.c_int, ctypes.c_void_p, ctypes.c_void_p)
            libc.timer_delete.argtypes = (ctypes.c_void_p,)
            end = ctypes.cast(libc._exit, ctypes.c_void_p)
            event = _SignalEvent(WATCHDOG_EXIT_CODE, 0, _SIGEV_THREAD, end, None, b"")
            if libc.timer_create(_CLOCK_MONOTONIC, ctypes.byref(event), ctypes.byref(self._timer)) == 0:
                self._libc = libc

    def _arm(self) -> None:
        """Move the deadline: the stacks at the timeout, the end shortly after."""
        if self._stream < 0:
            return
        self._armed_at = time.monotonic()
        faulthandler.dump_traceback_later(self.timeout_seconds, file=self._stream, exit=self._libc is None)
        if self._libc is not None:
            # A beat moves the deadline only now and then: what lies between must not count as silence.
            fraction, seconds = math.modf((1.0 + _SLACK) * self.timeout_seconds + _GRACE_SECONDS)
            spec = _TimerSpec(0, 0, int(seconds), int(fraction * 1e9))
            self._libc.timer_settime(self._timer, 0, ctypes.byref(spec), None)
