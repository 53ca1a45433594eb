from __future__ import annotations

import numpy as np
import pytest
import ufl
from cosolve.core.errors import BadInputError
from cosolve.core.query import Query
from cosolve.plugins.fenicsx import FormSolver, compat
from cosolve.plugins.fenicsx.blocks import dof_coordinates
from dolfinx import fem
from mpi4py import MPI


def two_fields(scale: float, **settings: object) -> FormSolver:
    """u = 1 and p = scale, coupled so that one norm over both would only see the larger."""
    domain = compat.create_unit_square(MPI.COMM_SELF, 4, 4)
    mixed = compat.mixed_element([compat.element(domain, "Lagrange", 2, (2,)), compat.element(domain, "Lagrange", 1)])
    space = compat.function_space(domain, mixed)
    w = fem.Function(space)
    u, p = ufl.split(w)
    v, q = ufl.TestFunctions(space)
    one = ufl.as_vector((1.0, 2.0))
    form = ufl.inner(u - one, v) * ufl.dx + (p - scale * u[0]) * q * ufl.dx
    return FormSolver(form, w, prefix="two_", rtol=1e-6, **settings)


def test_each_field_of_a_mixed_space_has_its_own_norm_and_tolerance() -> None:
    with two_fields(1e6, block_names=["velocity", "pressure"]) as solver:
        result = solver.solve()
        assert result.converged
        query = Query(solver.initial_state())
        measured = solver.measure(query, result.value)
        assert list(measured.norms) == ["velocity", "pressure"]
        assert measured.tolerances["pressure"] > 1e3 * measured.tolerances["velocity"]
        wrong = result.value.copy()
        velocity = np.flatnonzero(solver.blocks.block_of == 0)
        wrong[velocity[:4]] += 1e-3
        again = solver.measure(query, wrong)
        # A thousandth of the velocity is a millionth of a millionth of the pressure: one norm would let it pass.
        assert again.norms["velocity"] > again.tolerances["velocity"]
        total = np.linalg.norm(list(measured.tolerances.values()))
        assert again.norms["velocity"] < total


def test_sub_dofmaps_cover_every_dof_once() -> None:
    with two_fields(1.0) as solver:
        counts = solver.blocks.sizes
        assert solver.blocks.names == ["0", "1"]
        assert counts.tolist() == [2.0 * 81, 25.0]
        assert solver.n_owned == int(counts.sum())


def test_wrong_block_names_are_refused() -> None:
    with pytest.raises(BadInputError, match="block_names has 1 names, but the space has 2 fields"):
        two_fields(1.0, block_names=["velocity"])
    with pytest.raises(BadInputError, match=r"unknown block in atol '2'.*Known: 0, 1"):
        two_fields(1.0, atol={"2": 1e-3})


def test_coordinates_carry_the_number_of_field_and_component() -> None:
    with two_fields(1.0) as solver:
        places = solver.coordinates()
        assert places.shape == (solver.n_owned, 3)
        value = solver.solve().value
        for label, expected in enumerate((1.0, 2.0, 1.0)):
            rows = places[:, 2] == label
            assert np.allclose(value[rows], expected, atol=1e-5)
        assert np.unique(places, axis=0).shape == places.shape


def test_coordinates_are_where_interpolation_puts_values() -> None:
    domain = compat.create_unit_square(MPI.COMM_SELF, 3, 3)
    for shape in ((), (2,)):
        space = compat.function_space(domain, compat.element(domain, "Lagrange", 2, shape))
        function = fem.Function(space)
        function.interpolate(lambda x, s=shape: np.stack([x[0] + 3 * x[1], x[0] * x[1]]) if s else x[0] + 3 * x[1])
        places = dof_coordinates(space)
        first = places[:, 2] == 0 if shape else slice(None)
        assert np.allclose(function.x.array[first], places[first, 0] + 3 * places[first, 1])
