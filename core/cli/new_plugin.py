"""`cosolve new-plugin`: writes a complete distribution to start from."""

from __future__ import annotations

from pathlib import Path

import click
from cosolve.core.cli.console import console, verbose_option

EXAMPLES = """\b
Examples:
  cosolve new-plugin my_network
  cosolve new-plugin my_solver --role solver --baseline
  cosolve new-plugin my_judge --role verifier --output plugins/my_judge"""


@click.command("new-plugin", epilog=EXAMPLES)
@click.argument("name")
@click.option(
    "--role",
    type=click.Choice(("surrogate", "solver", "verifier", "coupling", "problem")),
    default="surrogate",
    show_default=True,
    help="What the plugin offers.",
)
@click.option("--baseline", is_flag=True, help="Offer it as a classical rival.")
@click.option("--output", type=click.Path(path_type=Path), help="Folder to write; by default NAME, here.")
@verbose_option
def new_plugin(name: str, role: str, baseline: bool, output: Path | None, verbose: int) -> None:
    """Write the distribution of a new plugin: it installs by pip and passes `cosolve check-plugin NAME`.

    It has pyproject.toml with the entry point, the registration, a class of at most 15 lines to put your own code
    into, its conformance test, and a README.
    """
    # Imported here: --help needs none of it.
    from cosolve.core.plugin_template import TEMPLATE_ROLES, write_plugin
    from cosolve.core.registry import Registry

    folder = Path(name) if output is None else output
    chosen = TEMPLATE_ROLES[[*TEMPLATE_ROLES].index(role)]  # type: ignore[arg-type]  # click has checked the choice
    files = write_plugin(name, chosen, folder, Registry.discover(), baseline=baseline)
    out = console()
    for path in files:
        out.print(str(path), markup=False)
    out.print(f"\nNext:\n  pip install -e {folder}\n  cosolve check-plugin {name}", markup=False)
