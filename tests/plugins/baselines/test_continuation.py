"""Continuation methods find the solution that a path from rest leads to, with bounded work and honest counts."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from cosolve.core.communicator import Communicator
from cosolve.core.query import Query
from cosolve.core.testing.two_wells import TwoWells, left
from cosolve.core.trajectory import Trajectory
from cosolve.plugins.baselines.arc_length import ArcLength
from cosolve.plugins.baselines.extrapolation import Zero
from cosolve.plugins.baselines.grid_sequencing import GridSequencing
from cosolve.plugins.baselines.load_stepping import LoadStepping, predicted, scaled
from cosolve.plugins.baselines.nearest_snapshot import NearestSnapshot
from cosolve.plugins.baselines.pod_gp import PodGaussianProcess

PATH = scaled("force")


def question(solver: TwoWells, force: float) -> Query:
    return Query(solver.initial_state(), parameters={"force": force}, transaction="solve")


@pytest.mark.mpi
@pytest.mark.parametrize("order", [0, 1, 2])
def test_load_stepping_stays_on_the_branch_of_rest(comm: Communicator, order: int) -> None:
    solver = TwoWells(comm)
    stepping = LoadStepping(solver, PATH, order=order)
    visited = []
    result = stepping.follow(question(solver, 0.37), lambda share, state: visited.append(share))
    assert result.converged
    assert visited == sorted(visited)
    assert visited[-1] == 1.0
    assert result.notes["steps"] == len(visited)
    assert result.iterations == solver.iterations
    np.testing.assert_allclose(result.value, left(solver, 0.37), atol=1e-8)
    # From a start it is the solver within, whatever the branch.
    assert np.all(stepping.step(question(solver, 0.3), np.full(solver.n_owned, 1.1)).value > 1.0)
    stepping.close()


@pytest.mark.mpi
def test_points_on_the_way_are_loose_and_the_last_is_not(comm: Communicator) -> None:
    counts = []
    for loose in (1.0, 1e6):
        solver = TwoWells(comm)
        stepping = LoadStepping(solver, PATH, loose=loose, growth=1.0)
        result = stepping.step(question(solver, 0.3))
        assert solver.measure(question(solver, 0.3), result.value).ratio <= 1.0
        counts.append(result.iterations)
        stepping.close()
    assert counts[1] < counts[0]


def test_load_stepping_that_cannot_go_on_says_where() -> None:
    solver = TwoWells(size=1)
    # Two iterations a step cannot follow the curve into its turning point.
    stepping = LoadStepping(solver, PATH, corrector_iterations=2, loose=1e6, smallest_step=1e-3)
    result = stepping.step(question(solver, 0.6))
    assert not result.converged
    assert result.reason.startswith("load stepping stopped at")


@pytest.mark.mpi
def test_arc_length_goes_round_turning_points(comm: Communicator) -> None:
    solver = TwoWells(comm)
    # All values alike, so that the curve has its two turning points and no branch.
    solver.shape = np.ones(solver.n_owned)
    method = ArcLength(solver, PATH)
    shares: list[float] = []
    result = method.follow(question(solver, 0.6), lambda share, state: shares.append(share))
    assert result.converged
    assert np.all(result.value > 1.0)
    assert solver.measure(question(solver, 0.6), result.value).ratio <= 1.0
    # It turned back at the force 0.385 and again at -0.385.
    assert 0.55 < max(shares[: int(np.argmin(shares))]) < 0.66
    assert -0.66 < min(shares) < -0.55
    assert result.iterations == solver.iterations
    method.close()


@pytest.mark.mpi
def test_arc_length_agrees_with_load_stepping_where_both_go(comm: Communicator) -> None:
    solver = TwoWells(comm)
    result = ArcLength(solver, PATH).step(question(solver, 0.3))
    np.testing.assert_allclose(result.value, left(solver, 0.3), atol=1e-8)
    stopped = ArcLength(solver, PATH, max_steps=2).step(question(solver, 0.3))
    assert not stopped.converged
    assert "arc length stopped at" in stopped.reason
    solver.close()


def test_grid_sequencing_works_mostly_on_the_coarse_mesh_and_falls_back() -> None:
    fine, coarse = TwoWells(size=24), TwoWells(size=12)
    method = GridSequencing(LoadStepping(fine, PATH), LoadStepping(coarse, PATH), lambda values: np.repeat(values, 2))
    result = method.step(question(fine, 0.37))
    np.testing.assert_allclose(result.value, left(fine, 0.37), atol=1e-8)
    assert result.iterations == fine.iterations < coarse.iterations == result.notes["coarse_iterations"]
    lost = GridSequencing(
        LoadStepping(fine, PATH), LoadStepping(coarse, PATH), lambda values: np.full(24, 0.577), fine_iterations=2
    ).step(question(fine, 0.3))
    assert lost.notes["fell_back"] == 1
    np.testing.assert_allclose(lost.value, left(fine, 0.3), atol=1e-8)
    method.close()


def test_the_predictor_is_exact_on_polynomials() -> None:
    points = [(s, np.array([1.0 - s + 3.0 * s**2])) for s in (0.1, 0.25, 0.3)]
    assert predicted(points, 0.7)[0] == pytest.approx(1.0 - 0.7 + 3.0 * 0.49)


def test_zero_proposes_zeros() -> None:
    assert not Zero().predict(Query(np.ones(3))).value.any()


def runs(count: int, seed: int) -> list[Trajectory]:
    generator = np.random.default_rng(seed)
    found = []
    for _ in range(count):
        load, shift = generator.uniform(-1.0, 1.0, 2), generator.uniform(-1.0, 1.0)
        x = np.linspace(0.0, 1.0, 30)
        state = np.sin(load[0] + x) + shift * load[1] * x**2
        found.append(Trajectory(np.array([1.0]), state[None], {"load": load, "shift": shift}))
    return found


def test_pod_and_gaussian_process_beat_the_nearest_snapshot_and_come_back_from_a_file() -> None:
    seen, unseen = runs(60, 0), runs(20, 1)
    process, nearest = PodGaussianProcess(), NearestSnapshot()
    figures = process.fit(seen, modes=5)
    nearest.fit(seen)
    again = PodGaussianProcess.from_file(process.tensors(), process.settings())
    stored = NearestSnapshot.from_file(nearest.tensors(), nearest.settings())
    errors = []
    for run in unseen:
        query = Query(np.zeros(30), parameters=run.parameters, transaction="solve")
        errors.append([np.linalg.norm(one.predict(query).value - run.states[-1]) for one in (process, nearest)])
        np.testing.assert_array_equal(again.predict(query).value, process.predict(query).value)
        np.testing.assert_array_equal(stored.predict(query).value, nearest.predict(query).value)
    mean = np.mean(errors, axis=0)
    assert mean[0] < 0.2 * mean[1]
    assert figures["length"] >= 1.0


def test_a_sample_is_reproduced_by_the_gaussian_process() -> None:
    seen = runs(30, 2)
    process = PodGaussianProcess()
    process.fit(seen, modes=30)
    query = Query(np.zeros(30), parameters=seen[3].parameters, transaction="solve")
    np.testing.assert_allclose(process.predict(query).value, seen[3].states[-1], atol=1e-3)


def test_the_path_scales_only_what_it_names() -> None:
    query = Query(np.zeros(1), parameters={"force": np.array([2.0, 4.0]), "other": 3.0})
    half = PATH(query, 0.5)
    np.testing.assert_array_equal(half.parameters["force"], [1.0, 2.0])
    assert half.parameters["other"] == 3.0
    assert replace(half, parameters=query.parameters) is not query
