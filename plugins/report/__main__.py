"""`python -m cosolve.plugins.report RUN`: write the report of a run from its folder, and print the table."""

from __future__ import annotations

import sys
from pathlib import Path

from cosolve.core.errors import CosolveError


def main(arguments: list[str]) -> int:
    """Write the report and print where it is; returns the exit code."""
    # Imported here: a wrong call should be told at once.
    from cosolve.plugins.report import summary_table, write_report

    if len(arguments) != 1:
        print("usage: python -m cosolve.plugins.report RUN (the output folder of a run)", file=sys.stderr)
        return 2
    try:
        path = write_report(Path(arguments[0]))
        table = summary_table(Path(arguments[0]))
    except CosolveError as error:
        print(f"cosolve: {error}", file=sys.stderr)
        return error.exit_code
    from rich.console import Console

    Console().print(table)
    print(f"report: {path}")
    return 0


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))
