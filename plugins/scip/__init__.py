"""SCIP through PySCIPOpt: settings and races, and guidance of its branch and bound."""

from __future__ import annotations

COSOLVE_API_VERSION = 1
