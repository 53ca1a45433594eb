from __future__ import annotations

import numpy as np
import pytest

pytest.importorskip("dolfinx")

from pathlib import Path

from cosolve.core.case_reading import load_case
from cosolve.core.communicator import Communicator
from cosolve.core.coupling import CouplingContext
from cosolve.core.errors import BadInputError
from cosolve.core.model_file import load_surrogate
from cosolve.core.registry import Registry
from cosolve.core.session import Session
from cosolve.couplings.cycle_jump import cycle_jump
from cosolve.couplings.cycle_rivals import FullStepping
from cosolve.couplings.cycle_solver import CycleSettings, CycleSolver
from cosolve.examples.curing.bare import BareStepping
from cosolve.examples.curing.bare_rival import BareCuring
from cosolve.examples.curing.cyclic_solver import CuringSolver, blocks_of
from cosolve.examples.curing.discretisation import Discretisation
from cosolve.examples.curing.integrators import Bdf2, Bdf3, CrankNicolson
from cosolve.examples.curing.options import CuringOptions
from cosolve.examples.curing.problem import CuringProblem
from cosolve.examples.curing.process import RANGES, Load
from cosolve.examples.curing.rivals import CONTROLLED, at_equal_error, controlled_rows, reference
from cosolve.examples.curing.stepping import ThermalState
from cosolve.examples.curing.surrogate import CuringSurrogate, at_points, load_features
from mpi4py import MPI

MODEL = Path(__file__).parents[2] / "examples" / "curing" / "curing.safetensors"
LOAD = Load(8.5, 0.2, 0.5)


@pytest.fixture(scope="module")
def mesh() -> Discretisation:
    return Discretisation(MPI.COMM_SELF, 16)


def stepped(mesh: Discretisation, scheme, steps: int, periods: int = 3) -> ThermalState:
    integrator = scheme(mesh, steps)
    start = ThermalState(np.zeros(mesh.n_owned), np.zeros(mesh.n_owned))
    end = integrator.advance(start, LOAD, periods)
    integrator.close()
    return end


def test_the_products_are_the_assembled_form(mesh):
    """The diffusion as products equals the form with the nodal interpolant of the coefficient."""
    import ufl
    from cosolve.plugins.fenicsx import compat
    from dolfinx import fem

    rng = np.random.default_rng(0)
    theta, phi = rng.uniform(0, 2, mesh.n_owned), rng.uniform(0, 2, mesh.n_owned)
    integrator = CrankNicolson(mesh, 8)
    integrator._theta_values[:] = theta
    integrator._explicit_slope(integrator._theta, integrator._theta_values, phi, integrator._slope)
    coefficient = fem.Function(mesh.space)
    c = integrator.constants
    coefficient.x.array[:] = c.conductivity * (1 + c.cure_gain * (1 - np.exp(-phi))) * (1 + c.heat_gain * theta)
    u, v = ufl.TrialFunction(mesh.space), ufl.TestFunction(mesh.space)
    matrix = compat.assemble_matrix((integrator.reference - coefficient) * ufl.inner(ufl.grad(u), ufl.grad(v)) * ufl.dx)
    expected = mesh.node_vector()
    matrix.mult(integrator._theta, expected)
    np.testing.assert_allclose(integrator._slope.array, expected.array, atol=1e-14)


def test_gradient_of_a_linear_field_is_exact(mesh):
    field, product = mesh.node_vector(), mesh.cell_vector()
    field.array[:] = 3.0 * mesh.points[:, 0] - 2.0 * mesh.points[:, 1]
    for matrix, slope in zip(mesh.gradient, (3.0, -2.0), strict=True):
        matrix.mult(field, product)
        np.testing.assert_allclose(product.array * mesh.inverse_area, slope, atol=1e-12)


@pytest.mark.parametrize(("scheme", "least"), [(CrankNicolson, 1.6), (Bdf2, 1.4), (Bdf3, 1.8)])
def test_integrators_converge_with_their_order(mesh, scheme, least):
    exact = stepped(mesh, CrankNicolson, 384).theta
    errors = [np.abs(stepped(mesh, scheme, steps).theta - exact).max() for steps in (48, 96)]
    assert np.log2(errors[0] / errors[1]) > least


def test_parts_of_a_period_are_the_period(mesh):
    integrator = CrankNicolson(mesh, 12)
    start = stepped(mesh, CrankNicolson, 12, 1)
    whole = integrator.advance(start, LOAD, 1)
    part = integrator.run(integrator.run(start, LOAD, range(5)), LOAD, range(5, 12))
    np.testing.assert_allclose(part.theta, whole.theta, rtol=1e-12)
    np.testing.assert_allclose(part.phi, whole.phi, rtol=1e-12)


def test_energy_without_diffusion_gain_is_balanced(mesh):
    """The mean temperature obeys its own equation: what flows in minus the loss, nothing through the boundary."""
    one = np.ones(mesh.n_owned)
    end = stepped(mesh, CrankNicolson, 48, 30)
    after = CrankNicolson(mesh, 48).advance(end, LOAD, 1)
    assert mesh.inner(one, after.theta) == pytest.approx(mesh.inner(one, end.theta), rel=5e-3)
    assert mesh.inner(one, end.theta) == pytest.approx(8.5 * 2 * np.pi * 0.05**2 / 0.2, rel=0.05)


