"""Finite-element interpolation between meshes that share no cells, over MPI."""

from __future__ import annotations

from typing import Any

import dolfinx.fem
import numpy as np
import numpy.typing as npt
from cosolve.core.arrays import Array
from cosolve.core.errors import BadInputError
from cosolve.plugins.fenicsx import compat
from cosolve.plugins.fenicsx.assembly import FORWARD, INSERT, ghosted


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
    return PointSearch(source.function_space.mesh, points, padding=padding).values(source)


class PointSearch:
    """Knows in which cells of a mesh some points lie, so that functions can be evaluated there again and again.

    Args:
        mesh: The mesh of the functions.
        points: This rank's points, shape `(n, 3)`; may be empty.
        padding: Enlargement of the boxes of the point search. The constructor is collective.
    """

    def __init__(self, mesh: Any, points: npt.NDArray[np.float64], *, padding: float = 1e-10) -> None:
        self._comm, self._points = mesh.comm, points
        self._found: list[tuple[Any, Any, Any]] = []
        for others in self._comm.allgather(points):
            cells = compat.cells_at(mesh, others, padding)
            here = cells >= 0
            self._found.append((np.flatnonzero(here), others[here], cells[here]))

    def weights(self, space: Any) -> list[Any]:
        """Return the matrices of interpolation for the points of each rank that lie in cells of this one (collective).

        A discontinuous space of the same degree has the same functions in each cell, and there each of them belongs to
        that cell alone: one evaluation tells one function of every cell.

        Args:
            space: Lagrange space, scalar or with components.

        Returns:
            Sparse matrices of shape `(points, nodes of this rank with ghosts)`, in the order of the ranks.
        """
        # Imported here: single evaluations need none of it.
        from scipy.sparse import csr_matrix

        topology = space.mesh.topology
        local = topology.index_map(topology.dim)
        count, width = local.size_local + local.num_ghosts, space.dofmap.index_map_bs
        nodes = compat.cell_dofs(space).reshape(count, -1)
        element = compat.element(space.mesh, "DG", compat.degree_of(space), (width,) if width > 1 else ())
        alone = compat.function_space(space.mesh, element)
        one = dolfinx.fem.Function(alone)
        own, size = compat.cell_dofs(alone).reshape(count, -1), len(space.tabulate_dof_coordinates())
        shares: list[list[Array]] = [[] for _ in self._found]
        for k in range(nodes.shape[1]):
            one.x.array[:] = 0.0
            one.x.array.reshape(-1, width)[own[:, k]] = 1.0
            for rank, (_, places, cells) in enumerate(self._found):
                shares[rank].append(compat.eval_at(one, places, cells)[:, 0])
        found = []
        for (_, _, cells), columns in zip(self._found, shares, strict=True):
            values, places = np.stack(columns, axis=1), nodes[cells]
            starts = np.arange(0, values.size + 1, values.shape[1])
            found.append(csr_matrix((values.reshape(-1), places.reshape(-1), starts), shape=(len(cells), size)))
        return found

    def values(self, source: Any, weights: list[Any] | None = None) -> Array:
        """Return `source` at the points, shape `(n, components)` (collective).

        Args:
            source: Lagrange function.
            weights: What `weights` returned for its space: many times faster than an evaluation.
        """
        if weights is None:
            answers = [(rows, compat.eval_at(source, places, cells)) for rows, places, cells in self._found]
        else:
            nodal = source.x.array.reshape(-1, source.function_space.dofmap.index_map_bs)
            answers = [(found[0], matrix @ nodal) for found, matrix in zip(self._found, weights, strict=True)]
        values = np.full((len(self._points), source.function_space.dofmap.index_map_bs), np.nan)
        # One rank keeps its answers: no object is packed and unpacked in each solve.
        for rows, found in answers if self._comm.size == 1 else self._comm.alltoall(answers):
            if len(rows):
                values[rows] = found
        missing = np.flatnonzero(np.isnan(values).any(axis=1))
        if self._comm.allreduce(len(missing)) > 0:
            values[missing] = _nearest(source, self._points[missing])
        return values


class Prolongation:
    """Finite-element interpolation of owned values from one space to another, as a sparse matrix on each rank.

    Args:
        source: Lagrange space of the values, scalar or with components.
        target: Lagrange space of the same components, on another mesh. The constructor is collective.
    """

    def __init__(self, source: Any, target: Any) -> None:
        self._function = dolfinx.fem.Function(source)
        self._owned = source.dofmap.index_map.size_local * source.dofmap.index_map_bs
        places = np.asarray(target.tabulate_dof_coordinates(), dtype=np.float64)
        self._search = PointSearch(source.mesh, places[: target.dofmap.index_map.size_local])
        self._vector = ghosted(self._function)
        self._weights = self._search.weights(source)

    def __call__(self, values: Array) -> Array:
        """Return the owned values on the target of a function that has these owned values (collective)."""
        self._function.x.array[: self._owned] = values
        self._vector.ghostUpdate(addv=INSERT, mode=FORWARD)
        return self._search.values(self._function, self._weights).reshape(-1)

    def close(self) -> None:
        """Destroy the PETSc vector (collective)."""
        self._vector.destroy()


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
