"""Spaces, fields and transfers: polynomials that a transfer promises arrive exactly, and units are never guessed."""

import json

import numpy as np
import pytest
from cosolve.core.copies import CopyCount, shared_array
from cosolve.core.errors import BadInputError, ModelMismatchError
from cosolve.core.field import Field
from cosolve.core.space import Dofs, Graph, Grid, Latent, Points, Quadrature
from cosolve.core.transfer import GridToGrid, GridToPoints
from hypothesis import given, settings
from hypothesis import strategies as st

PLACES = st.sampled_from(["cell", "node"])
COEFFICIENTS = st.lists(st.floats(-10.0, 10.0), min_size=8, max_size=8)


def multilinear(coefficients, x):
    """Evaluate a polynomial of degree at most one in each of up to three variables."""
    total = np.zeros(len(x))
    for number, coefficient in enumerate(coefficients[: 2 ** x.shape[1]]):
        powers = [(number >> axis) & 1 for axis in range(x.shape[1])]
        total += coefficient * np.prod(x**powers, axis=1)
    return total


@st.composite
def grids(draw, minimum=2):
    dimension = draw(st.integers(1, 3))
    cells = tuple(draw(st.integers(minimum, 5)) for _ in range(dimension))
    lower = tuple(draw(st.floats(-2.0, 2.0)) for _ in range(dimension))
    upper = tuple(low + draw(st.floats(0.5, 3.0)) for low in lower)
    return Grid(cells, lower, upper, draw(PLACES))


@given(grids(), COEFFICIENTS, st.integers(0, 2**32 - 1))
@settings(max_examples=60, deadline=None)
def test_sampling_a_grid_is_exact_on_multilinear_polynomials(grid, coefficients, seed):
    lower, upper = np.array(grid.lower), np.array(grid.upper)
    x = lower + (upper - lower) * np.random.default_rng(seed).random((7, len(lower)))
    x = np.concatenate([x, [lower, upper]])
    field = Field.of("u", grid, multilinear(coefficients, grid.coordinates()), "K")
    sampled = GridToPoints(grid, Points(x))(field)
    assert sampled.unit == "K"
    assert sampled.values.shape == (1, 9, 1)
    assert np.allclose(sampled.flat(), multilinear(coefficients, x), atol=1e-9 * (1.0 + np.abs(field.flat()).max()))


@given(grids(), st.integers(1, 3), st.booleans(), COEFFICIENTS)
@settings(max_examples=60, deadline=None)
def test_prolongation_and_restriction_are_exact_on_multilinear_polynomials(grid, ratio, refine, coefficients):
    fine = Grid(tuple(ratio * n for n in grid.cells), grid.lower, grid.upper, grid.values)
    source, target = (grid, fine) if refine else (fine, grid)
    field = Field.of("u", source, multilinear(coefficients, source.coordinates()))
    moved = GridToGrid(source, target)(field)
    expected = multilinear(coefficients, target.coordinates())
    assert np.allclose(moved.flat(), expected, atol=1e-9 * (1.0 + np.abs(expected).max()))


@given(grids(), st.integers(0, 2**32 - 1))
@settings(max_examples=40, deadline=None)
def test_transposes_are_transposes(grid, seed):
    rng = np.random.default_rng(seed)
    lower, upper = np.array(grid.lower), np.array(grid.upper)
    points = Points(lower + (upper - lower) * rng.random((6, len(lower))))
    fine = Grid(tuple(2 * n for n in grid.cells), grid.lower, grid.upper, grid.values)
    for transfer in (GridToPoints(grid, points), GridToGrid(grid, fine), GridToGrid(fine, grid)):
        u = Field.of("u", transfer.source, rng.standard_normal(transfer.source.size))
        v = Field.of("v", transfer.target, rng.standard_normal(transfer.target.size))
        left, right = transfer(u).flat() @ v.flat(), u.flat() @ transfer.transpose(v).flat()
        assert abs(left - right) <= 1e-10 * (1.0 + abs(left))


def test_restriction_of_cells_keeps_the_mean():
    fine, coarse = Grid.unit(8, 12), Grid.unit(4, 3)
    values = np.random.default_rng(0).standard_normal(96)
    assert np.isclose(GridToGrid(fine, coarse)(Field.of("u", fine, values)).flat().mean(), values.mean())


def test_batches_and_channels_travel_in_the_layout_of_each_space():
    grid, points = Grid.unit(3, 4), Points(np.array([[0.2, 0.7], [0.9, 0.1]]))
    values = np.random.default_rng(0).standard_normal((5, 2, 3, 4)).astype(np.float32)
    moved = GridToPoints(grid, points)(Field("u", grid, values))
    assert moved.values.shape == (5, 2, 2)
    assert moved.values.dtype == np.float32
    one = GridToPoints(grid, points)(Field.of("u", grid, values[3, 1].astype(float)))
    assert np.allclose(moved.values[3, :, 1], one.flat(), atol=1e-6)


