from __future__ import annotations

from collections.abc import Iterator
from itertools import pairwise

import numpy as np
import pytest

pytest.importorskip("dolfinx", reason="FEniCSx is not installed here")

from cosolve.core.communicator import Communicator
from cosolve.core.errors import BadInputError, ModelMismatchError
from cosolve.core.governor import Governor
from cosolve.core.model_file import load_surrogate
from cosolve.core.prediction import Prediction
from cosolve.core.query import Query
from cosolve.core.registry import Registry
from cosolve.core.session import Session
from cosolve.core.surrogate import Surrogate
from cosolve.couplings.time_loop import time_loop
from cosolve.examples.cylinder import planted
from cosolve.examples.cylinder.bench import MODEL, compared
from cosolve.examples.cylinder.interleaved import peak, run_both
from cosolve.examples.cylinder.mesh import CENTRE, HEIGHT, LENGTH, RADIUS, Resolution, triangles
from cosolve.examples.cylinder.options import RANGES, STANDARD, CylinderOptions, draw, mean_speed
from cosolve.examples.cylinder.problem import DRAG_MAX, LIFT_MAX, CylinderProblem
from cosolve.examples.cylinder.solver import BLOCKS, ChannelSolver
from cosolve.examples.cylinder.starts import compare_starts, projected
from cosolve.plugins.verifiers import Residual
from mpi4py import MPI

SMALL = CylinderOptions(side=8, dt=0.005)


@pytest.fixture(scope="module")
def flow() -> Iterator[tuple[ChannelSolver, list[Query]]]:
    """A solver on a small mesh and the queries of a short run from rest."""
    with CylinderProblem(SMALL).make_solver(MPI.COMM_SELF, {"prefix": "cylinder_test_"}) as solver:
        queries, state = [], solver.initial_state()
        for step in range(61):
            queries.append(Query(state, step * SMALL.dt, SMALL.dt, step, parameters=STANDARD))
            state = solver.step(queries[-1]).value
        yield solver, queries


# The mesh
def test_the_mesh_fits_channel_and_circle() -> None:
    nodes, cells = triangles(Resolution.of(8))
    assert len(np.unique(cells)) == len(nodes)
    corners = nodes[cells[:, :3]]
    sides = corners[:, 1:] - corners[:, :1]
    areas = 0.5 * np.abs(sides[:, 0, 0] * sides[:, 1, 1] - sides[:, 0, 1] * sides[:, 1, 0])
    assert np.all(areas > 1e-6)
    # A polygon through the corners on the circle: what it has too much is what the curved sides add to the hole.
    distance = np.hypot(*(nodes - CENTRE).T)
    on_circle = np.isclose(distance, distance.min(), rtol=1e-9)
    assert np.allclose(distance[on_circle], RADIUS)
    assert np.count_nonzero(on_circle) == 2 * 4 * 8
    polygon = 0.5 * 32 * RADIUS**2 * np.sin(2.0 * np.pi / 32)
    assert areas.sum() == pytest.approx(LENGTH * HEIGHT - polygon, rel=1e-12)
    assert nodes.min(axis=0) == pytest.approx([0.0, 0.0], abs=1e-12)
    assert nodes.max(axis=0) == pytest.approx([LENGTH, HEIGHT])


def test_sides_of_cells_meet_in_the_same_middle() -> None:
    _, cells = triangles(Resolution.of(4))
    middles: dict[frozenset[int], int] = {}
    for cell in cells.tolist():
        for corner, (i, j) in enumerate(((1, 2), (0, 2), (0, 1))):
            side = frozenset((cell[i], cell[j]))
            assert middles.setdefault(side, cell[3 + corner]) == cell[3 + corner]


# Inflows
def test_inflows_are_drawn_inside_their_ranges_and_start_at_rest() -> None:
    drawn = draw(3, 2)
    assert drawn == draw(3, 2) != draw(3, 3)
    assert all(low <= drawn[name] <= high for name, (low, high) in RANGES.items())
    assert mean_speed(drawn, 0.0) == 0.0
    assert CylinderProblem().parameters == STANDARD
    assert CylinderProblem(CylinderOptions(seed=3, second=0.0)).parameters == {**draw(3, 0), "second": 0.0}
    assert CylinderProblem().draw_training_run(0, 0) != draw(0, 0), "training runs belong to another family"