def test_the_bare_script_agrees(mesh):
    bare = BareStepping(16, 24, MPI.COMM_SELF)
    (alpha,) = bare.run(np.zeros(mesh.n_owned), [(8.5, 0.2, 0.5)], 5)
    np.testing.assert_allclose(alpha, stepped(mesh, CrankNicolson, 24, 5).alpha, atol=2e-5)


def test_the_elliptic_newton_settles_the_temperature(mesh):
    solver = CuringSolver(mesh)
    settled = solver.advance(ThermalState(np.zeros(mesh.n_owned), np.zeros(mesh.n_owned)), LOAD, 60, 16)
    off = solver.shifted(settled, 0.1 * np.cos(np.pi * mesh.points[:, 0]))
    end = solver.advance(off, LOAD, 1, 16)
    change = end.theta - off.theta
    remaining = off.theta + solver.settled_shift(change) - settled.theta
    assert np.abs(remaining).max() < 0.15 * np.abs(off.theta - settled.theta).max()
    solver.close()


def test_bases_on_a_grid_reproduce_bilinear_fields():
    y, x = np.meshgrid(np.linspace(0, 1, 9), np.linspace(0, 1, 9), indexing="ij")
    points = np.random.default_rng(0).uniform(0, 1, (50, 2))
    values = at_points(np.stack([x, y, x * y]), points)
    expected = np.column_stack([points[:, 0], points[:, 1], points[:, 0] * points[:, 1]])
    np.testing.assert_allclose(values, expected, atol=1e-6)


def test_features_of_a_cold_start_are_those_of_no_power():
    cold, switched_off = load_features(LOAD, None, 2.0), load_features(LOAD, Load(0.0, 0.2, 0.5), 2.0)
    np.testing.assert_array_equal(cold, switched_off)


def test_schedules_are_drawn_and_given():
    assert CuringOptions(seed=3).schedule() == CuringOptions(seed=3).schedule()
    given = CuringOptions(periods=(5, 6), loads=({"power": 8.0, "radius": 0.2, "centre_x": 0.5},)).schedule()
    assert given.blocks[0].load == Load(8.0, 0.2, 0.5)
    assert given.periods == 11


def test_a_model_that_lacks_a_tensor_is_refused():
    with pytest.raises(BadInputError, match="rate_mean"):
        CuringSurrogate({})


def test_the_case_is_valid_and_the_model_small():
    case = load_case(MODEL.with_name("case.toml"), Registry.discover())
    assert case.problem.name == "curing"
    assert MODEL.stat().st_size <= 2_000_000


@pytest.mark.mpi
def test_ranks_give_the_same_answer(comm: Communicator):
    """A hybrid run over all ranks equals the one on a single rank, verdicts included."""
    schedule = RANGES.draw(np.random.default_rng(5), (10,))
    found = []
    for used in (comm if isinstance(comm, MPI.Comm) else MPI.COMM_SELF, MPI.COMM_SELF):
        cyclic = CuringSolver(Discretisation(used, 14))
        solver = CycleSolver(cyclic, cyclic.initial(schedule), blocks_of(schedule), CycleSettings(tolerance=0.05))
        surrogate = load_surrogate(MODEL, Registry.discover())
        result = cycle_jump(solver, surrogate)
        slow, fast = solver.parts(result.value)
        found.append((cyclic.norm(slow), cyclic.norm(fast), [v.decision for v in result.verdicts]))
        solver.close()
    np.testing.assert_allclose(found[0][:2], found[1][:2], rtol=1e-10)
    assert found[0][2] == found[1][2]


def test_the_source_on_axes_is_the_source(mesh):
    x, y, place = mesh.axes
    times = np.array([0.1, 0.7])
    along_x, along_y = LOAD.source_on_axes(x, y, times)
    for index, t in enumerate(times):
        grid = np.outer(along_y[index], along_x[index]).ravel()
        np.testing.assert_allclose(grid[place], LOAD.source(mesh.points, t), atol=1e-12)


def test_the_bare_script_and_full_stepping_are_rivals_that_agree():
    problem = CuringProblem(CuringOptions(cells=12, periods=(3, 3), seed=4))
    values = []
    for coupling in (FullStepping, BareCuring):
        solver = problem.make_solver(MPI.COMM_SELF, {"stepping_steps": 16})
        with Session(solver, None, mode="off") as session:
            result = coupling(CouplingContext(session, solver, (), None, problem=problem)).run()
        assert result.ok
        values.append(result.value)
        solver.close()
    # A transaction starts without past levels, the script carries them over the change of load.
    np.testing.assert_allclose(values[0], values[1], rtol=5e-3, atol=1e-8)


def test_stepping_with_error_control_comes_near_its_tolerance(mesh):
    solver = CuringSolver(mesh)
    schedule = RANGES.draw(np.random.default_rng(1), (12, 12))
    exact = reference(solver, schedule)
    loose, tight = controlled_rows(solver, schedule, exact, (0.05, 0.005))
    assert tight.error < loose.error
    assert tight.error < 0.01
    assert tight.work > loose.work
    rows = {CONTROLLED: [loose, tight]}
    assert loose.work <= at_equal_error(rows, 0.5 * (tight.error + loose.error)).work <= tight.work
    solver.close()
