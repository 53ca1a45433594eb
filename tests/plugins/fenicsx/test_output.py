from __future__ import annotations

import xml.etree.ElementTree as ElementTree
from pathlib import Path

import numpy as np
import pytest
from cosolve.core.errors import BadInputError
from cosolve.plugins.fenicsx import FieldWriter, compat
from cosolve.plugins.fenicsx.output import SOURCES, source_code
from dolfinx import fem
from mpi4py import MPI
from petsc4py import PETSc


def read(path: Path, name: str, step: int) -> np.ndarray:
    """Read one field back from the HDF5 file that the XDMF file names."""
    grids = ElementTree.parse(path).getroot().findall(f".//Grid[@Name='{name}']/Grid")
    item = grids[step].find("./Attribute/DataItem")
    file, dataset = item.text.strip().split(":")
    rows, columns = (int(n) for n in item.get("Dimensions").split())
    viewer = PETSc.Viewer().createHDF5(str(path.parent / file), "r", comm=MPI.COMM_SELF)
    vector = PETSc.Vec().createSeq(rows * columns, bsize=columns, comm=MPI.COMM_SELF)
    vector.setName(dataset)
    vector.load(viewer)
    values = vector.array.copy().reshape(rows, columns)
    viewer.destroy()
    vector.destroy()
    return values


def times(path: Path, name: str) -> list[float]:
    grids = ElementTree.parse(path).getroot().findall(f".//Grid[@Name='{name}']/Grid")
    return [float(grid.find("Time").get("Value")) for grid in grids]


def test_fields_and_their_source_are_read_back(tmp_path: Path) -> None:
    domain = compat.create_unit_square(MPI.COMM_SELF, 3, 3)
    space = compat.function_space(domain, ("Lagrange", 1))
    u = fem.Function(space)
    with FieldWriter(tmp_path / "fields", space, ["u"]) as writer:
        for t, source in ((0.0, ""), (0.5, "pod_mlp"), (1.0, "solver")):
            u.interpolate(lambda x, t=t: x[0] + t)
            writer.write(t, {"u": u.x.array}, source)
    if writer.path.suffix != ".xdmf":
        pytest.skip("this dolfinx writes VTX; its files need ADIOS2 to be read")
    assert times(writer.path, "u") == [0.0, 0.5, 1.0]
    for step, source in enumerate(("", "pod_mlp", "solver")):
        assert np.allclose(read(writer.path, "source", step), source_code(source), rtol=0.0, atol=1e-12)
        values = read(writer.path, "u", step)
        assert values.min() == pytest.approx(0.5 * step)
        assert values.max() == pytest.approx(1.0 + 0.5 * step)


def test_mixed_fields_are_written_one_by_one(tmp_path: Path) -> None:
    domain = compat.create_unit_square(MPI.COMM_SELF, 3, 3)
    mixed = compat.mixed_element([compat.element(domain, "Lagrange", 2, (2,)), compat.element(domain, "Lagrange", 1)])
    space = compat.function_space(domain, mixed)
    w = fem.Function(space)
    w.sub(0).interpolate(lambda x: np.stack([x[0], x[1]]))
    w.sub(1).interpolate(lambda x: 4.0 + 0.0 * x[0])
    with FieldWriter(tmp_path / "sub" / "flow", space, ["w"]) as writer:
        writer.write(0.0, {"w": w.x.array}, "solver")
        with pytest.raises(BadInputError, match="unknown field 'v'"):
            writer.write(0.0, {"v": w.x.array})
    if writer.path.suffix == ".xdmf":
        assert np.allclose(read(writer.path, "w_1", 0), 4.0)
        velocity = read(writer.path, "w_0", 0)
        assert velocity[:, :2].max() == pytest.approx(1.0)


def test_every_kind_of_source_has_its_number() -> None:
    names = ("", "solver", "solver/4", "fno", "fno+correct", "fno+solve")
    assert [source_code(name) for name in names] == [0, 1, 1, 2, 3, 4]
    assert sorted(SOURCES.values()) == [0, 1, 2, 3, 4]