# The step and its residual
def test_a_step_meets_its_own_measure_and_nothing_else_does(flow: tuple[ChannelSolver, list[Query]]) -> None:
    solver, queries = flow
    for query in queries[::20]:
        answer = solver.step(query).value
        measured = solver.measure(query, answer)
        assert tuple(measured.norms) == BLOCKS
        assert measured.ratio <= 0.3 + 1e-9
        assert not solver.measure(query, query.state).ratio <= 1.0


@pytest.mark.parametrize("field", planted.FIELDS)
@pytest.mark.parametrize("shape", planted.SHAPES)
def test_an_error_of_every_field_is_seen(flow: tuple[ChannelSolver, list[Query]], field: str, shape: str) -> None:
    solver, queries = flow
    exact = solver.step_exactly(queries[40]).value
    rng = np.random.default_rng(1)
    for size, seen in ((1e-2 * solver.rtol, False), (1e2 * solver.rtol, True)):
        value = planted.perturbed(solver, exact, size, field, shape, rng)
        assert planted.error_of(solver, value, exact) == pytest.approx(size, rel=1e-3)
        assert (solver.measure(queries[40], value).ratio > 1.0) == seen


def test_wrong_boundary_values_and_nan_are_seen(flow: tuple[ChannelSolver, list[Query]]) -> None:
    solver, queries = flow
    answer = solver.step(queries[40]).value
    slip = answer.copy()
    solver.layout.velocities(slip)[0][0, solver.space.fixed] += 1e-3
    measured = solver.measure(queries[40], slip)
    assert measured.norms["boundary"] > 100.0 * measured.tolerances["boundary"]
    solver.layout.pressure(slip)[3] = np.nan
    assert np.isnan(solver.measure(queries[40], slip).ratio)


def test_the_residual_is_that_of_the_equations_as_ufl_has_them(flow: tuple[ChannelSolver, list[Query]]) -> None:
    """Assembled again from one form of all terms, with no matrix of the solver's."""
    import ufl
    from cosolve.plugins.fenicsx import compat
    from dolfinx import fem
    from dolfinx.fem.petsc import assemble_vector

    solver, queries = flow
    query, layout, space = queries[50], solver.layout, solver.space
    candidate = planted.perturbed(solver, solver.step(query).value, 1e-3, "all", "rough", np.random.default_rng(2))
    layout.increments(candidate)[0][space.outflow] = 0.0  # the solver has eliminated them

    def function(values: np.ndarray, of: object) -> fem.Function:
        made = fem.Function(of)
        made.x.array[:] = values
        return made

    past = [[function(part, space.velocities) for part in level] for level in layout.velocities(query.state)]
    new = [function(part, space.velocities) for part in layout.velocities(candidate)[0]]
    increments = [function(part, space.pressures) for part in layout.increments(query.state)]
    increment = function(layout.increments(candidate)[0], space.pressures)
    old_pressure, pressure = (function(layout.pressure(each), space.pressures) for each in (query.state, candidate))
    v, q = ufl.TestFunction(space.velocities), ufl.TestFunction(space.pressures)
    dt, nu, dx = SMALL.dt, 1e-3, space.dx
    predicted = old_pressure + (18.0 * increments[0] - 9.0 * increments[1] + 2.0 * increments[2]) / 11.0
    w = [3.0 * past[0][k] - 3.0 * past[1][k] + past[2][k] for k in range(2)]
    found = solver.residual(query, candidate)
    interior = np.setdiff1d(np.arange(layout.n_u), space.fixed)

    def assembled(form: object) -> np.ndarray:
        vector = assemble_vector(fem.form(form))
        values = vector.array.copy()
        vector.destroy()
        return values

    for k in range(2):
        rate = (11.0 * new[k] - 18.0 * past[0][k] + 9.0 * past[1][k] - 2.0 * past[2][k]) / (6.0 * dt)
        momentum = rate * v + (w[0] * new[k].dx(0) + w[1] * new[k].dx(1)) * v - predicted * v.dx(k)
        expected = assembled((momentum + nu * ufl.inner(ufl.grad(new[k]), ufl.grad(v))) * dx)
        difference = layout.velocities(found)[0][k] - expected
        assert np.max(np.abs(difference[interior])) <= 1e-10 * np.max(np.abs(expected))
    divergence = new[0].dx(0) + new[1].dx(1)
    expected = assembled((ufl.inner(ufl.grad(increment), ufl.grad(q)) + 11.0 / (6.0 * dt) * divergence * q) * dx)
    inside = np.setdiff1d(np.arange(layout.n_p), space.outflow)
    assert np.allclose(layout.increments(found)[0][inside], expected[inside], atol=1e-9 * np.max(np.abs(expected)))
    expected = assembled(((pressure - old_pressure - increment) + nu * divergence) * q * dx)
    assert np.allclose(layout.pressure(found), expected, atol=1e-9 * np.max(np.abs(expected)))
    assert compat.cell_geometry(space.mesh).shape[1] == 6


