"""The blocks in which a residual is measured: the fields of a mixed space, and the boundary conditions."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
from cosolve.core.arrays import Array
from cosolve.core.communicator import Communicator
from cosolve.core.errors import BadInputError
from cosolve.plugins.fenicsx import compat

BOUNDARY = "boundary"
"""Name of the block of constrained dofs, whose residual is the state minus the boundary value."""


class Blocks:
    """Which owned dof belongs to which block.

    A field of a mixed space has its own unit, so one norm over all of them would let the largest hide the others. The
    rows of boundary conditions hold `x - g`, a state and no residual, so they are a block of their own.

    Attributes:
        names: Names of the blocks; `"residual"` for a single field, else the names given or `"0"`, `"1"`, ...
        sizes: Number of dofs of each block over all ranks, shape `(n_blocks,)`.
    """

    def __init__(self, space: Any, bcs: Sequence[Any], comm: Communicator, names: Sequence[str] | None = None) -> None:
        index_map, size = space.dofmap.index_map, space.dofmap.index_map_bs
        n_owned = index_map.size_local * size
        self.comm = comm
        self.block_of: npt.NDArray[np.intp] = np.zeros(n_owned, dtype=np.intp)
        # A blocked (vector-valued) element is one field with one unit; only a mixed element has several.
        parts = space.num_sub_spaces if size == 1 else 0
        if parts > 1:
            for part in range(parts):
                sub = space.sub(part)
                dofs = compat.cell_dofs(sub)
                width = sub.dofmap.bs
                dofs = (dofs[:, None] * width + np.arange(width)).reshape(-1) if width > 1 else dofs
                self.block_of[dofs[dofs < n_owned]] = part
        fields = [str(part) for part in range(parts)] if parts > 1 else ["residual"]
        if names is not None and len(names) != len(fields):
            raise BadInputError(f"block_names has {len(names)} names, but the space has {len(fields)} fields")
        self.names: list[str] = list(names) if names is not None else fields
        self.n_fields = len(self.names)
        self.constrained = constrained_dofs(bcs, n_owned)
        fixed = np.bincount(self.block_of[self.constrained], minlength=self.n_fields).astype(np.float64)
        if len(bcs) > 0:
            self.names.append(BOUNDARY)
            self.block_of[self.constrained] = self.n_fields
        self._single, self._alone = len(self.names) == 1, comm.Get_size() == 1
        self._dofs = [np.flatnonzero(self.block_of == block) for block in range(len(self.names))]
        self.sizes = self.sums(np.ones(n_owned))
        self._fixed = np.zeros_like(fixed)
        comm.Allreduce(fixed, self._fixed)

    def sums(self, values: Array) -> Array:
        """Return the sum of `values`, shape `(n_owned,)`, over each block and all ranks (collective)."""
        if self._single:
            local = np.array([np.sum(values)])
        else:
            # On a rank without dofs numpy counts in integers, whatever the weights are.
            local = np.bincount(self.block_of, weights=values, minlength=len(self.names)).astype(np.float64)
        total = np.zeros_like(local)
        self.comm.Allreduce(local, total)
        return total

    def norms(self, vector: Array) -> Array:
        """Return the Euclidean norm of each block, shape `(n_blocks,)`; NaN anywhere stays NaN (collective)."""
        # Asked in each iteration: a dot product of gathered values takes half the time of weighted counts.
        parts = [vector] if self._single else [vector[dofs] for dofs in self._dofs]
        local = np.array([np.dot(part, part) for part in parts])
        if self._alone:
            return np.asarray(np.sqrt(local))
        total = np.zeros_like(local)
        self.comm.Allreduce(local, total)
        return np.asarray(np.sqrt(total))

    def constrained_size(self, norms: Array) -> float:
        """Return the root mean square that a constrained field has where it is free (not collective).

        Args:
            norms: Norms of the state's blocks, as `norms` returns them.

        Returns:
            That of the smallest of the constrained fields that is not zero; 0 where all of them are.
        """
        free = norms[: self.n_fields] / np.sqrt(np.maximum(self.sizes[: self.n_fields], 1.0))
        found = free[(self._fixed > 0.0) & (free > 0.0)]
        return float(found.min()) if len(found) else 0.0


def constrained_dofs(bcs: Sequence[Any], n_owned: int) -> npt.NDArray[np.int32]:
    """Return the owned dofs that Dirichlet conditions fix, sorted (not collective)."""
    found = [np.asarray(bc.dof_indices()[0], dtype=np.int32) for bc in bcs]
    dofs = np.unique(np.concatenate(found)) if found else np.zeros(0, dtype=np.int32)
    return np.asarray(dofs[dofs < n_owned], dtype=np.int32)


def dof_coordinates(space: Any) -> Array:
    """Return where the owned dofs of `space` live (not collective).

    Returns:
        Shape `(n_owned, d)` with the mesh's geometric dimension; for several fields or components one more column holds
        the number of the field (of a mixed space) or of the component (of a blocked one), each counted on its own.
    """
    dim = space.mesh.geometry.dim
    size = space.dofmap.index_map_bs
    n_owned = space.dofmap.index_map.size_local * size
    if size > 1:
        points = np.repeat(space.tabulate_dof_coordinates()[: n_owned // size, :dim], size, axis=0)
        return np.column_stack([points, np.tile(np.arange(size, dtype=np.float64), n_owned // size)])
    if space.num_sub_spaces == 0:
        return np.asarray(space.tabulate_dof_coordinates()[:n_owned, :dim])
    found = np.zeros((n_owned, dim + 1))
    label = 0
    for part in range(space.num_sub_spaces):
        alone, dofs = compat.collapsed(space, part)
        width = alone.dofmap.index_map_bs
        points = np.repeat(alone.tabulate_dof_coordinates()[:, :dim], width, axis=0)
        components = np.tile(np.arange(width), len(points) // width)
        owned = dofs < n_owned
        found[dofs[owned], :dim] = points[: len(dofs)][owned]
        found[dofs[owned], dim] = label + components[: len(dofs)][owned]
        label += width
    return found


def canonical_keys(space: Any) -> Array | None:
    """Return a key for each owned dof that does not depend on the partition (not collective).

    Its place, its field or component, and for a dof inside a cell the number of that cell in the mesh's input: dofs of
    discontinuous elements share places.

    Returns:
        Shape `(n_owned, k)`; None for elements without places, or whose values depend on the orientation of edges.
    """
    alone = [compat.collapsed(space, part) for part in range(space.num_sub_spaces)] if _is_mixed(space) else []
    if any(compat.oriented(part) for part in ([part for part, _ in alone] or [space])):
        return None
    try:
        places = dof_coordinates(space)
    except RuntimeError:  # dolfinx: the element has no points of evaluation
        return None
    cells = np.full(len(places), -1.0)
    itself = np.arange(len(places), dtype=np.int32)
    for part, parents in alone or [(space, itself)]:
        dofs, numbers = _inner_dofs(part)
        dofs = parents[dofs]
        owned = dofs < len(places)
        cells[dofs[owned]] = numbers[owned]
    return np.column_stack([places, cells])


def _is_mixed(space: Any) -> bool:
    return bool(space.dofmap.index_map_bs == 1 and space.num_sub_spaces > 0)


def _inner_dofs(space: Any) -> tuple[npt.NDArray[np.int32], npt.NDArray[np.int64]]:
    """Return the dofs inside the owned cells, and for each the number of its cell in the mesh's input."""
    topology, layout, width = space.mesh.topology, space.dofmap.dof_layout, space.dofmap.index_map_bs
    cells = compat.original_cells(space.mesh)
    inner = np.asarray(layout.entity_dofs(topology.dim, 0), dtype=np.intp)
    dofs = compat.cell_dofs(space).reshape(-1, layout.num_dofs)[: len(cells), inner]
    numbers = np.repeat(cells, len(inner) * width)
    return (dofs.reshape(-1, 1) * width + np.arange(width, dtype=np.int32)).reshape(-1).astype(np.int32), numbers
