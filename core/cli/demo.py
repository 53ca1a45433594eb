"""`cosolve demo`: the flagship case, or the embedded one that needs neither MPI nor PETSc."""

from __future__ import annotations

from importlib import resources
from pathlib import Path

import click
from cosolve.core.cli.console import verbose_option

EXAMPLES = """\b
Examples:
  cosolve demo
  cosolve demo --embedded --output runs/first
  mpirun -n 2 cosolve demo"""

FLAGSHIP, EMBEDDED = "curing", "embedded"


@click.command(epilog=EXAMPLES)
@click.option("--embedded", is_flag=True, help="Run the case in numba: no MPI, no PETSc, no torch.")
@click.option("--output", type=click.Path(path_type=Path), help="Output folder, by default runs/demo-NAME.")
@click.option("--set", "assignments", multiple=True, metavar="TABLE.KEY=VALUE", help="Set any option; repeatable.")
@verbose_option
@click.pass_context
def demo(ctx: click.Context, embedded: bool, output: Path | None, assignments: tuple[str, ...], verbose: int) -> None:
    """Run a complete hybrid run against its best classical rival, with the model that is shipped."""
    # Imported here: --help needs none of it.
    from cosolve.core.case_reading import load_case
    from cosolve.core.cli.running import run_and_report
    from cosolve.core.option_layers import Layer, from_assignments
    from cosolve.core.registry import Registry

    name = EMBEDDED if embedded else FLAGSHIP
    registry = Registry.discover()
    values = from_assignments(assignments).values
    if output is not None:
        values = {**values, "output.directory": str(output)}
    case = load_case(
        case_file(name),
        registry,
        overrides=Layer("command line", values),
        defaults={"output.directory": f"runs/demo-{name}"},
        petsc_options=ctx.obj["petsc"],
    )
    run_and_report(case, registry)


def case_file(name: str) -> Path:
    """Return the path of a case that is shipped with the examples."""
    return Path(str(resources.files(f"cosolve.examples.{name}") / "case.toml"))
