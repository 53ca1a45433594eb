"""`cosolve doctor`: what is installed, and what clashes, with the cure of each."""

from __future__ import annotations

import click
from cosolve.core.cli.console import console, table, verbose_option
from cosolve.core.cli.ending import launched_rank
from rich.markup import escape

EXAMPLES = """\b
Examples:
  cosolve doctor
  mpirun -n 2 cosolve doctor"""

_STYLES = {"ok": "green", "note": "yellow", "missing": "yellow", "broken": "red", "clash": "bold red"}


@click.command(epilog=EXAMPLES)
@verbose_option
def doctor(verbose: int) -> None:
    """Check MPI, PETSc, dolfinx, torch, SCIP, numba, threads and GPUs.

    Each library is imported in a process of its own, so that a broken one costs a row and nothing else.
    """
    # Imported here: --help needs none of it.
    from cosolve.core.doctor import examine

    if launched_rank() != 0:
        return
    findings = examine()
    rows = table("what", "state", "found")
    for finding in findings:
        rows.add_row(finding.what, f"[{_STYLES[finding.state]}]{finding.state}[/]", escape(finding.detail))
    out = console()
    out.print(rows)
    for finding in findings:
        if finding.cure:
            out.print(f"{finding.what} ({finding.state}): {finding.cure}", markup=False)
    if all(finding.state in ("ok", "note", "missing") for finding in findings):
        out.print("No clash found.")
