"""The doctor: known clashes are found in what the probes say, and a broken library is a row."""

from __future__ import annotations

from pathlib import Path

import pytest
from cosolve.core.doctor import clashes, examine
from cosolve.core.probes import Probe, probe

HEALTHY = {
    "numpy": Probe("numpy", "ok", {"version": "1.26.4", "libraries": []}),
    "mpi4py": Probe("mpi4py", "ok", {"version": "3.1", "vendor": "Open MPI", "libraries": ["/usr/lib/libmpi.so.40"]}),
    "petsc4py": Probe("petsc4py", "ok", {"libraries": ["/usr/lib/libmpi.so.40", "/usr/lib/libgomp.so.1"]}),
    "torch": Probe("torch", "ok", {"libraries": []}),
}
ONE_THREAD = {"OMP_NUM_THREADS": "1"}


def found(probes: dict[str, Probe], environment: dict[str, str], ranks: int = 1, launcher: str = "mpirun (Open MPI) 4"):
    rows = clashes(probes, environment, ranks=ranks, cores=4, launcher=launcher)
    assert all(row.cure for row in rows), "each clash has its cure"
    return [(row.what, row.state, row.detail) for row in rows]


def test_a_healthy_machine_has_no_clash() -> None:
    assert found(HEALTHY, ONE_THREAD) == []


def test_numpy_abi() -> None:
    error = "ImportError: numpy.core.multiarray failed to import"
    (row,) = found({**HEALTHY, "petsc4py": Probe("petsc4py", "broken", {"error": error})}, ONE_THREAD)
    assert row == ("numpy ABI", "clash", f"petsc4py was built against another numpy than the installed 1.26.4: {error}")


def test_two_mpi_libraries() -> None:
    other = Probe("mpi4py", "ok", {"vendor": "MPICH", "libraries": ["/opt/venv/libmpi.so.12"]})
    rows = found({**HEALTHY, "mpi4py": other}, ONE_THREAD)
    assert ("two MPIs", "clash", "mpi4py with /opt/venv/libmpi.so.12; petsc4py with /usr/lib/libmpi.so.40") in rows
    assert (
        "two MPIs",
        "clash",
        "mpi4py was built with MPICH, but mpirun is mpirun (Open MPI) 4: every rank would be alone",
    ) in rows


def test_oversubscribed_threads() -> None:
    assert found(HEALTHY, {"OMP_NUM_THREADS": "4"}, ranks=2) == [
        ("oversubscribed threads", "clash", "2 ranks of 4 threads each on 4 cores")
    ]
    assert found(HEALTHY, {}, ranks=2)[0][2] == "2 ranks of 4 threads each on 4 cores"
    assert found(HEALTHY, {})[0][:2] == ("threads under MPI", "note")
    assert found(HEALTHY, {"OMP_NUM_THREADS": "2"}, ranks=2) == []


def test_torch_and_openmp() -> None:
    torch = Probe("torch", "ok", {"libraries": ["/venv/torch/lib/libiomp5.so"]})
    (row,) = found({**HEALTHY, "torch": torch}, {"OMP_NUM_THREADS": "2"})
    assert row == (
        "torch and OpenMP",
        "clash",
        "torch with /venv/torch/lib/libiomp5.so; petsc4py with /usr/lib/libgomp.so.1",
    )
    assert found({**HEALTHY, "torch": torch}, ONE_THREAD) == []


@pytest.fixture
def library(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    return tmp_path / "brittle.py"


@pytest.mark.parametrize(
    ("text", "error"),
    [
        ("raise ImportError('libfoo.so.1: cannot open')", "ImportError: libfoo.so.1: cannot open"),
        ("raise SystemExit('no licence')", "SystemExit: no licence"),
        ("import os\nos.abort()", "its import ended the process with code -6: "),
    ],
)
def test_a_broken_library_costs_a_row(library: Path, text: str, error: str) -> None:
    library.write_text(text)
    seen = probe("brittle")
    assert seen.state == "broken"
    assert seen.facts["error"].startswith(error)


def test_a_library_that_prints_is_read_all_the_same(library: Path) -> None:
    library.write_text("print('welcome')\n__version__ = '7'")
    seen = probe("brittle")
    assert (seen.state, seen.facts["version"]) == ("ok", "7")
    assert probe("no_such_library").state == "missing"


def test_the_whole_examination_names_every_library() -> None:
    rows = {row.what: row for row in examine()}
    for name in ("Python", "numpy", "mpi4py", "petsc4py", "dolfinx", "torch", "pyscipopt", "numba", "threads", "GPUs"):
        assert rows[name].state in ("ok", "missing", "note", "broken")
    assert rows["numpy"].state == "ok"


def test_ranks_that_the_launcher_binds_to_a_core_each_are_no_clash() -> None:
    healthy = {"ranks": 2, "cores": 2, "own_cores": 1, "launcher": "mpirun (Open MPI) 4"}
    assert clashes(HEALTHY, ONE_THREAD, **healthy) == []
    assert clashes(HEALTHY, {}, **healthy) == [], "a bound rank starts as many threads as it has cores"
    (row,) = clashes(HEALTHY, ONE_THREAD, ranks=3, cores=1, own_cores=1, launcher="mpirun (Open MPI) 4")
    assert row.detail == "3 ranks of 1 thread each on 1 core"
