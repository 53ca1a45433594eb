"""Ctrl-C and SIGTERM: remembered on the rank that gets them, agreed at the next meeting, acted on between steps."""

from __future__ import annotations

import signal
import threading
from types import FrameType, TracebackType
from typing import Any, Final

from cosolve.core.consensus import FaultAwareCommunicator

_SIGNALS: Final = (signal.SIGINT, signal.SIGTERM)


class Interrupts:
    """While it is entered, the first signal asks all ranks to stop after the current step; a second Ctrl-C raises.

    Enter it after libraries that install handlers of their own (PETSc) were loaded. Outside the main thread Python
    allows no handlers, and entering does nothing.

    Args:
        comm: Tells the other ranks.
    """

    def __init__(self, comm: FaultAwareCommunicator) -> None:
        self._comm = comm
        self._before: dict[int, Any] = {}

    def __enter__(self) -> Interrupts:
        if threading.current_thread() is threading.main_thread():
            for number in _SIGNALS:
                self._before[number] = signal.signal(number, self._handle)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        for number, handler in self._before.items():
            # None: the handler was not installed from Python, and Python cannot put it back.
            signal.signal(number, signal.SIG_DFL if handler is None else handler)
        self._before.clear()

    def _handle(self, number: int, frame: FrameType | None) -> None:
        if self._comm.interrupt and number == signal.SIGINT:
            raise KeyboardInterrupt
        self._comm.interrupt = True
