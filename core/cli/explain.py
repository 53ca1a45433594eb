"""`cosolve explain`: why steps of a run were accepted or not, in plain sentences."""

from __future__ import annotations

import importlib
from pathlib import Path

import click
from cosolve.core.cli.console import console, verbose_option
from cosolve.core.cli.ending import launched_rank

EXAMPLES = """\b
Examples:
  cosolve explain runs/demo-curing
  cosolve explain runs/demo-curing --step 12
  cosolve explain runs/demo-curing --report"""


@click.command(epilog=EXAMPLES)
@click.argument("run", type=click.Path(path_type=Path))
@click.option("--step", type=click.IntRange(min=0), help="Explain this step (of a branch and bound: this node) only.")
@click.option("--report", is_flag=True, help="Write RUN/report.html anew from the ledger and print its path.")
@verbose_option
def explain(run: Path, step: int | None, report: bool, verbose: int) -> None:
    """Explain a run from its ledger; RUN is its output folder.

    With --report, also for a run that was cut off before it could write its report.
    """
    # Imported here: --help needs none of it.
    from cosolve.core.explain import explain as sentences

    out = console()
    if not report or step is not None:
        out.print(sentences(run, step), markup=False)
    if report and launched_rank() == 0:
        out.print(f"report: {_write_report(run)}", markup=False)


def _write_report(run: Path) -> Path:
    """Have the plugin `report` write its page; the core knows it by its name alone.

    Raises:
        PluginError: The plugin is broken.
        BadInputError: It is not installed or not selected, or there is no readable ledger.
        OutputError: The page cannot be written.
    """
    from cosolve.core.registry import Registry

    registry = Registry.discover()
    registry.require(["report"], where="--report")
    source = next(plugin.source.value for plugin in registry.plugins if plugin.name == "report")
    path: Path = importlib.import_module(source).write_report(run)
    return path
