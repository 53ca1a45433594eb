"""Writes what a run ends with: fields for ParaView by the problem, and plain arrays for the report."""

from __future__ import annotations

import logging
from pathlib import Path

import numpy as np
from cosolve.core.arrays import Array
from cosolve.core.communicator import Communicator
from cosolve.core.fields_file import FieldRole, PlaneField, PlaneFields, write_plane_fields
from cosolve.core.problem import Problem
from cosolve.core.result import Result
from cosolve.core.solver import Solver

logger = logging.getLogger(__name__)

VALUE = "value"
SOURCE = "source"


def with_source(result: Result, last_source: str) -> tuple[dict[str, Array], tuple[str, ...]]:
    """Return all fields of a result with `source`, and the names behind its indices.

    Args:
        result: The result; where it brings no field `source`, all of the state has that of the last transaction.
        last_source: Who computed the last committed state; empty before the first commit.
    """
    fields = {VALUE: result.value, **result.fields}
    if SOURCE in fields:
        return fields, result.sources
    sources = tuple(dict.fromkeys(["initial state", "solver", *result.stats.get("sources", {})]))
    index = sources.index(last_source) if last_source in sources else 0
    fields[SOURCE] = np.full_like(result.value, float(index))
    return fields, sources


def write_fields(
    problem: Problem, solver: Solver, comm: Communicator, directory: Path, result: Result, last_source: str
) -> list[Path]:
    """Write the fields of a result for ParaView and for the report (collective).

    Args:
        problem: Writes fields by its library.
        solver: Says where its values live.
        comm: The communicator of the run.
        directory: The output folder.
        result: What to write.
        last_source: Who computed the last committed state.

    Returns:
        The paths that were written.

    Raises:
        OutputError: A file cannot be written; on every rank where the library says so.
    """
    fields, sources = with_source(result, last_source)
    paths = list(problem.write_fields(solver, directory, fields))
    legend = directory / "sources.txt"
    if comm.Get_rank() == 0:
        lines = [f"{index} {name}" for index, name in enumerate(sources)]
        legend.write_text("\n".join(lines) + "\n", encoding="utf-8")
    plane = _gathered(solver, comm, fields, sources)
    if plane is not None and not (directory / "fields.npz").exists():
        paths.append(write_plane_fields(directory, plane))
    return paths


def _gathered(
    solver: Solver, comm: Communicator, fields: dict[str, Array], sources: tuple[str, ...]
) -> PlaneFields | None:
    """Return the fields on points of the plane, on rank 0 alone; None elsewhere, and where there is no such plane."""
    try:
        x: Array | None = solver.coordinates()
    except NotImplementedError:
        x = None
    parts = comm.gather((x, fields), root=0)
    if comm.Get_rank() != 0 or any(part is None or part.ndim != 2 for part, _ in parts):
        return None
    points = np.concatenate([part for part, _ in parts])
    first = np.ones(len(points), dtype=bool)
    if points.shape[1] == 3:
        # The third column of a mixed space is the index of the field: the report shows the first one.
        first = points[:, 2] == points[:, 2].min()
    elif points.shape[1] != 2:
        return None
    shown = {}
    for name in fields:
        values = np.concatenate([owned[name] for _, owned in parts])
        role: FieldRole = "source" if name == SOURCE else "error" if name.startswith("error") else "state"
        shown[name] = PlaneField(values[first], role=role, categories=sources if name == SOURCE else ())
    return PlaneFields(points[first, :2], shown)
