"""The one place that knows how dolfinx 0.5.2 differs from 0.9 to 0.11. No other file asks for a version.

The rest of cosolve is written against the modern names; each function here takes the modern meaning and asks whether
the installed dolfinx has the modern name, never for a version number.
"""

from __future__ import annotations

import inspect
import logging
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import dolfinx
import dolfinx.fem
import dolfinx.fem.petsc
import dolfinx.geometry
import dolfinx.io
import dolfinx.mesh
import numpy as np
import numpy.typing as npt
import ufl


def _from_distutils(record: logging.LogRecord) -> bool:
    """Return whether a record may pass: not what distutils says of compiling a form that went well."""
    return record.levelno >= logging.WARNING or "distutils" not in record.pathname


# Debian's form compiler runs distutils, which opens the root logger: pages of compiler commands at a first run.
logging.getLogger().addFilter(_from_distutils)
logging.getLogger("compilers").setLevel(logging.WARNING)
logging.getLogger("compilers.C.base").setLevel(logging.WARNING)


def create_unit_square(comm: Any, nx: int, ny: int) -> Any:
    """Return the unit square of nx x ny squares, two triangles each (collective)."""
    return dolfinx.mesh.create_unit_square(comm, nx, ny)


def create_rectangle(comm: Any, corner: tuple[float, float], nx: int, ny: int) -> Any:
    """Return the rectangle from the origin to `corner`, of nx x ny quadrilaterals (collective)."""
    corners = [np.zeros(2), np.array(corner, dtype=np.float64)]
    return dolfinx.mesh.create_rectangle(comm, corners, [nx, ny], dolfinx.mesh.CellType.quadrilateral)


def create_triangles(comm: Any, nodes: npt.NDArray[np.float64], cells: npt.NDArray[np.int64]) -> Any:
    """Return a mesh of straight or curved triangles from the nodes and cells that this rank has (collective).

    The element of the coordinates was UFL's own before `basix.ufl` came with 0.6.

    Args:
        comm: An mpi4py communicator.
        nodes: Coordinates, shape `(n, 2)`.
        cells: Nodes of each triangle, numbered over all ranks: corners, or these and the middles opposite to them.
    """
    degree = 1 if cells.shape[1] == 3 else 2
    try:
        import basix.ufl
    except ImportError:
        domain = ufl.Mesh(ufl.VectorElement("Lagrange", ufl.Cell("triangle", geometric_dimension=2), degree))
    else:
        domain = ufl.Mesh(basix.ufl.element("Lagrange", "triangle", degree, shape=(2,)))
    # Named: 0.10 takes the element ahead of the coordinates; before 0.7 it was called the domain.
    names = inspect.signature(dolfinx.mesh.create_mesh).parameters
    return dolfinx.mesh.create_mesh(comm, cells, x=nodes, **{"e" if "e" in names else "domain": domain})


def function_space(mesh: Any, element: Any) -> Any:
    """Return a function space for an `(family, degree)` or basix/ufl element (collective).

    `functionspace` came with 0.7; before, the class itself was called.
    """
    if hasattr(dolfinx.fem, "functionspace"):
        return dolfinx.fem.functionspace(mesh, element)
    return dolfinx.fem.FunctionSpace(mesh, element)


def element(mesh: Any, family: str, degree: int, shape: tuple[int, ...] = ()) -> Any:
    """Return a finite element on the cells of `mesh`; `shape` as in `basix.ufl.element` (not collective).

    `basix.ufl` came with 0.6; before, elements were made by UFL itself.
    """
    try:
        import basix.ufl
    except ImportError:
        cell = mesh.ufl_cell()
        # UFL knows discontinuous elements on squares by another name, and says so in a warning.
        family = "DQ" if family == "DG" and cell.cellname() in ("quadrilateral", "hexahedron") else family
        if shape == ():
            return ufl.FiniteElement(family, cell, degree)
        if len(shape) == 1:
            return ufl.VectorElement(family, cell, degree, dim=shape[0])
        return ufl.TensorElement(family, cell, degree, shape=shape)
    return basix.ufl.element(family, mesh.basix_cell(), degree, shape=shape or None)


def mixed_element(elements: Sequence[Any]) -> Any:
    """Return the mixed element of `elements` (not collective)."""
    try:
        import basix.ufl
    except ImportError:
        return ufl.MixedElement(list(elements))
    return basix.ufl.mixed_element(list(elements))


def assemble_matrix(form: Any) -> Any:
    """Compile and assemble a bilinear UFL form without boundary conditions into a PETSc matrix (collective)."""
    matrix = dolfinx.fem.petsc.assemble_matrix(dolfinx.fem.form(form))
    matrix.assemble()
    return matrix


def cell_dofs(space: Any) -> npt.NDArray[np.int32]:
    """Return the local dofs of all cells of a (sub-)space, flat, in blocks of `space.dofmap.bs` (not collective).

    The dofmap's list was an adjacency list before 0.7.
    """
    dofs = space.dofmap.list
    return np.asarray(dofs.array if hasattr(dofs, "array") else dofs, dtype=np.int32).reshape(-1)


