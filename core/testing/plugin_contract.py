"""What every plugin keeps: it registers light entries, and every factory can be imported."""

from __future__ import annotations

import importlib
import subprocess
import sys

from cosolve.core.entries import API_VERSION, Entry
from cosolve.core.registry import missing_requirements
from cosolve.core.testing.contract import Contract
from cosolve.core.testing.unimplemented import unimplemented

HEAVY = ("torch", "petsc4py", "dolfinx", "pyscipopt", "numba", "scipy", "matplotlib")
"""Libraries that no registration may import: `cosolve --help` and `cosolve plugins` load every plugin."""

_HOOKS = (
    "cosolve_surrogates",
    "cosolve_solvers",
    "cosolve_verifiers",
    "cosolve_couplings",
    "cosolve_problems",
    "cosolve_benches",
)


class PluginContract(Contract):
    """Inherit, implement `module_name`, and let pytest collect the class."""

    def module_name(self) -> str:
        """Return the import name that the entry point names."""
        raise unimplemented(self, "module_name", "the import name of the plugin's module")

    def entries(self) -> list[Entry]:
        """Return all entries that the plugin registers."""
        module = importlib.import_module(self.module_name())
        found: list[Entry] = []
        for hook in _HOOKS:
            implementation = getattr(module, hook, None)
            if implementation is not None:
                found.extend(implementation())
        return found

    def test_the_api_version_is_declared(self) -> None:
        declared = getattr(importlib.import_module(self.module_name()), "COSOLVE_API_VERSION", None)
        assert declared == API_VERSION, f"COSOLVE_API_VERSION is {declared!r}, expected {API_VERSION}"

    def test_entries_are_named_and_summarised_once(self) -> None:
        for entry in self.entries():
            assert entry.name, f"the entry of {entry.factory!r} has no name"
            assert entry.summary, f"the entry {entry.name!r} has no summary"
            assert "\n" not in entry.summary, f"the summary of {entry.name!r} has more than one line"
            assert ":" in entry.factory, f"the factory of {entry.name!r} is not 'module:attribute'"

    def test_factories_and_options_can_be_imported(self) -> None:
        for entry in self.entries():
            entry.load_options()
            if missing_requirements(entry):
                continue
            assert callable(entry.load()), f"the factory {entry.factory!r} of {entry.name!r} cannot be called"
            entry.load_contract()

    def test_registration_imports_nothing_heavy(self) -> None:
        code = (
            "import importlib, sys\n"
            f"module = importlib.import_module({self.module_name()!r})\n"
            f"entries = [e for h in {_HOOKS!r} if hasattr(module, h) for e in getattr(module, h)()]\n"
            "[e.load_options() for e in entries]\n"
            f"print(*[n for n in {HEAVY!r} if n in sys.modules])\n"
        )
        done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
        assert done.returncode == 0, f"importing {self.module_name()!r} failed: {done.stderr.strip()[-500:]}"
        heavy = done.stdout.split()
        assert not heavy, f"registration imports {', '.join(heavy)}; import them in the factory's module instead"
