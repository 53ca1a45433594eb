"""What plugins offer, by role and name: the only road from the core and the couplings to a plugin."""

from __future__ import annotations

import importlib.util
import os
from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from cosolve.core.discovery import (
    REGISTRATION_HOOKS,
    Plugin,
    PluginState,
    Source,
    examine,
    find_sources,
    load_plugins,
    selection,
)
from cosolve.core.entries import Entry, Role
from cosolve.core.errors import BadInputError, PluginError, nearest, unknown_name
from cosolve.core.observers import Observers
from cosolve.core.wording import ended

__all__ = ["Offer", "Registry", "missing_requirements"]

_INSTALL_HINTS: Mapping[str, str] = {
    "torch": "pip install 'cosolve[torch]'",
    "pyscipopt": "pip install 'cosolve[scip]'",
    "mpi4py": "pip install 'cosolve[mpi]', or apt-get install python3-mpi4py on Debian",
    "petsc4py": "apt-get install python3-petsc4py on Debian",
    "dolfinx": "apt-get install python3-dolfinx on Debian",
}


@dataclass(frozen=True, slots=True)
class Offer:
    """One entry with its owner, as `cosolve plugins --role` prints it.

    Attributes:
        role: Its role.
        entry: The entry.
        plugin: Name of the plugin.
        distribution: Name and version of the distribution.
        missing: Import names that the entry requires and that are not installed.
    """

    role: Role
    entry: Entry
    plugin: str
    distribution: str
    missing: tuple[str, ...]