def test_transfers_count_their_copies_and_refuse_other_spaces():
    grid = Grid.unit(4)
    transfer = GridToPoints(grid, Points(np.array([[0.5]])))
    transfer(Field.of("u", Grid.unit(4), np.zeros(4)))
    assert (transfer.count.copies, transfer.count.bytes) == (1, 8)
    with pytest.raises(ModelMismatchError, match="field 'u' lives on"):
        transfer(Field.of("u", Grid.unit(8), np.zeros(8)))
    with pytest.raises(BadInputError, match="1 of 2 points lie outside"):
        GridToPoints(grid, Points(np.array([[0.5], [1.5]])))
    with pytest.raises(BadInputError, match="same box"):
        GridToGrid(grid, Grid.unit(4, values="node"))
    with pytest.raises(BadInputError, match="ratio must be whole"):
        GridToGrid(grid, Grid.unit(3))


@given(st.integers(0, 7), st.integers(0, 7), st.integers(0, 6))
@settings(max_examples=60, deadline=None)
def test_gauss_points_integrate_what_they_promise(a, b, degree):
    rule = Quadrature.gauss(Grid((2, 3), (0.0, -1.0), (2.0, 1.0)), degree)
    values = (rule.points[:, 0] ** min(a, degree) * rule.points[:, 1] ** min(b, degree))[None, :, None]
    p, q = min(a, degree) + 1, min(b, degree) + 1
    assert np.isclose(rule.integrate(values)[0, 0], 2.0**p / p * (1.0 - (-1.0) ** q) / q)


def test_fields_share_memory_and_check_shape_unit_and_precision():
    grid, values = Grid.unit(2, 3), np.arange(6.0)
    field = Field.of("u", grid, values, "K")
    assert field.values.shape == (1, 1, 2, 3)
    assert np.shares_memory(field.flat(), values)
    assert (field.batch, field.channels) == (1, 1)
    with pytest.raises(BadInputError, match=r"needs values of shape \(batch, channel, 2, 3\), found \(1, 2, 3\)"):
        Field("u", grid, values.reshape(1, 2, 3))
    with pytest.raises(BadInputError, match=r"\(batch, 4, channel\)"):
        Field("u", Latent(4), np.zeros((1, 1, 4)))
    with pytest.raises(BadInputError, match="has dtype int64"):
        Field("u", grid, np.zeros((1, 1, 2, 3), dtype=np.int64))
    with pytest.raises(BadInputError, match="needs 6 values"):
        Field.of("u", grid, np.zeros(5))
    with pytest.raises(ModelMismatchError, match="has the unit 'C', expected 'K'"):
        field - Field.of("u", grid, values, "C")
    with pytest.raises(BadInputError, match="expected one of each"):
        Field("u", grid, np.zeros((2, 1, 2, 3))).flat()
    assert np.array_equal((field + field - field).flat(), values)


def test_hand_overs_share_memory_or_count_the_copy():
    count = CopyCount()
    values = np.arange(4.0)
    assert shared_array(values, np.float64, count) is values
    assert np.shares_memory(shared_array(memoryview(values), np.float64, count), values)
    assert count.copies == 0
    shared_array(values, np.float32, count)
    shared_array(values[::2], np.float64, count)
    assert (count.copies, count.bytes) == (2, 32)
    with pytest.raises(BadInputError, match="str is not an array"):
        shared_array("values", np.float64, count)


def test_tensors_of_torch_share_memory():
    torch = pytest.importorskip("torch")
    tensor, count = torch.arange(6, dtype=torch.float64), CopyCount()
    field = Field.of("u", Latent(6), tensor, count=count)
    tensor[0] = 7.0
    assert field.flat()[0] == 7.0
    assert count.copies == 0
    with pytest.raises(BadInputError, match="cannot share memory with numpy"):
        shared_array(tensor.clone().requires_grad_(), np.float64, count)


def test_descriptions_are_json_and_tell_spaces_apart():
    edges = np.array([[0, 1], [1, 2]])
    spaces = [
        Grid.unit(4, 4),
        Grid.unit(4, 4, values="node"),
        Dofs(4, "Lagrange 1", "square"),
        Points(np.zeros((3, 2))),
        Points(np.ones((3, 2))),
        Quadrature.gauss(Grid.unit(2), 3),
        Graph(3, edges),
        Graph(3, edges[::-1].copy()),
        Latent(5, "pod"),
    ]
    for i, one in enumerate(spaces):
        assert json.loads(json.dumps(one.describe()))["kind"] == one.kind
        for j, other in enumerate(spaces):
            assert one.same_as(other) == (i == j)
    assert Grid.unit(4, 4).same_as(Grid.unit(4, 4))
    with pytest.raises(BadInputError, match="have no coordinates"):
        Latent(5).coordinates()
    with pytest.raises(BadInputError, match="an edge names a node outside"):
        Graph(2, edges)
    with pytest.raises(BadInputError, match="lower < upper"):
        Grid((2,), (1.0,), (0.0,))
