"""The built-in plugins keep the contract that third parties inherit."""

from __future__ import annotations

import tomllib
from pathlib import Path

from cosolve.testing import PluginContract

ROOT = Path(__file__).resolve().parents[2]
ENTRY_POINTS = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["entry-points"]["cosolve"]


def _contract(module: str) -> type[PluginContract]:
    class Contract(PluginContract):
        def module_name(self) -> str:
            return module

    return Contract


for _name, _module in ENTRY_POINTS.items():
    globals()[f"TestPlugin_{_name}"] = _contract(_module)
