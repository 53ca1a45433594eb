"""What `cosolve doctor` says: builds and versions, and the known clashes, each with its cure."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from cosolve.core.inference import plan_of
from cosolve.core.probes import Probe, probe
from cosolve.core.wording import counted

LIBRARIES: Final = ("numpy", "mpi4py", "petsc4py", "dolfinx", "torch", "pyscipopt", "numba", "scipy", "safetensors")
"""Import names that are looked at."""

_CURES: Final = {
    "mpi4py": "apt-get install python3-mpi4py openmpi-bin, or pip install mpi4py",
    "petsc4py": "apt-get install python3-petsc4py and a venv with --system-site-packages of /usr/bin/python3",
    "dolfinx": "apt-get install python3-dolfinx and a venv with --system-site-packages of /usr/bin/python3",
    "torch": "pip install 'cosolve[torch]'; the embedded demo needs none",
    "pyscipopt": "pip install 'cosolve[scip]'",
}
_ABI_WORDS: Final = ("numpy.core.multiarray", "compiled using NumPy 1", "_ARRAY_API", "numpy.dtype size changed")


@dataclass(frozen=True, slots=True)
class Finding:
    """One row of the table.

    Attributes:
        what: The library, or the kind of clash.
        state: `ok`, `missing`, `broken`, `clash` or `note`.
        detail: Versions and builds, or what is wrong.
        cure: What to do; empty when nothing is wrong.
    """

    what: str
    state: str
    detail: str
    cure: str = ""


def examine(environment: Mapping[str, str] = os.environ) -> list[Finding]:
    """Look at everything (seconds; not collective). Never raises for a library, whatever its state."""
    with ThreadPoolExecutor(max_workers=2) as pool:
        probes = dict(zip(LIBRARIES, pool.map(probe, LIBRARIES), strict=True))
    return [
        Finding("Python", "ok", f"{sys.version.split()[0]} at {sys.executable}"),
        *(_row(probes[name]) for name in LIBRARIES),
        Finding("mpirun", *_launcher()),
        Finding("threads", "ok", _threads(environment)),
        *_gpus(probes["torch"]),
        *_inference(probes["torch"], environment),
        *clashes(
            probes,
            environment,
            ranks=_ranks(environment),
            cores=_node_cores() if _ranks(environment) > 1 else _cores(),
            own_cores=_cores(),
            launcher=_launcher()[1],
        ),
    ]


def clashes(
    probes: Mapping[str, Probe],
    environment: Mapping[str, str],
    *,
    ranks: int,
    cores: int,
    launcher: str,
    own_cores: int | None = None,
) -> list[Finding]:
    """Return the known clashes among what was found.

    Args:
        probes: What was found, by import name.
        environment: Environment variables.
        ranks: Ranks of the job on this machine, 1 without a launcher.
        cores: Processor cores that all ranks of the job on this machine may use together.
        launcher: What `mpirun --version` says; empty without one.
        own_cores: Cores that this rank may use where the launcher binds it to some (Open MPI does); None for all.
    """
    found = [*_abi_clashes(probes), *_mpi_clashes(probes, launcher), *_openmp_clashes(probes, environment)]
    threads = environment.get("OMP_NUM_THREADS", "")
    each = int(threads) if threads.isdigit() else own_cores or cores
    if ranks * each > cores and ranks > 1:
        detail = f"{counted(ranks, 'rank')} of {counted(each, 'thread')} each on {counted(cores, 'core')}"
        found.append(Finding("oversubscribed threads", "clash", detail, "export OMP_NUM_THREADS=1"))
    elif not threads and (own_cores or cores) > 1:
        detail = f"OMP_NUM_THREADS is not set, so each rank of an MPI run may start {counted(cores, 'thread')}"
        found.append(Finding("threads under MPI", "note", detail, "export OMP_NUM_THREADS=1 before mpirun"))
    return found


def _abi_clashes(probes: Mapping[str, Probe]) -> list[Finding]:
    numpy = probes["numpy"].facts.get("version", "unknown") if "numpy" in probes else "unknown"
    found = []
    for name, one in probes.items():
        error = str(one.facts.get("error", ""))
        if one.state == "broken" and any(words in error for words in _ABI_WORDS):
            detail = f"{name} was built against another numpy than the installed {numpy}: {error}"
            found.append(Finding("numpy ABI", "clash", detail, "pip install 'numpy<2', or build that library anew"))
    return found


def _mpi_clashes(probes: Mapping[str, Probe], launcher: str) -> list[Finding]:
    loaded: dict[str, list[str]] = {}
    for name, one in probes.items():
        for path in one.facts.get("libraries", []):
            if re.match(r"lib(mpi|mpich)\b", Path(path).name):
                loaded.setdefault(path, []).append(name)
    found = []
    if len(loaded) > 1:
        detail = "; ".join(f"{', '.join(names)} with {path}" for path, names in loaded.items())
        cure = "build mpi4py and petsc4py against one MPI: pip install --force-reinstall --no-binary :all: mpi4py"
        found.append(Finding("two MPIs", "clash", detail, cure))
    vendor = str(probes["mpi4py"].facts.get("vendor", "")) if "mpi4py" in probes else ""
    families = {"Open MPI": ("open mpi", "open-mpi", "openrte"), "MPICH": ("mpich", "hydra")}
    words = families.get(vendor, ())
    if launcher and words and not any(word in launcher.lower() for word in words):
        detail = f"mpi4py was built with {vendor}, but mpirun is {launcher}: every rank would be alone"
        found.append(Finding("two MPIs", "clash", detail, f"use the mpirun of {vendor}, first in PATH"))
    return found


def _openmp_clashes(probes: Mapping[str, Probe], environment: Mapping[str, str]) -> list[Finding]:
    """Two OpenMP runtimes in one process, torch's own and the system's: two thread pools that fight for the cores."""
    if environment.get("OMP_NUM_THREADS") == "1":
        return []
    loaded: dict[str, list[str]] = {}
    for name in ("torch", "petsc4py", "numpy"):
        if name in probes:
            for path in probes[name].facts.get("libraries", []):
                if re.match(r"lib(gomp|iomp5|omp)\b", Path(path).name):
                    loaded.setdefault(path, []).append(name)
    if len(loaded) < 2:
        return []
    detail = "; ".join(f"{', '.join(names)} with {path}" for path, names in loaded.items())
    kinds = {re.split(r"[-.]", Path(path).name)[0] for path in loaded}
    state = "clash" if len(kinds) > 1 else "note"
    return [Finding("torch and OpenMP", state, detail, "export OMP_NUM_THREADS=1 (two thread pools then do no harm)")]


def _row(one: Probe) -> Finding:
    if one.state == "missing":
        return Finding(one.name, "missing", "not installed", _CURES.get(one.name, f"pip install {one.name}"))
    if one.state == "broken":
        cure = _CURES.get(one.name, f"pip install --force-reinstall {one.name}")
        return Finding(one.name, "broken", str(one.facts.get("error", "no message")), cure)
    shown = {key: value for key, value in one.facts.items() if key not in ("libraries", "gpus", "vendor")}
    version = shown.pop("version", "unknown")
    rest = [str(shown.pop("library"))] if "library" in shown else []
    rest += [f"{key} {value}" for key, value in shown.items()]
    return Finding(one.name, "ok", ", ".join([str(version), *rest]))


def _launcher() -> tuple[str, str]:
    """Return the state and the version of `mpirun`."""
    path = shutil.which("mpirun") or shutil.which("mpiexec")
    if path is None:
        return "missing", "not found in PATH"
    try:
        done = subprocess.run([path, "--version"], capture_output=True, text=True, timeout=20, check=False)
    except (OSError, subprocess.TimeoutExpired) as error:
        return "broken", f"{path}: {error}"
    lines = [line.strip() for line in done.stdout.splitlines() if line.strip()]
    return "ok", f"{lines[0] if lines else 'unknown version'} at {path}"


def _threads(environment: Mapping[str, str]) -> str:
    names = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "NUMBA_NUM_THREADS")
    return f"{counted(_cores(), 'core')}; " + ", ".join(f"{name}={environment.get(name, 'not set')}" for name in names)


def _gpus(torch: Probe) -> list[Finding]:
    names: Sequence[Any] = torch.facts.get("gpus", [])
    if names:
        return [Finding("GPUs", "ok", ", ".join(str(name) for name in names))]
    tool = shutil.which("nvidia-smi")
    if tool is None:
        return [Finding("GPUs", "ok", "none")]
    try:
        done = subprocess.run([tool, "-L"], capture_output=True, text=True, timeout=20, check=False)
    except (OSError, subprocess.TimeoutExpired) as error:
        return [Finding("GPUs", "broken", f"nvidia-smi: {error}", "check the driver")]
    listed = [line for line in done.stdout.splitlines() if line.startswith("GPU")]
    if not listed:
        return [Finding("GPUs", "ok", "none")]
    cure = "install the CUDA build of torch" if torch.state == "ok" else str(_CURES["torch"])
    return [Finding("GPUs", "note", f"{len(listed)} that torch cannot see: {'; '.join(listed)}", cure)]


def _inference(torch: Probe, environment: Mapping[str, str]) -> list[Finding]:
    """Return where the ranks of this node infer, for both ways."""
    if torch.state != "ok":
        return []
    gpus, ranks = len(torch.facts.get("gpus", [])), _ranks(environment)
    text = environment.get("COSOLVE_TORCH_THREADS") or environment.get("OMP_NUM_THREADS", "").split(",")[0]
    threads = int(text) if text.isdigit() and int(text) > 0 else 1
    plans = [plan_of("per_rank", rank, gpus=gpus, threads=threads).as_text() for rank in range(ranks)]
    leader = plan_of("node_leader", 0, gpus=gpus, threads=threads).as_text()
    shown = plans if ranks <= 4 else [*plans[:3], f"and so on to rank {ranks - 1}"]
    return [Finding("inference", "ok", f"per_rank: {'; '.join(shown)}. node_leader: {leader} for all")]


def _ranks(environment: Mapping[str, str]) -> int:
    for name in ("OMPI_COMM_WORLD_LOCAL_SIZE", "MPI_LOCALNRANKS", "SLURM_NTASKS_PER_NODE"):
        if environment.get(name, "").isdigit():
            return int(environment[name])
    return 1


def _node_cores() -> int:
    """Return the cores of all ranks on this machine: the launcher, this process's parent, is not bound to some."""
    try:
        return len(os.sched_getaffinity(0) | os.sched_getaffinity(os.getppid()))
    except (AttributeError, OSError):
        return os.cpu_count() or 1


def _cores() -> int:
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
