"""`cosolve explain`: why steps of a run were accepted or not, in plain sentences."""

from __future__ import annotations

from pathlib import Path

import click
from cosolve.core.cli.console import console, verbose_option

EXAMPLES = """\b
Examples:
  cosolve explain runs/demo-curing
  cosolve explain runs/demo-curing --step 12"""


@click.command(epilog=EXAMPLES)
@click.argument("run", type=click.Path(path_type=Path))
@click.option("--step", type=click.IntRange(min=0), help="Explain this step only.")
@verbose_option
def explain(run: Path, step: int | None, verbose: int) -> None:
    """Explain a run from its ledger; RUN is its output folder."""
    # Imported here: --help needs none of it.
    from cosolve.core.explain import explain as sentences

    console().print(sentences(run, step), markup=False)
