"""`cosolve run`: check a case, show its options, run it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click
from cosolve.core.cli.console import console, verbose_option

EXAMPLES = """\b
Examples:
  cosolve run case.toml
  cosolve run case.toml --mode shadow --set solver.rtol=1e-10
  cosolve run --check case.toml
  mpirun -n 2 cosolve run case.toml -ksp_monitor -options_left

\b
Options: command line > environment (COSOLVE_COUPLING__MODE=shadow) > file > code.
Long options with one dash go to PETSc untouched; those that nothing read are named at the end."""


@click.command(epilog=EXAMPLES)
@click.argument("case", type=click.Path(path_type=Path))
@click.option("--set", "assignments", multiple=True, metavar="TABLE.KEY=VALUE", help="Set any option; repeatable.")
@click.option("--mode", help="Same as --set coupling.mode=...: replace, correct, initial_guess, shadow, off.")
@click.option("--grade", help="Same as --set coupling.grade=...: certified refuses estimates.")
@click.option("--output", type=click.Path(path_type=Path), help="Same as --set output.directory=...")
@click.option("--check", is_flag=True, help="Check the case and end; needs no solver.")
@click.option("--show-options", is_flag=True, help="Print each option and where it came from, and end.")
@click.option("--resume", is_flag=True, help="Go on from the newest checkpoint in the output folder.")
@verbose_option
@click.pass_context
def run(
    ctx: click.Context,
    case: Path,
    assignments: tuple[str, ...],
    mode: str | None,
    grade: str | None,
    output: Path | None,
    check: bool,
    show_options: bool,
    resume: bool,
    verbose: int,
) -> None:
    """Run a case, alone or under mpirun."""
    # Imported here: --help needs none of it.
    from cosolve.core.case_reading import load_case
    from cosolve.core.cli.running import run_and_report
    from cosolve.core.option_layers import Layer, from_assignments
    from cosolve.core.registry import Registry

    direct = {"coupling.mode": mode, "coupling.grade": grade, "output.directory": output and str(output)}
    values: dict[str, Any] = {key: value for key, value in direct.items() if value is not None}
    layer = Layer("command line", {**from_assignments(assignments).values, **values})
    registry = Registry.discover()
    loaded = load_case(case, registry, overrides=layer, petsc_options=ctx.obj["petsc"])
    out = console()
    if show_options:
        _print_options(loaded.option_rows(), loaded.source)
    if check:
        out.print(f"{case}: fine. It runs {loaded.problem.name} with {loaded.coupling.name}.", markup=False)
    if not (check or show_options):
        run_and_report(loaded, registry, resume=resume)


def _print_options(rows: list[tuple[str, Any, str]], source: str) -> None:
    from cosolve.core.cli.console import table

    shown = table("option", "value", "from", title=f"Options of {source}")
    for key, value, origin in rows:
        shown.add_row(key, "" if value is None else str(value), origin)
    console().print(shown, markup=False)
