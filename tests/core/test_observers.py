"""Observers: what they raise is recorded, and neither ends the run nor hides an event from the others."""

from __future__ import annotations

import logging
from typing import Any

import numpy as np
import pytest
from cosolve.core.errors import PluginError
from cosolve.core.events import StepEvent
from cosolve.core.hookspecs import hookimpl
from cosolve.core.observers import Observers
from cosolve.core.query import Query


class Raising:
    @hookimpl
    def cosolve_committed(self, event: StepEvent) -> None:
        raise ValueError(f"no room for step {event.query.step}")


class Counting:
    def __init__(self) -> None:
        self.steps: list[int] = []

    @hookimpl
    def cosolve_committed(self, event: StepEvent) -> None:
        self.steps.append(event.query.step)


def test_a_fault_of_an_observer_is_recorded_and_not_passed_on(caplog: pytest.LogCaptureFixture) -> None:
    observers, counting = Observers(), Counting()
    records: list[tuple[str, dict[str, Any]]] = []
    observers.watch("raising", Raising())
    observers.watch("counting", counting)
    observers.record_with(lambda kind, values: records.append((kind, values)))
    logging.getLogger("cosolve").propagate = True
    with caplog.at_level(logging.WARNING, logger="cosolve"):
        for step in (0, 1):
            observers.committed(StepEvent(Query(np.zeros(1), step=step)))
    assert counting.steps == [0, 1]
    assert [kind for kind, _ in records] == ["observer_fault"] * 2
    assert records[1][1]["error"] == "ValueError: no room for step 1"
    assert (records[1][1]["plugin"], records[1][1]["hook"], records[1][1]["step"]) == (
        "raising",
        "cosolve_committed",
        1,
    )
    assert "no room for step 1" in records[1][1]["traceback"]
    # The messages differ by their step; a command that set up logging before makes pytest hear each of them twice.
    assert len({record.getMessage() for record in caplog.records}) == 1, "warned once, recorded each time"


def test_an_event_that_nobody_watches_costs_nothing() -> None:
    Observers().proposed(StepEvent(Query(np.zeros(1))))


class Misspelt:
    @hookimpl
    def cosolve_comitted(self, event: StepEvent) -> None:
        """Never called."""


def test_a_misspelt_observer_is_refused() -> None:
    with pytest.raises(PluginError, match=r"observer 'mine' does not fit the hooks: .*cosolve_comitted"):
        Observers().watch("mine", Misspelt())
