"""Who may import whom: core nothing above it, a plugin only core and its own library, a coupling only core."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]

HEAVY = {"torch", "petsc4py", "slepc4py", "dolfinx", "ufl", "basix", "pyscipopt", "numba", "scipy", "matplotlib"}

# What each plugin wraps; everything else that is heavy belongs to another plugin.
WRAPS = {
    "baselines": {"scipy"},
    "fenicsx": {"dolfinx", "ufl", "basix", "petsc4py", "scipy", "mpi4py"},
    "numba_kernels": {"numba", "scipy"},
    "petsc": {"petsc4py", "mpi4py"},
    "pytorch": {"torch"},
    "reduced": {"scipy"},
    "report": {"matplotlib"},
    "scip": {"pyscipopt", "numba"},
    "verifiers": set(),
}


def python_files(folder: str) -> list[Path]:
    return sorted((ROOT / folder).rglob("*.py"))


def imported_names(path: Path, *, module_level_only: bool) -> Iterator[str]:
    """Yield the dotted names that a file imports, leaving out what stands under `if TYPE_CHECKING`."""
    tree = ast.parse(path.read_text())

    def visit(node: ast.AST) -> Iterator[str]:
        for child in ast.iter_child_nodes(node):
            if isinstance(child, ast.If) and "TYPE_CHECKING" in ast.dump(child.test):
                continue
            if module_level_only and isinstance(child, ast.FunctionDef | ast.AsyncFunctionDef):
                continue
            if isinstance(child, ast.Import):
                yield from (alias.name for alias in child.names)
            elif isinstance(child, ast.ImportFrom):
                assert child.level == 0, f"{path}: relative import; write the full path"
                yield child.module or ""
            yield from visit(child)

    yield from visit(tree)


def top(name: str) -> str:
    return name.split(".")[0]


@pytest.mark.parametrize("path", python_files("core"), ids=lambda path: str(path.relative_to(ROOT)))
def test_core_imports_neither_plugins_nor_couplings_nor_heavy_libraries(path: Path) -> None:
    for name in imported_names(path, module_level_only=False):
        assert not name.startswith(("cosolve.plugins", "cosolve.couplings", "cosolve.examples")), name
    for name in imported_names(path, module_level_only=True):
        assert top(name) not in HEAVY | {"mpi4py"}, name


@pytest.mark.parametrize("path", python_files("plugins"), ids=lambda path: str(path.relative_to(ROOT)))
def test_a_plugin_imports_core_and_what_it_wraps(path: Path) -> None:
    parts = path.relative_to(ROOT / "plugins").parts
    if len(parts) == 1:
        return
    plugin = parts[0]
    for name in imported_names(path, module_level_only=False):
        assert top(name) not in HEAVY - WRAPS[plugin], f"{plugin} wraps {sorted(WRAPS[plugin])}, not {name}"
        if name.startswith("cosolve."):
            assert name.startswith(("cosolve.core", f"cosolve.plugins.{plugin}")), name


def test_every_plugin_folder_says_what_it_wraps() -> None:
    folders = {path.name for path in (ROOT / "plugins").iterdir() if (path / "__init__.py").exists()}
    assert folders == set(WRAPS)


@pytest.mark.parametrize("path", python_files("couplings"), ids=lambda path: str(path.relative_to(ROOT)))
def test_a_coupling_imports_core_and_reaches_plugins_through_the_registry(path: Path) -> None:
    for name in imported_names(path, module_level_only=False):
        assert top(name) not in HEAVY | {"mpi4py"}, name
        if name.startswith("cosolve."):
            assert name.startswith(("cosolve.core", "cosolve.couplings")), name


def test_only_the_compatibility_module_asks_for_a_version() -> None:
    for path in python_files("plugins/fenicsx") + python_files("examples"):
        if path.name == "compat.py":
            continue
        assert "dolfinx.__version__" not in path.read_text(), f"{path}: ask plugins/fenicsx/compat.py instead"
