"""The report of a run: a self-contained HTML page and a table for the terminal, written when a run has ended.

`write_report` and `summary_table` are loaded when they are first used: registering loads no matplotlib.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

from cosolve.core.hookspecs import hookimpl

if TYPE_CHECKING:
    from cosolve.core.events import RunEvent
    from cosolve.plugins.report.page import write_report
    from cosolve.plugins.report.table import summary_table

COSOLVE_API_VERSION = 1

__all__ = ["summary_table", "write_report"]

_LAZY = {
    "summary_table": "cosolve.plugins.report.table",
    "write_report": "cosolve.plugins.report.page",
}


def __getattr__(name: str) -> Any:
    if name in _LAZY:
        return getattr(importlib.import_module(_LAZY[name]), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


@hookimpl
def cosolve_run_finished(event: RunEvent) -> None:
    """Write the report of a run that left a ledger (rank 0 only; never communicates)."""
    if event.rank != 0 or event.directory is None:
        return
    output = event.case.get("output", {})
    if isinstance(output, dict) and output.get("report") is False:
        return
    # Imported here: matplotlib takes half a second, and only a finished run needs it.
    from cosolve.plugins.report.page import write_report

    write_report(event.directory)
