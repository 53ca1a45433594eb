"""What a bench returns, the machine it ran on, its table and its JSON file."""

from __future__ import annotations

import json
import math
import os
import platform
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from importlib import metadata
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from cosolve.core.errors import BadInputError, OutputError

if TYPE_CHECKING:
    from rich.table import Table

DATA_VARIABLE: Final = "COSOLVE_DATA"
"""Environment variable with the folder of bench data."""

_THREADS: Final = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "NUMBA_NUM_THREADS")
_LIBRARIES: Final = ("cosolve", "numpy", "scipy", "numba", "torch", "petsc4py", "fenics-dolfinx", "mpi4py", "pyscipopt")


@dataclass(frozen=True, slots=True)
class BenchReport:
    """What a bench measured.

    Attributes:
        name: As registered.
        metrics: Figures by name; a number, or a small table of them (JSON-serialisable).
        cases: One record for each case that was run.
        targets: What a metric should reach, as printed beside it, e.g. `{"speedup_median": ">= 10"}`.
        notes: Sentences below the table.
        arguments: What the command line had beside the name and the common options, `("--family", "auctions")`.
    """

    name: str
    metrics: Mapping[str, Any]
    cases: Sequence[Mapping[str, Any]] = ()
    targets: Mapping[str, str] = field(default_factory=dict)
    notes: Sequence[str] = ()
    arguments: Sequence[str] = ()

    def as_json(self) -> str:
        """Return `{"name", "machine", "metrics", "cases", "targets", "notes"}` as JSON; NaN becomes null.

        Where there are arguments, `"arguments"` holds them.
        """
        content = {
            "name": self.name,
            "machine": machine(),
            "metrics": self.metrics,
            "cases": list(self.cases),
            "targets": self.targets,
            "notes": list(self.notes),
        }
        if self.arguments:
            content["arguments"] = list(self.arguments)
        return json.dumps(_plain(content), indent=2, allow_nan=False) + "\n"

    def write(self, path: Path) -> None:
        """Write the JSON file.

        Raises:
            OutputError: The file cannot be written.
        """
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(self.as_json(), encoding="utf-8")
        except OSError as error:
            raise OutputError(
                f"--json {path}: expected a file that can be written, found {error.strerror}; give another path."
            ) from error

    def table(self) -> Table:
        """Return the metrics as a table for the terminal."""
        # Imported here: a bench that only writes JSON draws nothing.
        from rich import box
        from rich.table import Table

        rows = Table(box=box.SIMPLE_HEAD, title=f"bench {self.name}", title_justify="left", title_style="bold")
        rows.add_column("metric", overflow="fold")
        rows.add_column("value", justify="right", overflow="fold")
        if self.targets:
            rows.add_column("target")
        for name, value in _flat(self.metrics):
            rows.add_row(name, _short(value), *([self.targets.get(name, "")] if self.targets else []))
        return rows


def merge(name: str, parts: Sequence[BenchReport]) -> BenchReport:
    """Merge the reports of the parts of one bench; each case says which part it belongs to.

    Raises:
        ValueError: Two parts measure a metric of the same name.
    """
    metrics: dict[str, Any] = {}
    cases: list[dict[str, Any]] = []
    targets: dict[str, str] = {}
    notes: list[str] = []
    for part in parts:
        clash = sorted(metrics.keys() & part.metrics.keys())
        if clash:
            raise ValueError(f"bench {name!r}: the part {part.name!r} measures {', '.join(clash)} again")
        metrics.update(part.metrics)
        targets.update(part.targets)
        cases += [{"part": part.name, **case} for case in part.cases]
        notes += part.notes
    return BenchReport(name, metrics, cases, targets, notes)


def machine() -> dict[str, Any]:
    """Return what figures depend on: processor, cores, memory, system, versions, threads (not collective)."""
    return {
        "processor": _processor(),
        "cores": len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count(),
        "memory_gib": _memory_gib(),
        "system": f"{platform.system()} {platform.release()}",
        "python": platform.python_version(),
        "versions": {name: version for name in _LIBRARIES if (version := _version(name))},
        "threads": {name: os.environ[name] for name in _THREADS if name in os.environ},
    }


def data_folder(given: Path | None = None) -> Path:
    """Return the folder of bench data: `given`, else the one in `COSOLVE_DATA`.

    Raises:
        BadInputError: There is none, or it is no folder; says what to do.
    """
    text = str(given) if given is not None else os.environ.get(DATA_VARIABLE, "")
    if not text:
        raise BadInputError(f"this bench needs data: expected a folder in {DATA_VARIABLE}, found nothing; set it.")
    if not Path(text).is_dir():
        raise BadInputError(
            f"{DATA_VARIABLE}: expected a folder of bench data, found none at {text}; correct the path."
        )
    return Path(text)


def _processor() -> str:
    try:
        for line in Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    except OSError:
        pass  # no such file on this system: the platform's own word follows
    return platform.processor() or platform.machine()


def _memory_gib() -> float | None:
    try:
        return round(os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30, 1)
    except (AttributeError, ValueError, OSError):
        return None


def _version(name: str) -> str:
    try:
        return metadata.version(name)
    except metadata.PackageNotFoundError:
        return ""


def _plain(value: Any) -> Any:
    """Return `value` as JSON knows it: numpy values unpacked, NaN and infinity as null."""
    if hasattr(value, "tolist"):
        value = value.tolist()
    if isinstance(value, Mapping):
        return {str(name): _plain(item) for name, item in value.items()}
    if isinstance(value, list | tuple | set | frozenset):
        return [_plain(item) for item in value]
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    return value if value is None or isinstance(value, bool | int | str) else str(value)


def _flat(values: Mapping[str, Any], prefix: str = "") -> list[tuple[str, Any]]:
    rows: list[tuple[str, Any]] = []
    for name, value in values.items():
        if isinstance(value, Mapping):
            rows += _flat(value, f"{prefix}{name}.")
        else:
            rows.append((f"{prefix}{name}", value))
    return rows


def _short(value: Any) -> str:
    value = _plain(value)
    if isinstance(value, float):
        return f"{value:.4g}"
    if isinstance(value, list):
        return ", ".join(_short(item) for item in value)
    return "unknown" if value is None else str(value)
