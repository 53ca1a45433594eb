"""The numba solver: order in h and in dt against manufactured solutions, conservation, multigrid that stays fast."""

import base64
import re
import struct
import zlib

import numpy as np
import pytest
from cosolve.core.errors import BadInputError, OutputError
from cosolve.core.query import Query
from cosolve.plugins.numba_kernels import compiled
from cosolve.plugins.numba_kernels.grid_series import GridSeries
from cosolve.plugins.numba_kernels.multigrid import apply_operator, coarsen_field, conjugate_gradients, work_space
from cosolve.plugins.numba_kernels.options import ReactionDiffusionOptions
from cosolve.plugins.numba_kernels.reaction_diffusion import ReactionDiffusion
from cosolve.testing import SolverContract

D, BETA, R = 0.05, 2.0, 0.7


def centres(n):
    x = (np.arange(n) + 0.5) / n
    return np.meshgrid(x, x, indexing="ij")


def blobs(n):
    x, y = centres(n)
    return 0.7 * np.exp(-((x - 0.3) ** 2 + (y - 0.4) ** 2) / 0.02) + 0.1


def manufactured(n, t):
    """u = 0.6 + 0.3 g(t) cos(pi x) cos(2 pi y): zero flux, and its time derivative."""
    x, y = centres(n)
    shape = 0.3 * np.cos(np.pi * x) * np.cos(2.0 * np.pi * y)
    return 0.6 + np.exp(-t) * shape, -np.exp(-t) * shape


def manufactured_source(n):
    """s = u_t - div(k grad u) - r u (1 - u), derivatives by hand."""
    x, y = centres(n)
    cx, sx, cy, sy = np.cos(np.pi * x), np.sin(np.pi * x), np.cos(2 * np.pi * y), np.sin(2 * np.pi * y)

    def source(t):
        u, u_t = manufactured(n, t)
        a = 0.3 * np.exp(-t)
        gradient = (a * np.pi * sx * cy) ** 2 + (2.0 * a * np.pi * cx * sy) ** 2
        laplacian = -5.0 * np.pi**2 * a * cx * cy
        flux = D * (1.0 + BETA * u**2) * laplacian + 2.0 * D * BETA * u * gradient
        return u_t - flux - R * u * (1.0 - u)

    return source


def final_error(n, steps, scheme, t_end=0.5):
    options = ReactionDiffusionOptions(n=n, scheme=scheme, rtol=1e-11)
    solver = ReactionDiffusion(
        manufactured(n, 0.0)[0],
        diffusivity=D,
        nonlinearity=BETA,
        reaction=R,
        source=manufactured_source(n),
        options=options,
    )
    state, dt = solver.initial_state(), t_end / steps
    for step in range(steps):
        result = solver.step(Query(state, step * dt, dt, step))
        assert result.converged, result.reason
        state = result.value
    return solver.norm(state - manufactured(n, t_end)[0].ravel())


@pytest.mark.parametrize(("scheme", "order"), [("backward_euler", 1), ("crank_nicolson", 2)])
def test_order_in_dt(scheme, order):
    # On the finest grid the error in h lies far below; differences of errors cancel what is left of it.
    coarse, middle, fine = (final_error(64, steps, scheme) for steps in (4, 8, 16))
    observed = np.log2((coarse - middle) / (middle - fine))
    assert abs(observed - order) < 0.15


def test_order_in_h():
    errors = [final_error(n, 40, "crank_nicolson") for n in (8, 16, 32)]
    assert np.all(np.abs(np.log2(np.array(errors[:-1]) / errors[1:]) - 2.0) < 0.15)


def make(n=32, **changes):
    options = ReactionDiffusionOptions(
        n=n, rtol=changes.pop("rtol", 1e-10), scheme=changes.pop("scheme", "backward_euler")
    )
    return ReactionDiffusion(blobs(n), **({"diffusivity": 0.02, "nonlinearity": 4.0} | changes), options=options)


@pytest.mark.parametrize("scheme", ["backward_euler", "crank_nicolson"])
def test_mass_is_conserved_without_reaction_and_source(scheme):
    solver = make(scheme=scheme)
    state, mass = solver.initial_state(), solver.invariants(solver.initial_state())["mass"]
    for step in range(5):
        state = solver.step(Query(state, 0.1 * step, 0.1, step)).value
        assert abs(solver.invariants(state)["mass"] - mass) <= 1e-9 * mass
    assert solver.quantities(state)["maximum"] < blobs(32).max()


def test_mass_is_no_invariant_where_it_is_not_conserved():
    assert make(reaction=1.0).invariants(blobs(32).ravel()) == {}
    assert make(source=lambda t: np.ones((32, 32))).invariants(blobs(32).ravel()) == {}


def test_residual_is_the_gradient_of_nothing_hidden():
    solver = make(reaction=0.5, source=lambda t: np.full((32, 32), 0.3))
    query = Query(solver.initial_state(), 0.0, 0.2)
    candidate = query.state * 1.1
    measured = solver.measure(query, candidate)
    assert np.isclose(measured.norms["residual"], solver.norm(solver.residual(query, candidate)))
    assert np.isclose(measured.tolerances["residual"], 1e-10 * solver.norm(query.state + 0.2 * 0.3))
    solved = solver.step(query, candidate)
    assert np.isclose(solver.measure(query, solved.value).ratio, solved.residual)


