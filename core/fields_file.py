"""`fields.npz`: the final fields of a run as plain arrays on points of the plane, for reports and plots.

One file for each run, written by rank 0, read without pickle. It is neutral: a grid, a finite-element mesh and a cloud
of points all come down to points, optional triangles and named values.

* `x`, shape `(n, 2)`: coordinates of the points;
* `triangles`, shape `(m, 3)`: indices of points; absent for a cloud, whose triangulation the reader makes;
* `value:NAME`, shape `(n,)`: one named field;
* `about`: JSON text: for each name its label, unit, role (`state`, `reference`, `error` or `source`) and categories.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

import numpy as np
import numpy.typing as npt
from cosolve.core.arrays import Array
from cosolve.core.errors import BadInputError, OutputError

FILE_NAME = "fields.npz"
FieldRole = Literal["state", "reference", "error", "source"]
_ROLES: tuple[FieldRole, ...] = ("state", "reference", "error", "source")


@dataclass(frozen=True, slots=True)
class PlaneField:
    """One named field at the points of a `PlaneFields`.

    Attributes:
        values: Shape `(n,)`; for the role `source` the index into `categories`.
        label: What a plot's title says.
        unit: Unit, empty for a pure number.
        role: What the values are: the run's state, a reference, an error, or who computed each value.
        categories: Names of the sources, in the order of their indices.
    """

    values: Array
    label: str = ""
    unit: str = ""
    role: FieldRole = "state"
    categories: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class PlaneFields:
    """Points of the plane with named fields.

    Attributes:
        x: Coordinates, shape `(n, 2)`.
        fields: By name, in the order in which a report shows them.
        triangles: Indices of points, shape `(m, 3)`; None for a cloud.
    """

    x: Array
    fields: Mapping[str, PlaneField] = field(default_factory=dict)
    triangles: npt.NDArray[np.integer[Any]] | None = None


def grid_points(
    shape: tuple[int, int], size: tuple[float, float] = (1.0, 1.0)
) -> tuple[Array, npt.NDArray[np.integer[Any]]]:
    """Return points, shape `(n0 * n1, 2)`, and triangles of a uniform grid whose values ravel in C order.

    >>> x, triangles = grid_points((2, 2))
    >>> x.tolist(), triangles.shape
    ([[0.0, 0.0], [0.0, 1.0], [1.0, 0.0], [1.0, 1.0]], (2, 3))
    """
    n0, n1 = shape
    first, second = np.meshgrid(np.linspace(0.0, size[0], n0), np.linspace(0.0, size[1], n1), indexing="ij")
    index = np.arange(n0 * n1).reshape(n0, n1)
    a, b, c, d = index[:-1, :-1].ravel(), index[1:, :-1].ravel(), index[1:, 1:].ravel(), index[:-1, 1:].ravel()
    triangles = np.concatenate([np.stack([a, b, c], axis=1), np.stack([a, c, d], axis=1)])
    return np.stack([first.ravel(), second.ravel()], axis=1), triangles


def write_plane_fields(directory: Path, content: PlaneFields) -> Path:
    """Write `fields.npz` (not collective: call it on rank 0 with gathered values).

    Returns:
        The path.

    Raises:
        OutputError: The file cannot be written.
        BadInputError: A field has another number of values than there are points.
    """
    arrays: dict[str, Any] = {"x": np.asarray(content.x, dtype=np.float64)}
    about: dict[str, Any] = {}
    if content.triangles is not None:
        arrays["triangles"] = np.asarray(content.triangles, dtype=np.int32)
    for name, item in content.fields.items():
        values = np.asarray(item.values, dtype=np.float32)
        if values.shape != (len(content.x),):
            raise BadInputError(
                f"field {name!r} of {FILE_NAME} has shape {values.shape}, expected ({len(content.x)},): one value for "
                "each point. Interpolate it to the points first."
            )
        arrays[f"value:{name}"] = values
        about[name] = {
            "label": item.label or name,
            "unit": item.unit,
            "role": item.role,
            "categories": list(item.categories),
        }
    arrays["about"] = np.array(json.dumps(about))
    path = directory / FILE_NAME
    try:
        # Through an open file: numpy would add its own suffix to a name that lacks it.
        with path.open("wb") as stream:
            np.savez_compressed(stream, **arrays)
    except OSError as error:
        raise OutputError(
            f"{path} cannot be written: {error.strerror or error}. Choose a writable folder under `[output] directory`."
        ) from error
    return path


def read_plane_fields(directory: Path) -> PlaneFields | None:
    """Read `fields.npz`; None where the run wrote none.

    Raises:
        BadInputError: The file is damaged, or is not of this format.
    """
    path = directory / FILE_NAME
    if not path.is_file():
        return None
    try:
        with np.load(path, allow_pickle=False) as data:
            arrays = {name: data[name] for name in data.files}
        about = json.loads(str(arrays["about"]))
        x = arrays["x"]
        fields = {
            name: PlaneField(
                values=arrays[f"value:{name}"],
                label=str(item["label"]),
                unit=str(item["unit"]),
                role=item["role"] if item["role"] in _ROLES else "state",
                categories=tuple(str(word) for word in item["categories"]),
            )
            for name, item in about.items()
        }
    except Exception as error:  # zip, JSON, keys: whatever is wrong with the file is one fault of the file
        raise BadInputError(
            f"{path} is not a readable {FILE_NAME}: {type(error).__name__}: {error}. Expected the arrays `x`, "
            "`value:NAME` and `about`. Run the case again to write it anew."
        ) from error
    triangles = arrays.get("triangles")
    bad_triangles = triangles is not None and (
        triangles.ndim != 2
        or triangles.shape[1] != 3
        or (triangles.size > 0 and (triangles.min() < 0 or triangles.max() >= len(x)))
    )
    if x.ndim != 2 or x.shape[1] != 2 or bad_triangles or any(f.values.shape != (len(x),) for f in fields.values()):
        raise BadInputError(
            f"{path} has arrays that do not belong together: x {x.shape}, values "
            f"{ {name: item.values.shape for name, item in fields.items()} }. Expected one value for each row of x."
        )
    return PlaneFields(x=x, fields=fields, triangles=triangles)
