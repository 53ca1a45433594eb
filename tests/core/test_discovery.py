"""Discovery: whatever is wrong with a plugin is a row with its reason, never a crash and never silence."""

from __future__ import annotations

import importlib
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from cosolve.core.discovery import PluginState, Source, find_sources, known_hooks, load_plugin, load_plugins, selection
from cosolve.core.entries import Entry
from cosolve.core.errors import BadInputError, PluginError
from cosolve.core.hookspecs import hookimpl
from cosolve.core.registry import Registry

HEAD = "from cosolve.core.entries import Entry\nfrom cosolve.core.hookspecs import hookimpl\nCOSOLVE_API_VERSION = 1\n"
GOOD = HEAD + (
    "@hookimpl\ndef cosolve_surrogates():\n"
    "    return [Entry('parrot', 'repeats', 'json:loads'), Entry('owl', 'thinks', 'absent_library.a:B',"
    " requires=('absent_library',))]\n"
)


@pytest.fixture
def module(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[object]:
    """Write a module that Python finds; return its source of discovery."""
    monkeypatch.syspath_prepend(str(tmp_path))
    written = []

    def write(text: str, name: str = "third_party") -> Source:
        (tmp_path / f"{name}.py").write_text(text)
        importlib.invalidate_caches()
        written.append(name)
        return Source(name, name, f"{name} 1.0")

    yield write
    for name in written:
        sys.modules.pop(name, None)


def test_a_good_plugin_is_loaded(module) -> None:
    plugin = load_plugin(module(GOOD))
    assert plugin.state is PluginState.LOADED
    assert plugin.reason == ""
    assert [(role, entry.name) for role, entry in plugin.entries] == [("surrogate", "parrot"), ("surrogate", "owl")]


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("import no_such_library\n", "its import of 'third_party' failed: ModuleNotFoundError: No module named 'no_"),
        ("def broken(:\n", "its import of 'third_party' failed: SyntaxError: "),
        ("raise SystemExit(3)\n", "its import of 'third_party' failed: SystemExit: 3"),
        (
            HEAD + "@hookimpl\ndef cosolve_surogates():\n    return []\n",
            "it implements an unknown hook 'cosolve_surogates'; did you mean 'cosolve_surrogates'?",
        ),
        (
            HEAD + "def cosolve_surrogates():\n    return []\n",
            "'cosolve_surrogates' is named like a hook and lacks its marker; put `@hookimpl` above it",
        ),
        (
            HEAD + "@hookimpl\ndef cosolve_committed(evnt):\n    pass\n",
            "a hook does not fit its specification: ",
        ),
        (GOOD.replace("VERSION = 1", "VERSION = 2"), "it was written for API version 2, this cosolve has 1; "),
        (GOOD.replace("COSOLVE_API_VERSION = 1\n", ""), "it declares no API version; expected `COSOLVE_API_VERSION = "),
        (HEAD, "it implements no hook; known hooks: cosolve_surrogates, "),
        (
            HEAD + "@hookimpl\ndef cosolve_solvers():\n    return Entry('a', 'b', 'c:d')\n",
            "'cosolve_solvers' returned one Entry; expected a list of them, so write `return [entry]`",
        ),
        (
            HEAD + "@hookimpl\ndef cosolve_solvers():\n    return 3\n",
            "'cosolve_solvers' returned int; expected a list of Entry",
        ),
        (
            HEAD + "@hookimpl\ndef cosolve_solvers():\n    return [3]\n",
            "'cosolve_solvers' returned a list with int 3; expected Entry objects",
        ),
        (
            HEAD + "@hookimpl\ndef cosolve_solvers():\n    return [Entry('a', 'b', 'module')]\n",
            "the entry 'a' has the factory 'module'; expected 'module:attribute'",
        ),
        (
            HEAD + "@hookimpl\ndef cosolve_solvers():\n    return [Entry('a', 'b', 'c:d')] * 2\n",
            "'cosolve_solvers' registers the solver 'a' twice; names are unique",
        ),
        (
            HEAD + "@hookimpl\ndef cosolve_solvers():\n    raise KeyError('x')\n",
            "its registration failed: KeyError: 'x'",
        ),
    ],
)
def test_a_broken_plugin_is_a_row_with_its_reason_and_traceback(module, text: str, reason: str) -> None:
    plugin = load_plugin(module(text))
    assert plugin.state is PluginState.BROKEN
    assert plugin.reason.startswith(reason)
    assert plugin.traceback.startswith("Traceback (most recent call last)")
    assert plugin.entries == ()


def test_one_broken_plugin_leaves_the_others_alone(module) -> None:
    sources = [module("import no_such_library\n", "bad_one"), module(GOOD, "good_one")]
    registry = Registry(load_plugins(sources))
    assert registry.get("surrogate", "parrot").summary == "repeats"
    assert [plugin.name for plugin in registry.broken()] == ["bad_one"]


def test_a_plugin_name_that_two_distributions_offer_names_both(module) -> None:
    module(GOOD, "one")
    first, second = Source("twin", "one", "left 1.0"), Source("twin", "one", "right 2.0")
    plugins = load_plugins([first, second])
    assert [plugin.state for plugin in plugins] == [PluginState.DUPLICATE] * 2
    for plugin in plugins:
        assert plugin.reason == (
            "the plugin name 'twin' is offered by left 1.0 (one) and right 2.0 (one); uninstall one of them"
        )
    with pytest.raises(PluginError, match=r"no loaded plugin offers the surrogate 'parrot'.*left 1.0.*right 2.0"):
        Registry(plugins).get("surrogate", "parrot")


