"""Progress of long work: one bar on rank 0's terminal, nothing where nobody looks."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, TypeAlias

from cosolve.core.hookspecs import hookimpl

if TYPE_CHECKING:
    from cosolve.core.events import StepEvent

Progress: TypeAlias = Callable[[float, str], None]
"""Called with the share that is done (0 to 1) and one short sentence; may be called as often as it suits."""


def silent(share: float, sentence: str) -> None:
    """Report nothing."""


@contextmanager
def progress_bar(title: str, *, rank: int = 0) -> Iterator[Progress]:
    """Show a bar on standard error while the body runs (not collective).

    Args:
        title: What is done.
        rank: This rank; only rank 0 shows anything, and only on a terminal.

    Yields:
        What long work reports to.
    """
    if rank != 0 or not sys.stderr.isatty():
        yield silent
        return
    # Imported here: most commands show no bar.
    from rich import progress as rich
    from rich.console import Console
    from rich.markup import escape

    columns = (
        rich.TextColumn("{task.description}"),
        rich.BarColumn(bar_width=30),
        rich.TaskProgressColumn(),
        rich.TimeElapsedColumn(),
    )
    with rich.Progress(*columns, console=Console(stderr=True), transient=True, refresh_per_second=4) as bar:
        task = bar.add_task(escape(title), total=1.0)

        def report(share: float, sentence: str) -> None:
            words = f"{title}: {sentence}" if sentence else title
            bar.update(task, completed=min(max(share, 0.0), 1.0), description=escape(words))

        yield report


class ProgressObserver:
    """Drives a bar by the committed transactions of a run; registered like any plugin's observer.

    Args:
        progress: What to report to.
        t_start: Start of the run.
        t_end: End of the run, in the same unit of time.
    """

    def __init__(self, progress: Progress, t_start: float, t_end: float) -> None:
        self._progress = progress
        self._start = t_start
        self._length = t_end - t_start

    @hookimpl
    def cosolve_committed(self, event: StepEvent) -> None:
        """Report the time that was reached and who computed it."""
        share = (event.query.t_end - self._start) / self._length if self._length > 0.0 else 1.0
        self._progress(share, f"step {event.query.step + 1}, t = {event.query.t_end:.4g} ({event.source})")
