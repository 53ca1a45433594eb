"""Fields for ParaView, with a field that says who computed each accepted value."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import dolfinx.fem
from cosolve.core.arrays import Array
from cosolve.core.errors import BadInputError, OutputError, unknown_name
from cosolve.core.sources import SOURCES, source_code
from cosolve.plugins.fenicsx import compat
from cosolve.plugins.fenicsx.assembly import FORWARD, INSERT, ghosted

__all__ = ["SOURCES", "FieldWriter", "source_code"]


class FieldWriter:
    """A time series of fields on a finite-element space: VTX where dolfinx has it, else XDMF (collective throughout).

    The fields of a mixed space become one function each (`name_0`, `name_1`, ...), written in degree one, the degree of
    the mesh, so that every format can hold them. `source` is written as a field that is constant in space, with the
    values of `SOURCES`.

    Args:
        path: File name; its suffix is chosen by the format.
        space: Space of the states.
        names: Names of the fields that each `write` gets.

    Attributes:
        path: The file that is written.

    Raises:
        OutputError: The file cannot be written.
    """

    def __init__(self, path: Path, space: Any, names: Sequence[str] = ("u",)) -> None:
        self.mesh, self.space = space.mesh, space
        self.names = list(names)
        self._n_owned = space.dofmap.index_map.size_local * space.dofmap.index_map_bs
        self._state = dolfinx.fem.Function(space)
        self._state_vector = ghosted(self._state)
        parts = space.num_sub_spaces if space.dofmap.index_map_bs == 1 else 0
        self._parts: list[int | None] = list(range(parts)) if parts > 1 else [None]
        width = space.dofmap.index_map_bs
        self._functions: dict[tuple[str, int | None], Any] = {}
        for name in self.names:
            for part in self._parts:
                part_width = width if part is None else compat.collapsed(space, part)[0].dofmap.index_map_bs
                self._functions[name, part] = self._function(name if part is None else f"{name}_{part}", part_width)
        self._source = self._function("source", 1)
        path.parent.mkdir(parents=True, exist_ok=True)
        try:
            self.path, self._series = compat.field_series(
                self.mesh.comm, path, self.mesh, [*self._functions.values(), self._source]
            )
        except RuntimeError as error:  # what dolfinx raises when a file cannot be opened
            raise OutputError(f"the fields {path} cannot be written: {error}; give another output folder") from error

    def _function(self, name: str, width: int) -> Any:
        shape = (width,) if width > 1 else ()
        function = dolfinx.fem.Function(
            compat.function_space(self.mesh, compat.element(self.mesh, "Lagrange", 1, shape))
        )
        function.name = name
        return function

    def write(self, t: float, fields: Mapping[str, Array], source: str = "") -> None:
        """Write the owned values of each field at time `t` (collective).

        Args:
            t: Time, in the problem's unit.
            fields: Owned values by name, each of shape `(n_owned,)`.
            source: Who computed them, as in `Outcome.source`; empty for the initial state.
        """
        for name in fields:
            if name not in self.names:
                raise BadInputError(unknown_name("field", name, self.names))
        for name, values in fields.items():
            self._state.x.array[: self._n_owned] = values
            self._state_vector.ghostUpdate(addv=INSERT, mode=FORWARD)
            for part in self._parts:
                piece = self._state if part is None else self._state.sub(part).collapse()
                self._functions[name, part].interpolate(piece)
        self._source.x.array[:] = source_code(source)
        self._series.write(t)

    def close(self) -> None:
        """Close the file (collective). Idempotent."""
        if self._series is not None:
            self._series.close()
            self._series = None
            self._state_vector.destroy()

    def __enter__(self) -> FieldWriter:
        return self

    def __exit__(self, *exc_info: object) -> None:
        self.close()
