"""The import mapping: what the wheel holds is what the folders hold, and nothing is imported twice."""

from __future__ import annotations

import subprocess
import sys
import tomllib
import zipfile
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())
CONDA_NAMES = {"matplotlib": "matplotlib-base", "torch": "pytorch"}
PACKED = {".py", ".typed", ".safetensors", ".toml", ".jinja", ".css"}
MAPPING = {"cosolve": "core/_facade", "cosolve.core": "core"} | {
    f"cosolve.{room}": room for room in ("plugins", "couplings", "examples")
}


# A distribution of its own, which no wheel of ours holds.
THIRD_PARTY = ROOT / "examples" / "third_party"


def packages_in_folders() -> set[str]:
    found = {"cosolve"}
    for room in ("core", "plugins", "couplings", "examples"):
        for init in (ROOT / room).rglob("__init__.py"):
            if "_facade" not in init.parts and THIRD_PARTY not in init.parents:
                found.add(".".join(("cosolve", *init.parent.relative_to(ROOT).parts)))
    return found


def test_every_package_is_listed() -> None:
    # A sub-package missing from the list is absent from the wheel only: every other test would pass.
    assert set(PROJECT["tool"]["setuptools"]["packages"]) == packages_in_folders()
    assert PROJECT["tool"]["setuptools"]["package-dir"] == MAPPING


def test_every_python_file_lies_in_a_package() -> None:
    for room in ("core", "plugins", "couplings", "examples"):
        for path in (ROOT / room).rglob("*.py"):
            if THIRD_PARTY in path.parents:
                continue
            assert (path.parent / "__init__.py").exists(), f"{path.parent} has no __init__.py: absent from the wheel"


def test_the_wheel_holds_all_sources_and_data(tmp_path: Path) -> None:
    build = [sys.executable, "-m", "pip", "wheel", "-q", "--no-deps", "--no-build-isolation", "-w", str(tmp_path)]
    copy = tmp_path / "source"
    # A copy without build leftovers: setuptools would otherwise pack files of an older build folder.
    tracked = subprocess.run(["git", "ls-files", "-z"], cwd=ROOT, capture_output=True, check=True).stdout
    for name in filter(None, tracked.decode().split("\0")):
        source, target = ROOT / name, copy / name
        if source.is_file() and not name.startswith((".typing", "tests/", "docs/", "examples/third_party/")):
            target.parent.mkdir(parents=True, exist_ok=True)
            target.write_bytes(source.read_bytes())
    subprocess.run([*build, str(copy)], check=True, capture_output=True)
    (wheel,) = tmp_path.glob("*.whl")
    names = set(zipfile.ZipFile(wheel).namelist())
    assert "cosolve/__init__.py" in names
    for room in ("core", "plugins", "couplings", "examples"):
        for path in (copy / room).rglob("*"):
            if (
                path.suffix in {".py", ".typed", ".safetensors", ".toml", ".jinja", ".css"}
                and "_facade" not in path.parts
            ):
                assert f"cosolve/{path.relative_to(copy)}" in names, f"{path.relative_to(copy)} is not in the wheel"


def test_the_typing_links_lead_to_the_rooms() -> None:
    links = {path.name: path.resolve() for path in (ROOT / ".typing" / "cosolve").iterdir()}
    assert links == {
        "core": ROOT / "core",
        "plugins": ROOT / "plugins",
        "couplings": ROOT / "couplings",
        "examples": ROOT / "examples",
        "__init__.py": ROOT / "core/_facade/__init__.py",
        "testing.py": ROOT / "core/_facade/testing.py",
        "py.typed": ROOT / "core/_facade/py.typed",
    }


def test_no_module_is_imported_under_two_names() -> None:
    # `core.x` beside `cosolve.core.x` splits registries and isinstance; doctests run over `cosolve.*` for that reason.
    code = "import sys, cosolve.core.solver; print([n for n in sys.modules if n.split('.')[0] in ('core','plugins')])"
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_conda_users_get_the_same_requirements() -> None:
    extras = PROJECT["project"]["optional-dependencies"]
    wanted = [*PROJECT["project"]["dependencies"], *(one for name in extras if name != "dev" for one in extras[name])]
    lines = {line.removeprefix("  - ").strip() for line in (ROOT / "environment.yml").read_text().splitlines()}
    names = {line.split(" ")[0] for line in lines}
    for requirement in wanted:
        name, mark, version = requirement.partition(">=")
        name = CONDA_NAMES.get(name, name)
        # conda's mpi4py and what stands beside it may be newer than the oldest that pip may take.
        assert name in names, f"{requirement} is missing in environment.yml"
        assert name in ("mpi4py",) or f"{name} {mark}{version}".strip() in lines, f"environment.yml: {requirement}"
