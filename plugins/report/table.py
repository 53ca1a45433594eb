"""The same figures as the report's head, as a table for the terminal."""

from __future__ import annotations

import math
from pathlib import Path
from typing import TYPE_CHECKING

from cosolve.plugins.report.digest import Digest, duration, number, percent
from cosolve.plugins.report.reading import read_digest

if TYPE_CHECKING:
    from rich.console import RenderableType


def summary_table(directory: Path) -> RenderableType:
    """Return the summary of a run as a renderable of rich, not collective.

    Args:
        directory: The run's folder.

    Raises:
        BadInputError: The folder has no readable ledger.
    """
    return render_summary(read_digest(Path(directory)))


def render_summary(digest: Digest) -> RenderableType:
    """Return the table of a digest: what was accepted, by which grade, at which cost, against which rival."""
    # Imported here: rich is slow to load, and a run that prints no table does not need it.
    from rich.table import Table
    from rich.text import Text

    table = Table(
        title=digest.title, title_justify="left", title_style="bold", show_header=False, box=None, pad_edge=False
    )
    table.add_column(style="dim", max_width=36)
    table.add_column(overflow="fold")
    for name, text in rows(digest):
        bad = name in ("ended", "ledger", "failed") or text.startswith("no:")
        table.add_row(name, Text(text, style="bold red") if bad else text)
    return table


def rows(digest: Digest) -> list[tuple[str, str]]:
    """Return label and text of each line."""
    found: list[tuple[str, str]] = []
    if not digest.ok:
        found.append(("ended", digest.message or digest.status.lower()))
    if digest.incomplete:
        found.append(("ledger", digest.incomplete))
    judged = digest.judged
    grades = ", ".join(f"{count} {grade}" for grade, count in digest.grades.items())
    found.append(("transactions", str(len(digest.steps))))
    found.append(
        (
            "proposals",
            f"{judged} judged, {digest.count('accept')} accepted{f' ({grades})' if grades else ''}, "
            f"{digest.count('correct')} corrected, {digest.count('reject')} rejected"
            if judged
            else "none judged",
        )
    )
    found += [("failed", one.as_text()) for one in digest.failures]
    total = len(digest.steps) or 1
    found.append(
        ("values from", ", ".join(f"{name} {percent(n / total)}" for name, n in digest.sources.items()) or "-")
    )
    parts = {"solve": "solving", "judge": "judging", "propose": "proposing", "machinery": "cosolve itself"}
    seconds = digest.seconds()
    split = ", ".join(f"{words} {duration(seconds[part])}" for part, words in parts.items())
    found.append(("cost", f"{duration(sum(seconds.values()))}: {split}"))
    best = digest.rivals[0] if digest.rivals else None
    error = best.run_error if best else max((row.error for row in digest.errors), default=math.nan)
    if not math.isnan(error):
        tolerance = f", tolerance {percent(best.tolerance)}" if best and not math.isnan(best.tolerance) else ""
        measure = f" ({best.measure})" if best and best.measure else ""
        found.append(("error", f"{percent(error)}{tolerance}{measure}"))
    for rival in digest.rivals:
        text = f"{number(rival.speedup)} x: {duration(rival.seconds)} against {duration(rival.run_seconds)} of CPU time"
        if not math.isnan(rival.error):
            text += f", its error {percent(rival.error)}"
        found.append((f"against {rival.name}", text))
    if best:
        found.append(("paid", paid_line(best.speedup, best.break_even, best.training_seconds)))
    if digest.governor:
        last = {row.proposer: row.event for row in digest.governor}
        found.append(("governor", "; ".join(f"{name}: {event}" for name, event in last.items())))
    return found


def paid_line(speedup: float, break_even: float, training_seconds: float) -> str:
    """Return whether the surrogate paid, in one line.

    >>> paid_line(0.5, math.inf, 60.0)
    'no: the best rival was 2 times faster'
    >>> paid_line(4.0, 20, 60.0)
    'after 20 runs like this one (data and training cost 60 s)'
    """
    if math.isnan(speedup):
        return "unknown: a cost is missing"
    if speedup < 1.0:
        return f"no: the best rival was {number(1.0 / speedup)} times faster"
    if math.isnan(break_even):
        return "in this run; the cost of data and training is not recorded"
    return f"after {number(break_even, 4)} runs like this one (data and training cost {duration(training_seconds)})"
