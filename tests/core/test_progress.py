"""Progress: a bar on rank 0's terminal, and nothing where nobody looks."""

from __future__ import annotations

import io
import sys

import numpy as np
import pytest
from cosolve.core.events import StepEvent
from cosolve.core.observers import Observers
from cosolve.core.progress import ProgressObserver, progress_bar, silent
from cosolve.core.query import Query


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def test_nothing_is_shown_where_nobody_looks(monkeypatch: pytest.MonkeyPatch) -> None:
    pipe = io.StringIO()
    monkeypatch.setattr(sys, "stderr", pipe)
    with progress_bar("work") as progress:
        assert progress is silent
        progress(0.5, "half way")
    assert pipe.getvalue() == ""


def test_rank_0_shows_a_bar_on_a_terminal_and_other_ranks_none(monkeypatch: pytest.MonkeyPatch) -> None:
    terminal = Terminal()
    monkeypatch.setattr(sys, "stderr", terminal)
    monkeypatch.setenv("TERM", "xterm")
    with progress_bar("work", rank=1) as progress:
        progress(0.5, "half way")
    assert terminal.getvalue() == ""
    with progress_bar("work") as progress:
        progress(0.25, "[quarter]")
    assert "work: [quarter]" in terminal.getvalue()
    assert "25%" in terminal.getvalue()


def test_a_run_drives_the_bar_by_its_commits() -> None:
    seen: list[tuple[float, str]] = []
    observers = Observers()
    observers.watch("bar", ProgressObserver(lambda share, text: seen.append((share, text)), 1.0, 3.0))
    observers.committed(StepEvent(Query(np.zeros(1), t=1.0, dt=0.5, step=0), source="fno"))
    assert seen == [(0.25, "step 1, t = 1.5 (fno)")]
