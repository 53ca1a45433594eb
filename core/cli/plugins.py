"""`cosolve plugins`: every plugin with its state, and what plugins offer by role."""

from __future__ import annotations

import click
from cosolve.core.cli.console import console, table, verbose_option
from cosolve.core.discovery import ROLES, PluginState
from cosolve.core.registry import Registry
from cosolve.core.wording import ended
from rich.markup import escape

_STYLE = {
    PluginState.LOADED: "green",
    PluginState.BROKEN: "red",
    PluginState.DUPLICATE: "red",
    PluginState.NOT_SELECTED: "dim",
}


EXAMPLES = """\b
Examples:
  cosolve plugins
  cosolve plugins --role surrogate
  COSOLVE_PLUGINS=verifiers,baselines cosolve plugins -v"""


@click.command(epilog=EXAMPLES)
@click.option("--role", type=click.Choice(ROLES), help="List what plugins offer for one role instead.")
@verbose_option
def plugins(role: str | None, verbose: int) -> None:
    """List plugins, their state, and what they offer.

    A plugin that cannot be loaded is a row with its reason; -v shows the traceback. Exits with 0 whatever it finds.
    """
    registry = Registry.discover()
    if role is None:
        _print_plugins(registry, verbose)
    else:
        print_offers(registry, role)


def _print_plugins(registry: Registry, verbose: int) -> None:
    out = console()
    rows = table("plugin", "state", "distribution", "offers")
    listed = registry.rows()
    for plugin in listed:
        counts = [f"{sum(kind == role for kind, _ in plugin.entries)} {role}" for role in ROLES]
        offers = ", ".join(count for count in counts if not count.startswith("0 "))
        state = f"[{_STYLE[plugin.state]}]{plugin.state.value}[/]"
        rows.add_row(plugin.name, state, escape(plugin.source.distribution), offers)
    out.print(rows)
    for plugin in listed:
        if plugin.reason and (verbose or plugin.state is not PluginState.NOT_SELECTED):
            out.print(f"{plugin.name}: {ended(plugin.reason)}", markup=False)
    if verbose:
        for plugin in listed:
            out.print(f"{plugin.name}: {plugin.source.value}, loaded in {1e3 * plugin.seconds:.1f} ms", markup=False)
            if plugin.traceback:
                out.print(plugin.traceback.rstrip(), markup=False)
    elif any(plugin.traceback for plugin in listed):
        out.print("Run `cosolve plugins -v` for the tracebacks.", markup=False)


def print_offers(registry: Registry, role: str) -> None:
    """Print the table of what plugins offer for one role."""
    out = console()
    rows = table(role, "summary", "plugin", "distribution", "note", names=("plugin", "distribution"))
    for offer in registry.offers():
        if offer.role != role:
            continue
        notes = ["baseline"] if offer.entry.baseline else []
        notes += [f"needs {name}" for name in offer.missing]
        notes += offer.entry.capabilities
        name = offer.entry.name if not offer.missing else f"[dim]{offer.entry.name}[/]"
        rows.add_row(name, escape(offer.entry.summary), offer.plugin, escape(offer.distribution), ", ".join(notes))
    out.print(rows)
    if role == "surrogate":
        _print_traits(registry)
    broken = registry.broken()
    if broken:
        names = ", ".join(sorted({plugin.name for plugin in broken}))
        out.print(f"Not loaded, so not listed here: {names}. Run `cosolve plugins` for the reasons.", markup=False)


def _print_traits(registry: Registry) -> None:
    """Print what surrogates see, where they live and what they keep; those that say nothing are left out."""
    rows = table("surrogate", "sees", "spaces", "boundary kept", "resolution", "cost", "certified")
    for offer in registry.offers():
        traits = offer.entry.traits
        if offer.role == "surrogate" and traits is not None:
            rows.add_row(
                offer.entry.name,
                traits.inputs,
                traits.spaces,
                traits.boundaries or "by the coupling",
                traits.resolution,
                traits.cost,
                traits.certified or "nothing",
            )
    console().print(rows)