class Registry:
    """All plugins and what they offer. `Registry.discover()` is the usual way to get one; not collective.

    Args:
        plugins: What was loaded, see `cosolve.core.discovery`.
    """

    def __init__(self, plugins: Iterable[Plugin] = ()) -> None:
        self._plugins = list(plugins)
        self._owners: dict[tuple[Role, str], list[Plugin]] = defaultdict(list)
        self._index()

    @classmethod
    def discover(cls, environment: Mapping[str, str] = os.environ) -> Registry:
        """Find and load all installed plugins, or those that `COSOLVE_PLUGINS` names. Never raises for a plugin."""
        return cls(load_plugins(find_sources(), selection(environment)))

    def _index(self) -> None:
        self._owners.clear()
        for plugin in self._plugins:
            for role, entry in plugin.entries:
                self._owners[role, entry.name].append(plugin)

    def register(self, plugin: object, name: str) -> None:
        """Add a plugin object from a user's script, by the same checks as an installed one.

        A script is written against the cosolve that runs it, so it need not declare an API version.

        Args:
            plugin: A module or any object with hook implementations.
            name: Name of the plugin.

        Raises:
            PluginError: The plugin breaks the contract, or its name is taken; says how.
        """
        source = Source(name, f"{type(plugin).__name__} of a script", "this script")
        if any(other.name == name for other in self._plugins):
            owner = next(other for other in self._plugins if other.name == name).source.distribution
            raise PluginError(f"plugin {name!r} is registered already by {owner}; register it under another name")
        examined = examine(plugin, source, version_needed=False)
        if examined.state is not PluginState.LOADED:
            raise PluginError(f"plugin {name!r} cannot be registered: {ended(examined.reason)}")
        self._plugins.append(examined)
        self._index()

    @property
    def plugins(self) -> tuple[Plugin, ...]:
        """All plugins in order, whatever their state."""
        return tuple(self._plugins)

    def rows(self) -> list[Plugin]:
        """Return what `cosolve plugins` prints: every plugin, then one row for each clash of entry names."""
        rows = list(self._plugins)
        for (role, name), owners in self._owners.items():
            if len(owners) > 1:
                source = Source(name, role, " and ".join(owner.source.distribution for owner in owners))
                rows.append(Plugin(source, PluginState.DUPLICATE, self._clash(role, name)))
        return rows

    def offers(self, role: Role | None = None) -> list[Offer]:
        """Return what loaded plugins offer, sorted by role and name; of all roles when `role` is None."""
        found = [
            Offer(kind, entry, plugin.name, plugin.source.distribution, missing_requirements(entry))
            for plugin in self._plugins
            for kind, entry in plugin.entries
            if role in (None, kind)
        ]
        roles = list(REGISTRATION_HOOKS)
        return sorted(found, key=lambda offer: (roles.index(offer.role), offer.entry.name))

    def entries(self, role: Role) -> list[Entry]:
        """Return the entries of one role, sorted by name."""
        return [offer.entry for offer in self.offers(role)]

    def broken(self) -> list[Plugin]:
        """Return the plugins that are broken or duplicate."""
        return [plugin for plugin in self._plugins if plugin.state in (PluginState.BROKEN, PluginState.DUPLICATE)]

    def get(self, role: Role, name: str, *, where: str = "") -> Entry:
        """Return the entry of that role and name.

        Args:
            role: The role.
            name: The name, as registered.
            where: What asks, for the sentence, e.g. `"case.toml: surrogate.0.name"`.

        Raises:
            PluginError: Two plugins offer the name, or no loaded one does and a broken plugin may be the one (exit 4).
            BadInputError: No plugin offers the name (exit 2); says the nearest and the known names.
        """
        owners = self._owners.get((role, name), [])
        prefix = f"{where}: " if where else ""
        if len(owners) > 1:
            raise PluginError(f"{prefix}{self._clash(role, name)}.")
        if owners:
            return next(entry for kind, entry in owners[0].entries if kind == role and entry.name == name)
        known = [entry.name for entry in self.entries(role)]
        self._blame_broken(role, name, known, prefix)
        hint = f"Run `cosolve plugins --role {role}` for a table."
        idle = sorted(plugin.name for plugin in self._plugins if plugin.state is PluginState.NOT_SELECTED)
        if idle:
            hint = f"COSOLVE_PLUGINS leaves out {', '.join(idle)}. {hint}"
        raise BadInputError(prefix + unknown_name(role, name, known, hint=hint))

    def load(self, role: Role, name: str, *, where: str = "") -> Any:
        """Import and return the factory of an entry.

        Raises:
            PluginError: A library that the entry requires is missing, or the import fails; names it (exit 4).
            BadInputError: No plugin offers the name (exit 2).
        """
        entry = self.get(role, name, where=where)
        missing = missing_requirements(entry)
        if missing:
            hints = "; ".join(_INSTALL_HINTS.get(module, f"install {module}") for module in missing)
            prefix = f"{where}: " if where else ""
            raise PluginError(f"{prefix}{role} {name!r} needs {', '.join(missing)}, not installed here: {hints}.")
        return entry.load()

    def require(self, names: Iterable[str], *, where: str = "") -> None:
        """Check that the named plugins are loaded.

        Raises:
            PluginError: One of them is broken, with its reason (exit 4).
            BadInputError: One of them is not installed, or not selected (exit 2).
        """
        prefix = f"{where}: " if where else ""
        for name in names:
            found = next((plugin for plugin in self._plugins if plugin.name == name), None)
            if found is None:
                raise BadInputError(prefix + unknown_name("plugin", name, [plugin.name for plugin in self._plugins]))
            if found.state is PluginState.NOT_SELECTED:
                raise BadInputError(
                    f"{prefix}plugin {name!r} is needed; add it to COSOLVE_PLUGINS, which leaves it out."
                )
            if found.state is not PluginState.LOADED:
                raise PluginError(f"{prefix}{_reason(found)} Run `cosolve plugins -v` for the traceback.")

    def observers(self) -> Observers:
        """Return the lifecycle hooks of all loaded plugins as typed methods."""
        return Observers([(plugin.name, plugin.manager) for plugin in self._plugins if plugin.manager is not None])

    def _clash(self, role: Role, name: str) -> str:
        owners = " and ".join(
            f"plugin {owner.name!r} of {owner.source.distribution}" for owner in self._owners[role, name]
        )
        return f"the {role} {name!r} is registered by {owners}; uninstall one, or leave one out of COSOLVE_PLUGINS"

    def _blame_broken(self, role: Role, name: str, known: list[str], prefix: str) -> None:
        """Raise where a broken plugin is the likely owner: by its name, or because no known name is close."""
        broken = self.broken()
        named = [plugin for plugin in broken if plugin.name == name or name.startswith(f"{plugin.name}.")]
        suspects = named or ([] if nearest(name, known) else broken)
        if suspects:
            reasons = " ".join(_reason(plugin) for plugin in suspects)
            raise PluginError(
                f"{prefix}no loaded plugin offers the {role} {name!r}. {reasons} "
                "Run `cosolve plugins -v` for the traceback."
            )


def _reason(plugin: Plugin) -> str:
    return f"Plugin {plugin.name!r} of {plugin.source.distribution} is {plugin.state.value}: {ended(plugin.reason)}"


def missing_requirements(entry: Entry) -> tuple[str, ...]:
    """Return the import names that `entry` requires and that cannot be found, without importing any."""
    return tuple(name for name in entry.requires if not _importable(name))


def _importable(name: str) -> bool:
    try:
        return importlib.util.find_spec(name) is not None
    except (ImportError, ValueError):
        return False
