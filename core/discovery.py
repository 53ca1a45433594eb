"""Finds plugins by their entry points and loads each behind its own guard.

Metadata first, then one guarded load for each plugin: whatever goes wrong becomes a `Plugin` with a state, a reason
and a traceback, never an exception and never silence. Built-in plugins take the same road as third-party ones.
"""

from __future__ import annotations

import os
import sys
import time
import traceback
from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from enum import Enum
from importlib import metadata
from typing import Any, Final, get_args

import pluggy
from cosolve.core.entries import API_VERSION, Entry, Role
from cosolve.core.errors import nearest
from cosolve.core.hookspecs import LifecycleSpecs, RegistrationSpecs

GROUP: Final = "cosolve"
"""Entry-point group that plugins register in."""

SELECTION_VARIABLE: Final = "COSOLVE_PLUGINS"
"""Environment variable that limits loading to the plugins it names, separated by commas."""

ROLES: Final[tuple[Role, ...]] = get_args(Role)
REGISTRATION_HOOKS: Final[Mapping[Role, str]] = {
    "surrogate": "cosolve_surrogates",
    "solver": "cosolve_solvers",
    "verifier": "cosolve_verifiers",
    "coupling": "cosolve_couplings",
    "problem": "cosolve_problems",
    "bench": "cosolve_benches",
}
_HOOK_PREFIX: Final = "cosolve_"
_HEAVY: Final = ("torch", "petsc4py", "dolfinx", "pyscipopt", "numba", "scipy")


class PluginState(Enum):
    """What became of a plugin; the value is what `cosolve plugins` prints."""

    LOADED = "loaded"
    BROKEN = "broken"
    DUPLICATE = "duplicate"
    NOT_SELECTED = "not selected"


@dataclass(frozen=True, slots=True)
class Source:
    """Where a plugin comes from, known without importing it.

    Attributes:
        name: Name of the entry point, unique among all installed distributions.
        value: `"module"` or `"module:attribute"`.
        distribution: Name and version of the distribution, e.g. `"cosolve 0.1.0"`.
    """

    name: str
    value: str
    distribution: str


@dataclass(frozen=True, slots=True)
class Plugin:
    """A plugin and what became of it.

    Attributes:
        source: Where it comes from.
        state: Loaded, broken, duplicate or not selected.
        reason: One sentence: why it is not loaded, or a warning; empty when all is well.
        traceback: Text of the traceback, empty without one.
        entries: What it offers, in order, as (role, entry).
        manager: Its own pluggy manager, so that one plugin's exception cannot abort another's hook; None unless loaded.
        seconds: Time that the import took.
    """

    source: Source
    state: PluginState
    reason: str = ""
    traceback: str = ""
    entries: tuple[tuple[Role, Entry], ...] = ()
    manager: pluggy.PluginManager | None = None
    seconds: float = 0.0
    heavy: tuple[str, ...] = field(default=())

    @property
    def name(self) -> str:
        """Name of the plugin."""
        return self.source.name


class _ContractError(Exception):
    """A plugin that breaks the contract; its text is the reason."""


def find_sources() -> list[Source]:
    """Return all entry points of the group `cosolve` by name, without importing anything."""
    sources = []
    for point in metadata.entry_points(group=GROUP):
        dist = point.dist
        label = f"{dist.name} {dist.version}" if dist is not None else "an unknown distribution"
        sources.append(Source(point.name, point.value, label))
    return sorted(sources, key=lambda source: (source.name, source.distribution))


def selection(environment: Mapping[str, str] = os.environ) -> frozenset[str] | None:
    """Return the names in `COSOLVE_PLUGINS`, or None when the variable is not set."""
    text = environment.get(SELECTION_VARIABLE)
    if text is None:
        return None
    return frozenset(name for name in (part.strip() for part in text.split(",")) if name)


def load_plugins(sources: Iterable[Source], selected: frozenset[str] | None = None) -> list[Plugin]:
    """Load each source behind its own guard.

    Args:
        sources: What to load; see `find_sources`.
        selected: Names to load; None for all. A name that no distribution offers becomes a broken row.

    Returns:
        One plugin for each source, in order, whatever happened to it.
    """
    sources = list(sources)
    by_name: dict[str, list[Source]] = defaultdict(list)
    for source in sources:
        by_name[source.name].append(source)
    plugins = []
    for source in sources:
        same = by_name[source.name]
        if selected is not None and source.name not in selected:
            plugins.append(Plugin(source, PluginState.NOT_SELECTED, f"{SELECTION_VARIABLE} does not name it"))
        elif len(same) > 1:
            owners = " and ".join(f"{other.distribution} ({other.value})" for other in same)
            reason = f"the plugin name {source.name!r} is offered by {owners}; uninstall one of them"
            plugins.append(Plugin(source, PluginState.DUPLICATE, reason))
        else:
            plugins.append(load_plugin(source))
    for name in sorted((selected or frozenset()) - set(by_name)):
        guess = nearest(name, by_name)
        reason = f"{SELECTION_VARIABLE} names {name!r}, which no installed distribution offers"
        reason += f"; did you mean {guess!r}?" if guess else f"; installed: {', '.join(sorted(by_name))}"
        plugins.append(Plugin(Source(name, "", "not installed"), PluginState.BROKEN, reason))
    return plugins


