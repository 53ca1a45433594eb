"""Puts whole plugins through their conformance kits, on one rank and on several."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence

from cosolve.core.arrays import Array
from cosolve.core.communicator import world
from cosolve.core.discovery import Plugin, PluginState
from cosolve.core.errors import BadInputError, PluginError, unknown_name
from cosolve.core.registry import Offer, Registry
from cosolve.core.testing.checking import Finding, kit_of, run_kit, run_probe, run_trial
from cosolve.core.testing.plugin_contract import PluginContract
from cosolve.core.testing.ranks import MOST_RANKS, check_on_ranks, subject_of
from cosolve.core.wording import ended


def chosen_plugins(registry: Registry, names: Sequence[str]) -> list[Plugin]:
    """Return the plugins of these names; the name of a distribution stands for all of its plugins.

    Raises:
        BadInputError: A name is unknown.
        PluginError: A plugin cannot be loaded; says why.
    """
    if not __debug__:
        raise BadInputError("Python runs with -O, which strips assertions, and with them every check; leave -O out.")
    found: list[Plugin] = []
    for name in names:
        own = [p for p in registry.plugins if name in (p.name, p.source.distribution.split()[0])]
        if not own:
            known = [plugin.name for plugin in registry.plugins]
            hint = "Install it first (`pip install .`): only installed plugins are checked."
            raise BadInputError(unknown_name("plugin", name, known, hint=hint))
        found += [plugin for plugin in own if plugin not in found]
    for plugin in found:
        if plugin.state is not PluginState.LOADED:
            raise PluginError(
                f"plugin {plugin.name!r} of {plugin.source.distribution} is {plugin.state.value}: "
                f"{ended(plugin.reason)} Run `cosolve plugins -v` for the traceback."
            )
    return found


def check_plugins(
    registry: Registry,
    plugins: Sequence[Plugin],
    *,
    most_ranks: int = MOST_RANKS,
    tell: Callable[[str], None] | None = None,
) -> Iterator[tuple[str, Finding]]:
    """Check plugins and all that they offer (collective over the ranks of this job).

    Args:
        registry: What is known of plugins.
        plugins: Which to check.
        most_ranks: Largest number of ranks that mpirun is started for; 1 does without.
        tell: Called with the subject that comes next.

    Yields:
        The name of the plugin with each finding.
    """
    names = {plugin.name for plugin in plugins}
    offers = [offer for offer in registry.offers() if offer.plugin in names]
    for plugin in plugins:
        for finding in run_kit(_registration_kit(plugin), "registration"):
            yield plugin.name, finding
    alone: dict[str, dict[str, Array]] = {}
    parallel: dict[str, Offer] = {}
    for offer in offers:
        subject = subject_of(offer)
        if tell is not None:
            tell(subject)
        if offer.missing:
            reason = f"needs {', '.join(offer.missing)}, not installed here"
            yield offer.plugin, Finding(subject, "contract", "all checks", "not run", reason)
            continue
        try:
            kit = kit_of(offer)
        except PluginError as error:
            yield offer.plugin, Finding(subject, "contract", "its kit can be imported", "failed", str(error))
            continue
        if kit is None:
            continue
        reason = run_trial(kit, subject)
        if reason:
            yield offer.plugin, Finding(subject, "contract", "the kit can make it", "failed", reason)
            continue
        for finding in run_kit(kit, subject):
            yield offer.plugin, finding
        if world().Get_size() > 1 or most_ranks < 2:
            continue
        alone[subject], reason = run_probe(kit, subject)
        if reason:
            yield offer.plugin, Finding(subject, "ranks", "answers for a comparison of ranks", "failed", reason)
        elif kit().serial:
            reason = "its entry says that it works on one rank only (`serial`)"
            yield offer.plugin, Finding(subject, "ranks", "on several ranks", "left out", reason)
        else:
            parallel[subject] = offer
    if parallel:
        if tell is not None:
            tell("several ranks")
        for finding in check_on_ranks(list(parallel.values()), alone, most=most_ranks):
            owner = parallel.get(finding.subject)
            yield owner.plugin if owner else plugins[0].name, finding


def _registration_kit(plugin: Plugin) -> type[PluginContract]:
    module = plugin.source.value.partition(":")[0]

    class Registration(PluginContract):
        def module_name(self) -> str:
            return module

    return Registration
