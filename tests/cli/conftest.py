"""A third-party distribution in a temporary folder, and the command line in this process or in its own."""

from __future__ import annotations

import importlib
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
from cosolve.core.cli.main import main

TOY = """
from cosolve import Entry, hookimpl

COSOLVE_API_VERSION = 1


@hookimpl
def cosolve_problems():
    return [Entry("toy", "values drawn to their mean", "toy_problem:Toy", options="toy_options:ToyOptions")]
"""

TOY_OPTIONS = """
from cosolve.core.options import Count, ExistingFile, NonNegative, Options, Positive


class ToyOptions(Options):
    size: Count = 12
    dt: Positive = 0.1
    end: Positive = 1.0
    mesh: ExistingFile | None = None
    pause: NonNegative = 0.0
    fail_on_rank: int | None = None
"""

TOY_PROBLEM = """
import time

from cosolve.core.problem import Problem
from cosolve.core.testing.mean_field import MeanFieldSolver


class Slow(MeanFieldSolver):
    pause = 0.0

    def _step(self, query, x0):
        time.sleep(self.pause)
        return super()._step(query, x0)


class Toy(Problem):
    name = "toy"

    def __init__(self, options):
        self.options = options
        self.parameters = {"size": options.size}

    def make_solver(self, comm, settings):
        if self.options.fail_on_rank == comm.Get_rank():
            raise RuntimeError("the mesh generator gave up")
        comm.Barrier()
        solver = Slow(self.options.size, comm, **{key: value for key, value in settings.items() if key != "rtol"})
        solver.pause = self.options.pause
        return solver

    @property
    def time_span(self):
        return 0.0, self.options.end, self.options.dt

    def describe(self):
        return {"problem": "toy", "dtype": "float64", "spaces": {}, "units": {}, "parameters": ["size"]}
"""

CASE = """
[problem]
name = "toy"
[solver]
atol = 1e-10
[[surrogate]]
name = "linear_extrapolation"
[output]
directory = "out"
"""


@dataclass
class Ended:
    """How a command ended."""

    code: int
    out: str
    err: str


class Site:
    """A folder of distributions that Python finds."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def install(self, name: str, modules: dict[str, str], points: dict[str, str], version: str = "1.0") -> None:
        """Write a distribution with entry points of the group `cosolve`."""
        for module, text in modules.items():
            (self.folder / f"{module}.py").write_text(text)
        info = self.folder / f"{name}-{version}.dist-info"
        info.mkdir()
        (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n")
        lines = "".join(f"{point} = {value}\n" for point, value in points.items())
        (info / "entry_points.txt").write_text(f"[cosolve]\n{lines}")
        importlib.invalidate_caches()

    def environment(self) -> dict[str, str]:
        """Return this process's environment with the folder on Python's path."""
        return {**os.environ, "PYTHONPATH": str(self.folder), "OMP_NUM_THREADS": "1", "COLUMNS": "200"}


@pytest.fixture
def site(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Site]:
    folder = tmp_path / "site"
    folder.mkdir()
    monkeypatch.syspath_prepend(str(folder))
    before = set(sys.modules)
    yield Site(folder)
    for name in set(sys.modules) - before:
        path = getattr(sys.modules[name], "__file__", None)
        if path and Path(path).parent == folder:
            del sys.modules[name]


@pytest.fixture
def toy(site: Site, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A working folder with `case.toml` of the toy problem, which a third-party plugin offers."""
    modules = {"toy_plugin": TOY, "toy_options": TOY_OPTIONS, "toy_problem": TOY_PROBLEM}
    site.install("toy-cosolve", modules, {"toy": "toy_plugin"})
    work = tmp_path / "work"
    work.mkdir()
    (work / "case.toml").write_text(CASE)
    monkeypatch.chdir(work)
    return work


Command = Callable[..., Ended]


@pytest.fixture
def cosolve(capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Command:
    """Run the command line in this process."""
    monkeypatch.setenv("COLUMNS", "200")

    def command(*arguments: str) -> Ended:
        code = 0
        capfd.readouterr()
        try:
            main([str(argument) for argument in arguments])
        except SystemExit as ended:
            code = ended.code if isinstance(ended.code, int) else 0
        captured = capfd.readouterr()
        return Ended(code, captured.out, captured.err)

    return command


@pytest.fixture
def process(site: Site) -> Command:
    """Run the command line in a process of its own."""

    def command(*arguments: str, cwd: Path | None = None, timeout: float = 120.0, **environment: str) -> Ended:
        done = subprocess.run(
            [sys.executable, "-c", "from cosolve.core.cli.main import main; main()", *arguments],
            capture_output=True,
            text=True,
            timeout=timeout,
            check=False,
            cwd=cwd,
            env=site.environment() | environment,
        )
        return Ended(done.returncode, done.stdout, done.stderr)

    return command
