"""Looks at one library in a process of its own: `python -m cosolve.core.probes torch` prints what it finds as JSON.

A broken library may crash, hang or print; in a child process that costs a row of `cosolve doctor` and nothing else.
"""

from __future__ import annotations

import importlib
import importlib.util
import json
import os
import re
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

_TIMEOUT_SECONDS: Final = 60.0


@dataclass(frozen=True, slots=True)
class Probe:
    """What was found of one library.

    Attributes:
        name: Import name.
        state: `ok`, `missing` or `broken`.
        facts: Versions and builds by name; for a broken library `error`, its last line.
    """

    name: str
    state: str
    facts: dict[str, Any] = field(default_factory=dict)


def probe(name: str) -> Probe:
    """Look at a library in a child process. Never raises."""
    command = [sys.executable, "-m", "cosolve.core.probes", name]
    try:
        done = subprocess.run(
            command, capture_output=True, text=True, timeout=_TIMEOUT_SECONDS, check=False, env=_alone()
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        return Probe(name, "broken", {"error": f"its import did not end: {type(error).__name__}"})
    for line in reversed(done.stdout.splitlines()):
        if line.startswith("{"):
            found = json.loads(line)
            return Probe(name, found.pop("state"), found)
    last = (done.stderr.strip().splitlines() or ["no message"])[-1]
    return Probe(name, "broken", {"error": f"its import ended the process with code {done.returncode}: {last}"})


def _alone() -> dict[str, str]:
    """Return the environment without the launcher's variables: a child of a rank must not join the job's MPI."""
    prefixes = ("OMPI_", "PMIX_", "PMI_", "MPI_", "SLURM_", "PRTE_", "HYDRA_")
    return {name: value for name, value in os.environ.items() if not name.startswith(prefixes)}


def look(name: str) -> dict[str, Any]:
    """Import a library here and return what there is to say; the state is part of it."""
    if importlib.util.find_spec(name) is None:
        return {"state": "missing"}
    try:
        module = importlib.import_module(name)
        facts = {"version": str(getattr(module, "__version__", "unknown")), **_LOOKERS.get(name, _nothing)(module)}
    except BaseException as error:  # an extension module may raise anything, SystemExit included
        lines = str(error).strip().splitlines() or ["no message"]
        return {"state": "broken", "error": f"{type(error).__name__}: {lines[0]}"}
    return {"state": "ok", **facts, "libraries": _loaded_libraries()}


def _nothing(module: Any) -> dict[str, Any]:
    return {}


def _mpi(module: Any) -> dict[str, Any]:
    MPI = importlib.import_module("mpi4py.MPI")
    return {"library": MPI.Get_library_version().strip().strip("\0").splitlines()[0], "vendor": MPI.get_vendor()[0]}


def _petsc(module: Any) -> dict[str, Any]:
    PETSc = importlib.import_module("petsc4py.PETSc")
    version = ".".join(str(part) for part in PETSc.Sys.getVersion())
    integers = 8 * PETSc.IntType().itemsize
    return {"library": f"PETSc {version}", "scalars": PETSc.ScalarType().dtype.name, "integers": f"{integers} bits"}


def _torch(module: Any) -> dict[str, Any]:
    count = module.cuda.device_count() if module.cuda.is_available() else 0
    return {
        "cuda": module.version.cuda or "none",
        "threads": module.get_num_threads(),
        "gpus": [module.cuda.get_device_name(index) for index in range(count)],
    }


def _scip(module: Any) -> dict[str, Any]:
    return {"library": f"SCIP {module.Model().version()}"}


def _numba(module: Any) -> dict[str, Any]:
    return {"threads": module.config.NUMBA_NUM_THREADS}


_LOOKERS: Final[dict[str, Callable[[Any], dict[str, Any]]]] = {
    "mpi4py": _mpi,
    "petsc4py": _petsc,
    "torch": _torch,
    "pyscipopt": _scip,
    "numba": _numba,
}


def _loaded_libraries() -> list[str]:
    """Return the MPI and OpenMP libraries that this process has loaded (Linux; empty elsewhere)."""
    try:
        text = Path("/proc/self/maps").read_text(encoding="utf-8")
    except OSError:
        return []
    wanted = r"/\S*/lib(?:mpi|mpich|gomp|iomp5|omp)[-.\w]*\.so[.\d]*"
    return sorted({os.path.realpath(path) for path in re.findall(wanted, text)})


if __name__ == "__main__":
    print(json.dumps(look(sys.argv[1]), default=str))
