"""What `run` and `demo` share: the bar, the run, the table at the end, the paths, and the exit code."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from cosolve.core.case import Case
from cosolve.core.cli.console import console, table
from cosolve.core.cli.ending import launched_rank
from cosolve.core.failures import failures
from cosolve.core.ledger import LEDGER_NAME, read_ledger
from cosolve.core.progress import progress_bar
from cosolve.core.registry import Registry
from cosolve.core.result import Result
from cosolve.core.run import run_case
from cosolve.core.wording import counted
from rich.markup import escape

logger = logging.getLogger(__name__)


def run_and_report(case: Case, registry: Registry, *, resume: bool = False) -> Result:
    """Run a case, print its table and its paths on rank 0, and raise where it failed (collective).

    Raises:
        CosolveError: The error of the run's status, after the table was printed.
    """
    rank = launched_rank()
    with progress_bar(case.name, rank=rank) as progress:
        result = run_case(case, registry=registry, progress=progress, resume=resume)
    if rank == 0:
        print_result(case, result)
        for one in failures(read_ledger(case.directory)):
            if one.always:
                logger.warning("%s", one.as_warning())
    return result.raise_on_failure()


def print_result(case: Case, result: Result) -> None:
    """Print what a run did and where its files are (call it on rank 0)."""
    out = console()
    records = read_ledger(case.directory)
    rows = table("", "", title=f"{case.name}: {result.status.value}")
    rows.show_header = False
    # These are words, not names to copy: a long rival may wrap.
    rows.columns[0].no_wrap, rows.columns[0].max_width = False, 34
    stats = result.stats
    reached = stats.get("reached") or f"t = {result.t:.6g} in {counted(stats.get('steps', 0), 'transaction')}"
    rows.add_row("reached", reached)
    for key in ("objective", "dual_bound", "nodes", "lp_iterations", "decisions", "scip_seconds"):
        if key in stats:
            rows.add_row(key.replace("_", " "), f"{stats[key]:.10g}")
    if stats.get("judged"):
        counts = ", ".join(f"{stats.get(name, 0)} {name}" for name in ("accepted", "corrected", "rejected"))
        rows.add_row("proposals", f"{stats['judged']} judged: {counts}")
    for one in failures(records):
        rows.add_row("failed", escape(one.as_text()))
    sources = stats.get("sources")
    if sources:
        rows.add_row("values from", ", ".join(f"{name} ({count})" for name, count in sources.items()))
    seconds = spent(records)
    if seconds:
        parts = ", ".join(f"{name} {value:.3g}" for name, value in seconds.items())
        rows.add_row("seconds", f"{parts} (wall clock of this run, the longest over the ranks)")
    grades = {verdict["grade"] for record in records for verdict in record.get("verdicts", ()) if "grade" in verdict}
    if grades:
        rows.add_row("grade", "estimated" if "estimated" in grades else "certified")
    compared = [record for record in records if record["kind"] == "comparison"]
    if compared and isinstance(compared[0].get("error"), int | float):
        rows.add_row(
            "error of this run", f"{100 * compared[0]['error']:.3g} % ({compared[0].get('measure', 'relative')})"
        )
    for record in records:
        if record["kind"] == "comparison":
            rows.add_row(f"against {record.get('rival', 'rival')}", _comparison(record))
    out.print(rows)
    for label, path in written(case.directory, records):
        out.print(f"{label}: {path}", markup=False)


def written(directory: Path, records: list[dict[str, object]]) -> list[tuple[str, Path]]:
    """Return label and path of each file that a user opens after a run."""
    found = [("report", directory / "report.html")]
    for record in records:
        if record["kind"] == "run_finished":
            paths = record.get("fields", [])
            shown = [Path(str(path)) for path in paths] if isinstance(paths, list) else []
            found += [("ParaView", path) for path in shown if path.suffix in (".xdmf", ".pvd", ".vtu", ".vti", ".bp")]
    found.append(("ledger", directory / LEDGER_NAME))
    return [(label, path) for label, path in found if path.exists()]


def _comparison(record: dict[str, object]) -> str:
    rival, own = record.get("rival_cost_seconds"), record.get("run_cost_seconds")
    if not (isinstance(rival, int | float) and isinstance(own, int | float) and own > 0.0 and rival > 0.0):
        return "not measured"
    words = f"{rival / own:.3g} times faster" if rival >= own else f"{own / rival:.3g} times slower"
    return f"{words} ({own:.3g} s against {rival:.3g} s of CPU time, each the median of its own runs)"


def spent(records: Sequence[Mapping[str, Any]]) -> dict[str, float]:
    """Return the seconds of each part over all steps of a ledger: what `cosolve explain` and the report say, too."""
    seconds: dict[str, float] = {}
    for record in records:
        if record["kind"] == "step":
            for name, value in record["cost"].items():
                seconds[name] = seconds.get(name, 0.0) + float(value)
    return seconds