def test_the_state_holds_all_that_a_step_needs(flow: tuple[ChannelSolver, list[Query]]) -> None:
    _, queries = flow
    whole = queries[60].state
    with CylinderProblem(SMALL).make_solver(MPI.COMM_SELF, {"prefix": "cylinder_again_"}) as fresh:
        again = time_loop(
            fresh, t=queries[30].t, t_end=60 * SMALL.dt, dt=SMALL.dt, state=queries[30].state, mode="off",
            parameters=STANDARD,
        )  # fmt: skip
    # Times differ by rounding, and so does the inflow.
    assert np.allclose(again.value, whole, rtol=1e-9, atol=1e-12)


def test_another_step_and_other_transactions_are_refused(flow: tuple[ChannelSolver, list[Query]]) -> None:
    solver, queries = flow
    refused = solver.step(Query(queries[5].state, 0.0, 2.0 * SMALL.dt, parameters=STANDARD))
    assert not refused.converged
    assert "steps of 0.005, found 0.01" in refused.reason
    with pytest.raises(BadInputError, match=r"found 0\.01"):
        solver.residual(Query(queries[5].state, 0.0, 2.0 * SMALL.dt, parameters=STANDARD), queries[5].state)
    with pytest.raises(BadInputError, match="only advances in time"):
        solver.measure(Query(queries[5].state, transaction="solve", parameters=STANDARD), queries[5].state)
    with pytest.raises(BadInputError, match=r"dt must be a positive number, found 0\.0"):
        ChannelSolver(MPI.COMM_SELF, Resolution.of(4), dt=0.0)


def test_drag_of_the_benchmark_on_a_coarse_mesh() -> None:
    """The lift needs the mesh of the bench, see the slow test."""
    problem = CylinderProblem(CylinderOptions(side=12, dt=0.005))
    found = []
    with problem.make_solver(MPI.COMM_SELF, {"prefix": "cylinder_drag_"}) as solver:

        def keep(state: object) -> None:
            if state.t > 3.7:
                found.append((state.t, *solver.quantities(state.value).values()))

        time_loop(solver, t_end=4.1, dt=0.005, mode="off", parameters=problem.parameters, on_step=keep)
    when, largest = peak(found, 1)
    assert largest == pytest.approx(DRAG_MAX, rel=0.01)
    assert when == pytest.approx(3.936, abs=0.05)


# Who proposes
class Liar(Surrogate):
    """Says something plausible and wrong."""

    name = "liar"

    def _predict(self, query: Query) -> Prediction:
        return Prediction(1.001 * query.state)


def test_a_liar_costs_asking_and_changes_nothing(flow: tuple[ChannelSolver, list[Query]]) -> None:
    solver, queries = flow
    result = time_loop(
        solver, [Liar()], t=queries[20].t, t_end=60 * SMALL.dt, dt=SMALL.dt, state=queries[20].state,
        parameters=STANDARD, governor=Governor("off"),
    )  # fmt: skip
    assert result.stats["judged"] == 40
    assert result.stats["accepted"] == 0
    assert solver.norm(result.value - queries[60].state) <= 1e-6 * solver.norm(queries[60].state)


def test_an_oracle_is_accepted(flow: tuple[ChannelSolver, list[Query]]) -> None:
    solver, queries = flow
    oracle = planted.Oracle({query.step: after.state for query, after in pairwise(queries)})
    with Session(solver, Residual(), governor=Governor("off")) as session:
        for query in queries[20:60]:
            outcome = session.attempt(query, [oracle])
            assert solver.measure(query, outcome.value).ratio <= 1.0
        assert session.stats["accepted"] == session.stats["judged"] == 40


def test_planted_errors_are_judged_by_their_size(flow: tuple[ChannelSolver, list[Query]]) -> None:
    solver, queries = flow
    cases = [(query, solver.step_exactly(query).value) for query in queries[20::20]]
    found = planted.judge(solver, Residual(), cases, solver.rtol, seed=3)
    report = planted.rates(found)
    assert report["planted"] == len(found) == 3 * len(planted.SIZES) * 10
    assert report["planted_by_size"]["0.03"]["accepted"] == report["planted_by_size"]["10000"]["rejected"] == 30
    assert report["false_accept_rate"] <= 0.05
    assert report["false_accept_rate_interval"][0] <= report["false_accept_rate"]
    assert report["false_reject_rate"] <= 0.5