@pytest.mark.parametrize("n", [32, 64, 128])
def test_multigrid_needs_few_iterations_on_every_grid(n):
    sizes, offsets, levels, work = work_space(n)
    rng = np.random.default_rng(0)
    coarsen_field(0.2 + rng.random((n, n)), sizes, offsets, levels)
    b, x = rng.standard_normal(n * n), np.zeros(n * n)
    right, s = b.copy(), 5.0 * n**2
    count, norm = conjugate_gradients(levels, s, b, x, 1e-10 * np.linalg.norm(b), 50, work, sizes, offsets)
    out = np.zeros((n, n))
    apply_operator(x.reshape(n, n), levels[: n * n].reshape(n, n), s, out)
    assert count <= 15
    assert np.linalg.norm(right - out.ravel()) <= 1.1e-10 * np.linalg.norm(right) + 1e-12
    assert norm <= 1e-10 * np.linalg.norm(right)


def test_too_large_a_reaction_step_is_said_and_not_hidden():
    solver = make(reaction=50.0)
    result = solver.step(Query(np.full(32 * 32, 0.01), 0.0, 1.0))
    assert not result.converged
    assert "not positive definite" in result.reason


def test_few_corrections_stop_and_say_so():
    solver = make(reaction=0.5)
    query = Query(solver.initial_state(), 0.0, 0.5)
    result = solver.correct(query, query.state, 1)
    assert (result.converged, result.iterations) == (False, 1)
    assert "most Newton iterations" in result.reason
    near = solver.step(query).value * (1.0 + 1e-9)
    assert 1.0 < solver.measure(query, near).ratio < 100.0
    assert solver.correct(query, near, 1).converged


@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        ({"diffusivity": -1.0}, "needs diffusivity > 0"),
        ({"diffusivity": float("nan")}, "needs diffusivity > 0"),
        ({"initial": np.zeros((4, 4))}, r"shape \(4, 4\), expected \(32, 32\)"),
        ({"initial": np.full((32, 32), np.nan)}, "initial values of reaction_diffusion are not finite"),
        ({"options": ReactionDiffusionOptions(n=33)}, "does not coarsen: take m"),
    ],
)
def test_bad_input_is_named(changes, sentence):
    values = {"initial": blobs(32), "diffusivity": 0.1, "options": ReactionDiffusionOptions(n=32)} | changes
    if values["options"].n == 33:
        values["initial"] = np.zeros((33, 33))
    with pytest.raises(BadInputError, match=sentence):
        ReactionDiffusion(**values)


def test_several_ranks_are_refused():
    class TwoRanks:
        def Get_size(self):
            return 2

    with pytest.raises(BadInputError, match="runs on one rank, found 2"):
        ReactionDiffusion(blobs(32), diffusivity=0.1, options=ReactionDiffusionOptions(n=32), comm=TwoRanks())


def test_kernels_compile_without_a_cache_where_none_can_be_written(monkeypatch):
    calls = []

    def njit(**options):
        calls.append(options)
        if options.get("cache"):
            raise RuntimeError("cannot cache function: no locator available")
        return lambda kernel: kernel

    monkeypatch.setattr(compiled.numba, "njit", njit)
    kernel = compiled.compiled(test_order_in_h)
    assert kernel is test_order_in_h
    assert calls == [{"cache": True, "nogil": True}, {"nogil": True}]


def test_series_is_read_by_vtk_rules(tmp_path):
    series = GridSeries(tmp_path / "fields", 3, ["u"])
    values = np.arange(9.0)
    series.write(0.5, {"u": values}, "pod_ridge")
    series.write(1.0, {"u": values}, "solver")
    series.close()
    collection = series.path.read_text()
    assert re.findall(r'timestep="([^"]+)" file="([^"]+)"', collection) == [
        ("0.5", "fields_00000.vti"),
        ("1.0", "fields_00001.vti"),
    ]
    text = (tmp_path / "fields_00000.vti").read_text()
    arrays = dict(re.findall(r'Name="(\w+)" format="binary">([^<]+)<', text))

    def decoded(text):
        blocks, size, partial, packed = struct.unpack("<4Q", base64.b64decode(text[:44]))
        raw = zlib.decompress(base64.b64decode(text[44:])[:packed])
        assert (blocks, partial, len(raw)) == (1, 0, size)
        return np.frombuffer(raw, "<f4")

    # x runs fastest in VTK, and is the first index here.
    assert np.array_equal(decoded(arrays["u"]).reshape(3, 3).T.ravel(), values)
    assert set(decoded(arrays["source"])) == {2.0}
    (tmp_path / "file").write_text("")
    with pytest.raises(OutputError, match="cannot be written"):
        GridSeries(tmp_path / "file" / "fields", 3, ["u"])


class TestContract(SolverContract):
    def make(self):
        return make(reaction=0.5, rtol=1e-8)

    def query(self, solver):
        return Query(solver.initial_state(), 0.0, 0.3)
