"""Writes the fields of a run: for ParaView by the problem's library, and plain arrays for the report."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
from cosolve.core.arrays import Array
from cosolve.core.communicator import Communicator
from cosolve.core.errors import BadInputError, OutputError
from cosolve.core.fields_file import FILE_NAME, FieldRole, PlaneField, PlaneFields, write_plane_fields
from cosolve.core.problem import FieldSeries, Problem
from cosolve.core.result import Result
from cosolve.core.solver import Solver
from cosolve.core.sources import SOURCES, source_code

_SNAPSHOTS = 50
_SOURCE = "source"


class FieldOutput:
    """Writes a time series while a run goes on, and its end; all methods are collective.

    Args:
        problem: Opens the series by its library.
        solver: Says where its values live.
        comm: The communicator of the run.
        directory: The output folder.
        every: Transactions between two snapshots; None for about fifty in a run of the problem's own step.
        resumed: Whether an earlier part of the run left fields, which are kept.
    """

    def __init__(
        self,
        problem: Problem,
        solver: Solver,
        comm: Communicator,
        directory: Path,
        *,
        every: int | None = None,
        resumed: bool = False,
    ) -> None:
        self._problem, self._solver, self._comm, self._directory = problem, solver, comm, directory
        self._folder = directory / "resumed" if resumed else directory
        if every is None:
            start, end, step = problem.time_span
            every = math.ceil((end - start) / step / _SNAPSHOTS) if step > 0.0 else 1
        self._every = max(1, every)
        self._count = 0
        self._written = math.nan
        self._series: FieldSeries | None = problem.open_fields(solver, self._folder)

    def commit(self, t: float, value: Array, source: str) -> None:
        """Write a committed state where it is due.

        Raises:
            OutputError: The file cannot be written any more.
        """
        self._count += 1
        if self._count % self._every == 0:
            self._write(t, value, source)

    def finish(self, result: Result, last_source: str) -> list[Path]:
        """Write the end of the run and close the series.

        Args:
            result: The result; it may bring further fields, `source` among them.
            last_source: Who computed the last committed state.

        Returns:
            The paths that were written.
        """
        fields, sources = _fields_of(result, last_source)
        if self._series is not None:
            if not math.isclose(self._written, result.t):
                self._write(result.t, result.value, last_source)
            paths = [self._series.path]
            self.close()
        else:
            paths = list(self._problem.write_fields(self._solver, self._folder, fields))
        if (self._directory / FILE_NAME) in paths:
            return paths
        plane = _gathered(self._solver, self._comm, fields, sources)
        if plane is not None:
            paths.append(write_plane_fields(self._directory, plane))
        return paths

    def close(self) -> None:
        """Close the series. Idempotent."""
        if self._series is not None:
            self._series.close()
            self._series = None

    def _write(self, t: float, value: Array, source: str) -> None:
        if self._series is not None:
            try:
                self._series.write(t, {self._series.names[0]: value}, source)
            except OSError as error:
                raise OutputError(
                    f"the fields in {self._folder} cannot be written at t = {t:.6g}: {error.strerror or error}; "
                    "free the space, or leave them out by --set output.fields=false"
                ) from error
            self._written = t


def _fields_of(result: Result, last_source: str) -> tuple[dict[str, Array], tuple[str, ...]]:
    """Return all fields of a result with `source`, and the names behind its numbers.

    A result that names fields of its own is shown by these, another one by its plain value. Where the result brings no
    field `source`, all of the state has the source of the last transaction.
    """
    named = any(name != _SOURCE for name in result.fields)
    fields: dict[str, Array] = dict(result.fields) if named else {"value": result.value, **result.fields}
    if _SOURCE in fields:
        if not result.sources:
            raise BadInputError("a result with the field 'source' needs the names behind its numbers in `sources`")
        return fields, result.sources
    fields[_SOURCE] = np.full_like(result.value, float(source_code(last_source)))
    return fields, tuple(SOURCES)


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
        if not np.array_equal(points[:, 2], np.rint(points[:, 2])):
            return None  # it is a third coordinate
        first = points[:, 2] == points[:, 2].min()
    elif points.shape[1] != 2:
        return None
    shown = {}
    for name in fields:
        values = np.concatenate([owned[name] for _, owned in parts])
        role: FieldRole = "source" if name == _SOURCE else "error" if name.startswith("error") else "state"
        shown[name] = PlaneField(values[first], role=role, categories=sources if name == _SOURCE else ())
    return PlaneFields(points[first, :2], shown)