def load_plugin(source: Source) -> Plugin:
    """Import one plugin, check it against the hook specs and ask it for its entries. Never raises."""
    before = set(sys.modules)
    start = time.perf_counter()
    try:
        module = metadata.EntryPoint(source.name, source.value, GROUP).load()
    except (Exception, SystemExit) as error:  # whatever an import raises is a fault of that plugin
        reason = f"its import of {source.value!r} failed: {type(error).__name__}: {_first_line(error)}"
        return _broken(source, reason)
    seconds = time.perf_counter() - start
    heavy = tuple(name for name in _HEAVY if name in sys.modules and name not in before)
    plugin = examine(module, source)
    if heavy and plugin.state is PluginState.LOADED:
        names = ", ".join(heavy)
        plugin = replace(plugin, reason=f"its registration imports {names}; import them inside the factory instead")
    return replace(plugin, seconds=seconds, heavy=heavy)


def examine(plugin: object, source: Source, *, version_needed: bool = True) -> Plugin:
    """Check a plugin object (a module or any object with hooks) and collect its entries. Never raises.

    Args:
        plugin: The object.
        source: Where it comes from.
        version_needed: Whether it must declare an API version; a declared one must match in any case.
    """
    try:
        _check_api_version(plugin, source, version_needed)
        _check_unmarked(plugin)
        manager = pluggy.PluginManager(GROUP)
        manager.add_hookspecs(RegistrationSpecs)
        manager.add_hookspecs(LifecycleSpecs)
        _register(manager, plugin, source)
        entries = _collect(manager)
    except _ContractError as error:
        return _broken(source, str(error))
    except (Exception, SystemExit) as error:  # whatever a registration hook raises is a fault of that plugin
        return _broken(source, f"its registration failed: {type(error).__name__}: {_first_line(error)}")
    return Plugin(source, PluginState.LOADED, entries=entries, manager=manager)


def _broken(source: Source, reason: str) -> Plugin:
    return Plugin(source, PluginState.BROKEN, reason, traceback.format_exc())


def _first_line(error: BaseException) -> str:
    return (str(error).strip() or "no message").splitlines()[0]


def _check_api_version(plugin: object, source: Source, needed: bool) -> None:
    module = sys.modules.get(source.value.partition(":")[0])
    version = getattr(plugin, "COSOLVE_API_VERSION", getattr(module, "COSOLVE_API_VERSION", None))
    if version is None and not needed:
        return
    if version is None:
        raise _ContractError(
            f"it declares no API version; expected `COSOLVE_API_VERSION = {API_VERSION}` in {source.value}"
        )
    if version != API_VERSION:
        raise _ContractError(
            f"it was written for API version {version!r}, this cosolve has {API_VERSION}; "
            "install a release of the plugin or of cosolve that match"
        )


def _check_unmarked(plugin: object) -> None:
    """Refuse a function named like a hook that lacks the marker: pluggy would pass over it in silence."""
    for name in dir(plugin):
        if not name.startswith(_HOOK_PREFIX):
            continue
        function = getattr(plugin, name, None)
        if callable(function) and not hasattr(function, f"{GROUP}_impl"):
            raise _ContractError(f"{name!r} is named like a hook and lacks its marker; put `@hookimpl` above it")


def _register(manager: pluggy.PluginManager, plugin: object, source: Source) -> None:
    try:
        manager.register(plugin, source.name)
        manager.check_pending()
    except pluggy.PluginValidationError as error:
        raise _ContractError(_explain_validation(manager, plugin, error)) from error
    if not manager.get_hookcallers(plugin):
        raise _ContractError(f"it implements no hook; known hooks: {', '.join(known_hooks())}")


def _explain_validation(manager: pluggy.PluginManager, plugin: object, error: Exception) -> str:
    for name in dir(plugin):
        if hasattr(getattr(plugin, name, None), f"{GROUP}_impl") and name not in known_hooks():
            guess = nearest(name, known_hooks())
            return f"it implements an unknown hook {name!r}" + (
                f"; did you mean {guess!r}?" if guess else f"; known hooks: {', '.join(known_hooks())}"
            )
    return "a hook does not fit its specification: " + " ".join(str(error).split())


def known_hooks() -> list[str]:
    """Return the names of all hooks, registration first."""
    return [
        name for specs in (RegistrationSpecs, LifecycleSpecs) for name in vars(specs) if name.startswith("cosolve_")
    ]


def _collect(manager: pluggy.PluginManager) -> tuple[tuple[Role, Entry], ...]:
    entries: list[tuple[Role, Entry]] = []
    for role, hook in REGISTRATION_HOOKS.items():
        for offered in getattr(manager.hook, hook)():
            for entry in _as_entries(hook, offered):
                if any(other_role == role and other.name == entry.name for other_role, other in entries):
                    raise _ContractError(f"{hook!r} registers the {role} {entry.name!r} twice; names are unique")
                entries.append((role, entry))
    return tuple(entries)


def _as_entries(hook: str, offered: Any) -> list[Entry]:
    if isinstance(offered, Entry):
        raise _ContractError(f"{hook!r} returned one Entry; expected a list of them, so write `return [entry]`")
    try:
        items = list(offered)
    except TypeError:
        raise _ContractError(f"{hook!r} returned {type(offered).__name__}; expected a list of Entry") from None
    for item in items:
        if not isinstance(item, Entry):
            raise _ContractError(
                f"{hook!r} returned a list with {type(item).__name__} {item!r}; expected Entry objects"
            )
        if ":" not in item.factory:
            raise _ContractError(
                f"the entry {item.name!r} has the factory {item.factory!r}; expected 'module:attribute'"
            )
    return items
