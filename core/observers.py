"""The lifecycle hooks as typed methods. What an observer raises is recorded, not passed on."""

from __future__ import annotations

import logging
import traceback
from collections.abc import Callable, Sequence
from typing import Any

import pluggy
from cosolve.core.errors import PluginError
from cosolve.core.events import RunEvent, StepEvent
from cosolve.core.hookspecs import LifecycleSpecs

logger = logging.getLogger(__name__)

Recorder = Callable[[str, dict[str, Any]], None]
"""Takes the kind of a ledger record and its values."""


class Observers:
    """Calls the observers of each plugin behind its own guard. Not collective; observers never communicate.

    Args:
        managers: Name and pluggy manager of each plugin.
    """

    def __init__(self, managers: Sequence[tuple[str, pluggy.PluginManager]] = ()) -> None:
        self._managers = list(managers)
        self._recorder: Recorder | None = None
        self._callers: dict[str, list[tuple[str, Any]]] = {}
        self._warned: set[tuple[str, str]] = set()

    def record_with(self, recorder: Recorder | None) -> None:
        """Set what writes faults of observers to the ledger; None to only log them."""
        self._recorder = recorder

    def watch(self, name: str, observer: object) -> None:
        """Add one more observer: any object with lifecycle hooks.

        Raises:
            PluginError: A hook of it is unknown, or has arguments that its specification lacks.
        """
        manager = pluggy.PluginManager("cosolve")
        manager.add_hookspecs(LifecycleSpecs)
        try:
            manager.register(observer, name)
            manager.check_pending()
        except pluggy.PluginValidationError as error:
            raise PluginError(f"observer {name!r} does not fit the hooks: {' '.join(str(error).split())}") from error
        self._managers.append((name, manager))
        self._callers.clear()

    def run_started(self, event: RunEvent) -> None:
        """Call `cosolve_run_started`."""
        self._call("cosolve_run_started", event)

    def proposed(self, event: StepEvent) -> None:
        """Call `cosolve_proposed`."""
        self._call("cosolve_proposed", event)

    def judged(self, event: StepEvent) -> None:
        """Call `cosolve_judged`."""
        self._call("cosolve_judged", event)

    def committed(self, event: StepEvent) -> None:
        """Call `cosolve_committed`."""
        self._call("cosolve_committed", event)

    def fell_back(self, event: StepEvent) -> None:
        """Call `cosolve_fell_back`."""
        self._call("cosolve_fell_back", event)

    def run_finished(self, event: RunEvent) -> None:
        """Call `cosolve_run_finished`."""
        self._call("cosolve_run_finished", event)

    def _callers_of(self, hook: str) -> list[tuple[str, Any]]:
        if hook not in self._callers:
            pairs = [(name, getattr(manager.hook, hook)) for name, manager in self._managers]
            self._callers[hook] = [(name, caller) for name, caller in pairs if caller.get_hookimpls()]
        return self._callers[hook]

    def _call(self, hook: str, event: RunEvent | StepEvent) -> None:
        for name, caller in self._callers_of(hook):
            try:
                caller(event=event)
            except Exception as error:  # an observer must not end a run; its fault is recorded below
                self._record(hook, name, error, event)

    def _record(self, hook: str, plugin: str, error: Exception, event: RunEvent | StepEvent) -> None:
        text = f"{type(error).__name__}: {error}"
        if (hook, plugin) not in self._warned:
            self._warned.add((hook, plugin))
            logger.warning(
                "plugin %r raised in %s and the run goes on: %s (all such faults are in the ledger)", plugin, hook, text
            )
        logger.debug("traceback of the observer's fault", exc_info=error)
        if self._recorder is None:
            return
        values: dict[str, Any] = {"hook": hook, "plugin": plugin, "error": text}
        values["traceback"] = "".join(traceback.format_exception(error))
        if isinstance(event, StepEvent):
            values["step"] = event.query.step
        self._recorder("observer_fault", values)