def test_an_entry_name_that_two_plugins_register_names_both(module) -> None:
    plugins = load_plugins([module(GOOD, "one"), module(GOOD, "two")])
    registry = Registry(plugins)
    sentence = (
        "the surrogate 'parrot' is registered by plugin 'one' of one 1.0 and plugin 'two' of two 1.0; "
        "uninstall one, or leave one out of COSOLVE_PLUGINS"
    )
    rows = [row for row in registry.rows() if row.state is PluginState.DUPLICATE]
    assert [row.reason for row in rows if row.name == "parrot"] == [sentence]
    with pytest.raises(PluginError, match=r"registered by plugin 'one' of one 1.0 and plugin 'two' of two 1.0"):
        registry.get("surrogate", "parrot")


def test_selection_loads_only_what_it_names(module) -> None:
    sources = [module("raise RuntimeError('loaded although not named')\n", "one"), module(GOOD, "two")]
    plugins = load_plugins(sources, selection({"COSOLVE_PLUGINS": " two , twoo"}))
    assert [(plugin.name, plugin.state) for plugin in plugins] == [
        ("one", PluginState.NOT_SELECTED),
        ("two", PluginState.LOADED),
        ("twoo", PluginState.BROKEN),
    ]
    assert "one" not in sys.modules
    assert plugins[2].reason == (
        "COSOLVE_PLUGINS names 'twoo', which no installed distribution offers; did you mean 'two'?"
    )
    with pytest.raises(BadInputError, match="COSOLVE_PLUGINS leaves out one"):
        Registry(plugins[:2]).get("surrogate", "raven")


def test_a_run_that_needs_a_broken_plugin_says_why(module) -> None:
    registry = Registry(load_plugins([module("import no_such_library\n", "magpie"), module(GOOD, "good_one")]))
    # By its own name, and where no known name is near: the broken one may be the owner.
    for name in ("magpie", "xyzzy"):
        with pytest.raises(PluginError, match=r"Plugin 'magpie' of magpie 1.0 is broken: .*no_such_library"):
            registry.get("surrogate", name)
    # A misspelt name of a loaded plugin is the user's mistake, broken plugins or not.
    with pytest.raises(BadInputError, match="did you mean 'parrot'"):
        registry.get("surrogate", "parot")
    with pytest.raises(PluginError, match="is broken"):
        registry.require(["good_one", "magpie"])
    with pytest.raises(BadInputError, match="unknown plugin 'magpi'; did you mean 'magpie'"):
        registry.require(["magpi"])


def test_a_missing_library_is_named_before_anything_is_imported(module) -> None:
    registry = Registry([load_plugin(module(GOOD))])
    with pytest.raises(PluginError, match="surrogate 'owl' needs absent_library, not installed here: install absent_"):
        registry.load("surrogate", "owl")
    assert [offer.missing for offer in registry.offers("surrogate")] == [("absent_library",), ()]


def test_a_factory_that_cannot_be_imported_keeps_its_cause() -> None:
    with pytest.raises(PluginError, match="'x' could not be loaded from 'json:no_such'") as caught:
        Entry("x", "", "json:no_such").load()
    assert isinstance(caught.value.__cause__, AttributeError)


def test_registration_that_imports_something_heavy_is_told(module, monkeypatch: pytest.MonkeyPatch) -> None:
    # `setitem` first: undoing it removes the stand-in, or brings the real torch back.
    monkeypatch.setitem(sys.modules, "torch", sys)
    del sys.modules["torch"]
    plugin = load_plugin(module("import sys, types\nsys.modules['torch'] = types.ModuleType('torch')\n" + GOOD))
    del sys.modules["torch"]
    assert plugin.state is PluginState.LOADED
    assert plugin.reason == "its registration imports torch; import them inside the factory instead"


class Watcher:
    def __init__(self) -> None:
        self.seen: list[object] = []

    @hookimpl
    def cosolve_run_started(self, event: object) -> None:
        self.seen.append(event)


def test_a_script_registers_by_the_same_checks() -> None:
    registry = Registry()
    registry.register(Watcher(), "mine")
    with pytest.raises(PluginError, match="plugin 'mine' is registered already by this script"):
        registry.register(Watcher(), "mine")
    with pytest.raises(PluginError, match="it implements no hook"):
        registry.register(object(), "nothing")


def test_the_built_in_plugins_are_found_like_any_other() -> None:
    found = {source.name: source for source in find_sources() if source.distribution.startswith("cosolve ")}
    assert {"baselines", "couplings", "examples", "fenicsx", "numba_kernels", "pytorch", "verifiers"} <= set(found)
    registry = Registry.discover({})
    broken = [(plugin.name, plugin.reason) for plugin in registry.plugins if plugin.state is not PluginState.LOADED]
    assert broken == []
    assert all(not plugin.heavy for plugin in registry.plugins)


def test_every_hook_is_known_once() -> None:
    assert len(known_hooks()) == len(set(known_hooks())) == 12
