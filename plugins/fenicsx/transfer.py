"""Finite-element interpolation between meshes that share no cells, over MPI."""

from __future__ import annotations

from typing import Any

import dolfinx.fem
import numpy as np
import numpy.typing as npt
from cosolve.core.arrays import Array
from cosolve.core.errors import BadInputError
from cosolve.plugins.fenicsx import compat


def interpolate(source: Any, space: Any, *, padding: float = 1e-10) -> Any:
    """Return the function of `space` that has the values of `source` at its dofs (collective on both meshes).

    Both meshes cover the same domain and live on communicators of the same ranks, but may differ in cells and in how
    they are split over ranks. A polynomial of a degree that both spaces hold is reproduced to rounding. A dof outside
    every cell of `source` (a curved boundary meshed twice) gets the value of the nearest dof point of `source`.

    Args:
        source: Lagrange function, scalar or with components.
        space: Lagrange space of the same components, on another mesh.
        padding: Enlargement of the boxes of the point search, in the mesh's unit of length.

    Raises:
        BadInputError: The spaces have different numbers of components, or are mixed.
    """
    size, width = space.dofmap.index_map_bs, source.function_space.dofmap.index_map_bs
    if size != width or (size == 1 and (space.num_sub_spaces > 1 or source.function_space.num_sub_spaces > 1)):
        raise BadInputError(
            f"interpolate needs Lagrange spaces with the same components, found {width} and {size}; "
            "collapse the fields of a mixed space and interpolate each"
        )
    target = dolfinx.fem.Function(space)
    points = np.asarray(space.tabulate_dof_coordinates(), dtype=np.float64)
    values = evaluate(source, points, padding=padding)
    target.x.array[: values.size] = values.reshape(-1)
    return target


def evaluate(source: Any, points: npt.NDArray[np.float64], *, padding: float = 1e-10) -> Array:
    """Return `source` at points that each rank chooses for itself (collective).

    Args:
        source: Lagrange function.
        points: This rank's points, shape `(n, 3)`; may be empty.
        padding: Enlargement of the boxes of the point search.

    Returns:
        Values, shape `(n, components)`.
    """
    mesh = source.function_space.mesh
    comm = mesh.comm
    asked = comm.allgather(points)
    answers = []
    for others in asked:
        cells = compat.cells_at(mesh, others, padding)
        here = cells >= 0
        answers.append((np.flatnonzero(here), compat.eval_at(source, others[here], cells[here])))
    width = source.function_space.dofmap.index_map_bs
    values = np.full((len(points), width), np.nan)
    for rows, found in comm.alltoall(answers):
        if len(rows):
            values[rows] = found
    missing = np.flatnonzero(np.isnan(values).any(axis=1))
    if comm.allreduce(len(missing)) > 0:
        values[missing] = _nearest(source, points[missing])
    return values


def _nearest(source: Any, points: npt.NDArray[np.float64]) -> Array:
    """Return the values at the nearest dof points of the whole source (collective)."""
    space = source.function_space
    width, owned = space.dofmap.index_map_bs, space.dofmap.index_map.size_local
    comm = space.mesh.comm
    places = np.concatenate(comm.allgather(np.asarray(space.tabulate_dof_coordinates()[:owned])))
    values = np.concatenate(comm.allgather(source.x.array[: owned * width].reshape(-1, width)))
    # Imported here: only curved boundaries come this way.
    from scipy.spatial import cKDTree

    if len(points) == 0:
        return np.zeros((0, width))
    return np.asarray(values[cKDTree(places).query(points)[1]])
