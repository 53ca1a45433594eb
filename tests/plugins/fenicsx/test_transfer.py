from __future__ import annotations

import numpy as np
import pytest
from cosolve.core.errors import BadInputError
from cosolve.plugins.fenicsx import compat, interpolate
from cosolve.plugins.fenicsx.transfer import Prolongation, evaluate
from dolfinx import fem, mesh
from mpi4py import MPI


def spaces(degree: int, shape: tuple[int, ...] = ()) -> tuple[object, object]:
    coarse = compat.create_unit_square(MPI.COMM_WORLD, 5, 7)
    fine = compat.create_unit_square(MPI.COMM_WORLD, 11, 4)
    return tuple(
        compat.function_space(domain, compat.element(domain, "Lagrange", degree, shape)) for domain in (coarse, fine)
    )


@pytest.mark.mpi
@pytest.mark.parametrize("degree", [1, 2])
def test_polynomials_of_the_elements_are_carried_over_exactly(degree: int) -> None:
    source_space, target_space = spaces(degree)
    source, expected = fem.Function(source_space), fem.Function(target_space)
    for function in (source, expected):
        function.interpolate(lambda x: (1.0 + x[0] - 2.0 * x[1]) ** degree)
    assert np.allclose(interpolate(source, target_space).x.array, expected.x.array, atol=1e-12)


@pytest.mark.mpi
def test_components_are_carried_over() -> None:
    source_space, target_space = spaces(1, (2,))
    source, expected = fem.Function(source_space), fem.Function(target_space)
    for function in (source, expected):
        function.interpolate(lambda x: np.stack([x[0], 3.0 - x[1]]))
    assert np.allclose(interpolate(source, target_space).x.array, expected.x.array, atol=1e-12)


def test_points_outside_every_cell_get_the_nearest_value() -> None:
    source_space, _ = spaces(1)
    source = fem.Function(source_space)
    source.interpolate(lambda x: x[0])
    values = evaluate(source, np.array([[1.3, 1.0, 0.0], [0.5, 0.5, 0.0]]))
    assert values[:, 0] == pytest.approx([1.0, 0.5])


def test_different_components_are_refused() -> None:
    source_space, _ = spaces(1)
    _, target_space = spaces(1, (2,))
    with pytest.raises(BadInputError, match="found 1 and 2"):
        interpolate(fem.Function(source_space), target_space)


def test_a_mesh_of_another_dimension_works_too() -> None:
    line = mesh.create_unit_interval(MPI.COMM_SELF, 4)
    other = mesh.create_unit_interval(MPI.COMM_SELF, 9)
    source = fem.Function(compat.function_space(line, ("Lagrange", 1)))
    source.interpolate(lambda x: 2.0 * x[0] + 1.0)
    target = interpolate(source, compat.function_space(other, ("Lagrange", 1)))
    assert np.allclose(target.x.array, 2.0 * target.function_space.tabulate_dof_coordinates()[:, 0] + 1.0)


@pytest.mark.mpi
@pytest.mark.parametrize(("degree", "shape"), [(1, (2,)), (2, ()), (3, (2,))])
def test_a_prolongation_does_what_interpolation_does(degree: int, shape: tuple[int, ...]) -> None:
    source_space, target_space = spaces(degree, shape)
    source = fem.Function(source_space)
    wave = (lambda x: np.sin(3.0 * x[0] + x[1])) if not shape else (lambda x: np.stack([np.sin(3.0 * x[0]), x[1] ** 4]))
    source.interpolate(wave)
    owned = source_space.dofmap.index_map.size_local * source_space.dofmap.index_map_bs
    prolong = Prolongation(source_space, target_space)
    found = prolong(source.x.array[:owned].copy())
    prolong.close()
    assert np.allclose(found, interpolate(source, target_space).x.array[: len(found)], atol=1e-12)
