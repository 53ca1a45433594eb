"""The house: names, lengths, and tools that must be content."""

from __future__ import annotations

import subprocess
import sys
from importlib import metadata
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
ROOMS = ("core", "plugins", "couplings", "examples", "tests", "docs")
DRAWERS = {"utils", "util", "misc", "helpers", "helper", "common", "manager", "tools"}


def sources() -> list[Path]:
    return sorted(path for room in ROOMS for path in (ROOT / room).rglob("*.py") if "_build" not in path.parts)


def test_no_file_is_a_drawer() -> None:
    for path in sources():
        assert path.stem not in DRAWERS, path
        assert path.parent.name not in DRAWERS, path


def test_files_hold_one_idea_each() -> None:
    long = {str(path.relative_to(ROOT)): n for path in sources() if (n := len(path.read_text().splitlines())) > 400}
    assert not long, f"over 400 lines: {long}"


def test_modules_that_tests_share_have_names_of_their_own() -> None:
    # Their folders are on one path: of two modules of one name, whoever comes second gets the other's.
    folders = {path.parent for path in (ROOT / "tests").rglob("conftest.py") if "sys.path" in path.read_text()}
    names = [path.name for folder in folders for path in folder.glob("*.py") if not path.name.startswith("test_")]
    assert len(set(names) - {"conftest.py"}) == sum(name != "conftest.py" for name in names), sorted(names)


def test_type_ignores_say_why() -> None:
    for path in sources():
        for number, line in enumerate(path.read_text().splitlines(), 1):
            if "# type: ignore" in line and path != Path(__file__):
                assert line.split("# type: ignore", 1)[1].count("#") >= 1, f"{path}:{number}: no reason given"


def test_a_plugin_never_bears_the_import_name_of_what_it_wraps() -> None:
    wrapped = {"torch", "numba", "dolfinx", "petsc4py", "pyscipopt", "scipy", "numpy", "mpi4py"}
    assert not wrapped & {path.name for path in (ROOT / "plugins").iterdir()}


of_numpy_1 = pytest.mark.skipif(
    not metadata.version("numpy").startswith("1."),
    reason="types are checked against the stubs of numpy 1, which Debian 12 has; those of numpy 2 differ",
)


@pytest.mark.parametrize(
    "command",
    [("ruff", "check", "."), ("ruff", "format", "--check", "."), pytest.param(("mypy",), marks=of_numpy_1)],
    ids=["ruff check", "ruff format", "mypy strict"],
)
def test_the_tools_are_content(command: tuple[str, ...]) -> None:
    done = subprocess.run([sys.executable, "-m", *command], cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout[-4000:] + done.stderr[-2000:]
