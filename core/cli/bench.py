"""`cosolve bench`: measure against the best classical rival, print the table, write the JSON."""

from __future__ import annotations

from pathlib import Path

import click
from cosolve.core.cli.console import console, verbose_option

EXAMPLES = """\b
Examples:
  cosolve bench
  cosolve bench time-loop --quick --seed 7 --json time-loop.json
  cosolve bench overhead --quick
  cosolve bench branching --family auctions --level easy --quick

\b
Some benches have options of their own: `cosolve plugins --role bench` names the benches, the reference their options.
Exits with 0 when the bench is complete, whatever its figures. Data come from the folder in COSOLVE_DATA."""


@click.command(
    epilog=EXAMPLES,
    # What is left over belongs to the bench.
    context_settings={"ignore_unknown_options": True, "allow_extra_args": True},
)
@click.argument("name", required=False)
@click.option("--quick", is_flag=True, help="Fewer and smaller cases: minutes instead of hours.")
@click.option("--seed", type=click.IntRange(min=0), default=0, show_default=True, help="Draws the unseen cases.")
@click.option("--json", "json_path", type=click.Path(path_type=Path), help="Write name, machine, metrics and cases.")
@click.option("--data", type=click.Path(path_type=Path), help="Folder of bench data instead of COSOLVE_DATA.")
@verbose_option
@click.pass_context
def bench(
    ctx: click.Context,
    name: str | None,
    quick: bool,
    seed: int,
    json_path: Path | None,
    data: Path | None,
    verbose: int,
) -> None:
    """Run a bench; without a NAME, list the benches."""
    # Imported here: --help needs none of it.
    import os

    from cosolve.core import petsc_options
    from cosolve.core.bench import DATA_VARIABLE, BenchReport
    from cosolve.core.cli.bench_options import bench_options
    from cosolve.core.cli.ending import launched_rank
    from cosolve.core.cli.plugins import print_offers
    from cosolve.core.errors import PluginError
    from cosolve.core.progress import progress_bar
    from cosolve.core.registry import Registry

    registry = Registry.discover()
    if name is None:
        print_offers(registry, "bench")
        return
    if data is not None:
        os.environ[DATA_VARIABLE] = str(data)
    if json_path is not None:
        check_writable(json_path)
    options = bench_options(registry.get("bench", name, where="cosolve bench"), ctx.args, data)
    rank = launched_rank()
    with petsc_options.handed_over(ctx.obj["petsc"]), progress_bar(f"bench {name}", rank=rank) as progress:
        factory = registry.load("bench", name, where="cosolve bench")
        own = {} if options is None else {"options": options}
        report = factory(quick=quick, seed=seed, progress=progress, **own)
    if not isinstance(report, BenchReport):
        raise PluginError(
            f"bench {name!r}: expected a BenchReport, found {type(report).__name__}; correct its factory."
        )
    if rank == 0:
        out = console()
        out.print(report.table())
        for note in report.notes:
            out.print(note, markup=False)
        if json_path is not None:
            report.write(json_path)
            out.print(f"JSON: {json_path}", markup=False)


def check_writable(path: Path) -> None:
    """Find out that a file cannot be written before minutes of work, not after.

    Raises:
        OutputError: The file cannot be written.
    """
    from cosolve.core.errors import OutputError

    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with path.open("a", encoding="utf-8"):
            pass
    except OSError as error:
        raise OutputError(
            f"--json {path}: expected a file that can be written, found {error.strerror}; give another path."
        ) from error