def test_classical_and_hybrid_runs_side_by_side() -> None:
    problem = CylinderProblem(CylinderOptions(side=6, dt=0.005, end_time=3.1))
    with problem.make_solver(MPI.COMM_SELF, {"prefix": "cylinder_pair_"}) as solver:
        pair = run_both(problem, solver, [Liar()], Residual(), lambda share: None)
    figures = compared(pair)
    assert figures["steps"] == 620
    assert figures["judged"] > 0
    assert figures["accepted"] == pair.bad == 0
    assert figures["difference"] <= 1e-3
    assert len(pair.block_ratios()) == 13
    assert 0.5 < pair.ratio < 2.0


def test_a_projected_start_is_no_worse_than_its_parts(flow: tuple[ChannelSolver, list[Query]]) -> None:
    solver, queries = flow

    def momentum(state: np.ndarray) -> float:
        return solver.measure(queries[50], state).norms["momentum"]

    alone, both = projected(solver, queries[50], []), projected(solver, queries[50], [1.01 * queries[50].state])
    assert momentum(both) <= (1.0 + 1e-6) * momentum(alone)
    assert momentum(alone) < momentum(queries[50].state)
    starts = compare_starts(solver, Liar(), [queries[50:53]])
    assert {case["start"] for case in starts.cases} >= {"network", "previous"}
    assert len(starts.notes) == 1


# The model
def test_the_shipped_model_is_asked_and_changes_nothing() -> None:
    pytest.importorskip("torch")
    surrogate = load_surrogate(MODEL, Registry.discover())
    assert MODEL.stat().st_size <= 2_000_000
    problem = CylinderProblem(CylinderOptions(seed=11, end_time=0.1))
    with problem.make_solver(MPI.COMM_SELF, {"prefix": "cylinder_model_"}) as solver:
        start, end, dt = problem.time_span
        runs = [
            time_loop(
                solver, proposers, t=start, t_end=end, dt=dt, parameters=problem.parameters, governor=Governor("off"),
                mode="replace" if proposers else "off", grade="certified" if proposers else None,
            )
            for proposers in ([], [surrogate])
        ]  # fmt: skip
        assert runs[1].stats["judged"] == 50
        assert runs[1].stats["accepted"] == 0
        assert solver.norm(runs[1].value - runs[0].value) <= 1e-5 * solver.norm(runs[0].value)
    other = CylinderProblem(CylinderOptions(side=8))
    with (
        other.make_solver(MPI.COMM_SELF, {"prefix": "cylinder_other_"}) as solver,
        pytest.raises(ModelMismatchError, match="take the same `side`"),
    ):
        surrogate.bind(solver)


@pytest.mark.mpi
def test_a_run_does_not_depend_on_the_ranks(comm: Communicator) -> None:
    options = CylinderOptions(side=4, dt=0.02)
    problem = CylinderProblem(options)
    figures = []
    for where in (comm, MPI.COMM_SELF):
        with problem.make_solver(where, {"rtol": 1e-10, "prefix": f"cylinder_ranks{len(figures)}_"}) as solver:
            result = time_loop(solver, t_end=0.2, dt=0.02, mode="off", parameters=problem.parameters)
            query = Query(result.value, 0.2, 0.02, 10, parameters=problem.parameters)
            ratio = solver.measure(query, solver.step(query).value).ratio
            figures.append([*solver.quantities(result.value).values(), solver.norm(result.value)])
            assert ratio <= 1.0
    assert figures[0] == pytest.approx(figures[1], rel=1e-6, abs=1e-9)


@pytest.mark.slow
def test_drag_and_lift_of_the_benchmark() -> None:
    problem = CylinderProblem()
    start, end, dt = problem.time_span
    found = []
    with problem.make_solver(MPI.COMM_SELF, {"prefix": "cylinder_full_"}) as solver:

        def keep(state: object) -> None:
            if state.t > 3.0:
                found.append((state.t, *solver.quantities(state.value).values()))

        time_loop(solver, t=start, t_end=end, dt=dt, mode="off", parameters=problem.parameters, on_step=keep)
    (drag_at, drag), (lift_at, lift) = peak(found, 1), peak(found, 2)
    assert drag == pytest.approx(DRAG_MAX, rel=0.01)
    assert lift == pytest.approx(LIFT_MAX, rel=0.01)
    assert drag_at == pytest.approx(3.936, abs=0.01)
    assert lift_at == pytest.approx(5.693, abs=0.03)