def degree_of(space: Any) -> int:
    """Return the degree of the element of a space (not collective)."""
    degree = space.ufl_element().degree
    return int(degree() if callable(degree) else degree)


def original_cells(mesh: Any) -> npt.NDArray[np.int64]:
    """Return for each owned cell its number in the input of the mesh, the same on any number of ranks (local)."""
    topology = mesh.topology
    numbers = topology.original_cell_index if hasattr(topology, "original_cell_index") else topology.original_indices
    return np.asarray(numbers, dtype=np.int64).reshape(-1)[: topology.index_map(topology.dim).size_local]


def oriented(space: Any) -> bool:
    """Return whether values at dofs depend on the numbering of vertices, as those of edge elements do."""
    element = space.element
    return bool(getattr(element, "_cpp_object", element).needs_dof_transformations)


def collapsed(space: Any, part: int) -> tuple[Any, npt.NDArray[np.int32]]:
    """Return field `part` of a mixed space as a space of its own, and for each of its dofs the dof of `space`.

    Since 0.11 the map is a list with one array for each cell type of the mesh; cosolve works on meshes of one type.
    """
    alone, parents = space.sub(part).collapse()
    return alone, np.asarray(parents, dtype=np.int32).reshape(-1)


def cell_geometry(mesh: Any) -> npt.NDArray[np.int32]:
    """Return the geometry nodes of each cell, shape `(n_cells, nodes per cell)`, ghosts included (not collective)."""
    nodes = mesh.geometry.dofmap
    if not hasattr(nodes, "array"):
        return np.asarray(nodes, dtype=np.int32)
    index_map = mesh.topology.index_map(mesh.topology.dim)
    cells = index_map.size_local + index_map.num_ghosts
    return np.asarray(nodes.array, dtype=np.int32).reshape(cells, -1)


def cells_at(mesh: Any, points: npt.NDArray[np.float64], padding: float) -> npt.NDArray[np.int32]:
    """Return for each point, shape `(n, 3)`, an owned local cell that holds it, or -1 (not collective).

    Args:
        mesh: The mesh.
        points: Coordinates, padded with zeros to three.
        padding: Enlargement of the boxes of the search tree, in the mesh's unit of length.
    """
    dim = mesh.topology.dim
    owned = np.arange(mesh.topology.index_map(dim).size_local, dtype=np.int32)
    found = np.full(len(points), -1, dtype=np.int32)
    if len(points) == 0 or len(owned) == 0:
        return found
    if hasattr(dolfinx.geometry, "bb_tree"):
        tree = dolfinx.geometry.bb_tree(mesh, dim, entities=owned, padding=padding)
        candidates = dolfinx.geometry.compute_collisions_points(tree, points)
    else:
        tree = dolfinx.geometry.BoundingBoxTree(mesh, dim, owned, padding)
        candidates = dolfinx.geometry.compute_collisions(tree, points)
    cells = dolfinx.geometry.compute_colliding_cells(mesh, candidates, points)
    offsets = np.asarray(cells.offsets)
    hit = offsets[1:] > offsets[:-1]
    found[hit] = np.asarray(cells.array)[offsets[:-1][hit]]
    return found


def eval_at(function: Any, points: npt.NDArray[np.float64], cells: npt.NDArray[np.int32]) -> npt.NDArray[np.float64]:
    """Return the values of `function` at points in known local cells, shape `(n, value size)` (not collective)."""
    if len(points) == 0:
        return np.zeros((0, 1))
    return np.asarray(function.eval(points, cells), dtype=np.float64).reshape(len(points), -1)


def field_series(comm: Any, path: Path, mesh: Any, functions: Sequence[Any]) -> tuple[Path, Any]:
    """Open a time series for ParaView: VTX where dolfinx has ADIOS2, else XDMF (collective).

    Args:
        comm: Communicator of the mesh.
        path: File name without a suffix.
        mesh: The mesh.
        functions: Lagrange functions of the mesh's own degree.

    Returns:
        The path that was opened and an object with `write(t)` and `close()`, both collective.
    """
    if hasattr(dolfinx.io, "VTXWriter"):
        target = path.with_suffix(".bp")
        return target, dolfinx.io.VTXWriter(comm, str(target), list(functions))
    target = path.with_suffix(".xdmf")
    return target, _XDMFSeries(comm, target, mesh, functions)


class _XDMFSeries:
    """The two methods of `VTXWriter` over an XDMF file."""

    def __init__(self, comm: Any, path: Path, mesh: Any, functions: Sequence[Any]) -> None:
        self._functions = list(functions)
        self._file = dolfinx.io.XDMFFile(comm, str(path), "w")
        self._file.write_mesh(mesh)

    def write(self, t: float) -> None:
        for function in self._functions:
            self._file.write_function(function, t)

    def close(self) -> None:
        self._file.close()
