"""The cantilever bends as beams do, its methods agree, and the shipped models start unseen beams."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

pytest.importorskip("dolfinx", reason="FEniCSx is not installed here")
pytest.importorskip("torch", reason="torch is not installed here")

import cosolve
from cosolve.core.governor import Governor
from cosolve.core.query import Query
from cosolve.examples.cantilever import methods
from cosolve.examples.cantilever.bare import BareStepping
from cosolve.examples.cantilever.bench import MODEL, STEPPING, TARGETS, _models, summary
from cosolve.examples.cantilever.options import LARGEST, STRENGTH, TRACTION, CantileverOptions, draw
from cosolve.examples.cantilever.plate import plate_mesh, plate_solver
from cosolve.examples.cantilever.plate_bench import measure_plate
from cosolve.examples.cantilever.problem import CantileverProblem, coarse_of, form_solver, grown, innermost
from cosolve.plugins.baselines.pod_gp import PodGaussianProcess
from mpi4py import MPI

STEPS: dict[str, Any] = {"first_step": 0.1, "shrink": 0.5, **STEPPING[1]}
SMALL = (20, 4)


def test_beams_are_drawn_from_their_seed_and_cut_off() -> None:
    drawn = [draw(3, index) for index in range(200)]
    assert all(np.all(np.abs(one["traction"]) <= LARGEST * np.array(STRENGTH)) for one in drawn)
    np.testing.assert_array_equal(drawn[7]["modulus"], draw(3, 7)["modulus"])
    assert not np.array_equal(drawn[7]["modulus"], draw(4, 7)["modulus"])
    options = CantileverOptions(seed=3, index=5, load=0.5)
    np.testing.assert_allclose(options.parameters(2)["traction"], 0.5 * drawn[7]["traction"])


def test_a_light_load_bends_the_beam_as_euler_and_bernoulli_say() -> None:
    load = 1e-4
    parameters = {"modulus": np.zeros(12), "traction": load * np.eye(6)[0]}
    with form_solver(MPI.COMM_SELF, 120, 24, prefix="light_") as solver:
        result = solver.solve(parameters=parameters)
        places = solver.coordinates()
        tip = np.isclose(places[:, 0], 5.0) & (places[:, 2] == 1.0)
    # q L^4 / (8 E' I) with E' = E / (1 - nu^2), I = 1/12, and Timoshenko's shear part q L^2 / (2 k G).
    bending = load * TRACTION * 5.0**4 * (1.0 - 0.09) * 12.0 / 8.0
    shear = load * TRACTION * 5.0**2 / 2.0 * 2.0 * 1.3 * 1.2
    assert result.converged
    assert result.value[tip].mean() == pytest.approx(bending + shear, rel=0.02)


@pytest.mark.mpi
def test_the_reference_is_the_norm_of_the_load() -> None:
    """No stress at rest: what is left of the residual there is the load, which the reference has without assembling."""
    with form_solver(MPI.COMM_WORLD, *SMALL, prefix="load_") as solver:
        for index in range(3):
            query = Query(solver.initial_state(), transaction="solve", parameters=draw(12, index))
            left = solver.residual(query, np.zeros(solver.n_owned))
            at_rest = MPI.COMM_WORLD.allreduce(float(left @ left)) ** 0.5
            assert solver.reference.at(query)[0] == pytest.approx(at_rest, rel=1e-10)
        unloaded = Query(
            solver.initial_state(), transaction="solve", parameters=draw(12, 0) | {"traction": np.zeros(6)}
        )
        assert float(np.max(solver.reference.at(unloaded))) > 0.0


def test_old_jacobians_give_the_same_answer_and_are_counted() -> None:
    parameters = draw(11, 0)
    answers = []
    for reuse in (False, True):
        method = methods.load_stepping(SMALL, {**STEPS, "reuse": reuse, "corrector_iterations": 12})
        answers.append(method(parameters))
        method.close()
    fresh, old = answers
    assert fresh.converged
    assert old.converged
    np.testing.assert_allclose(old.value, fresh.value, atol=1e-6)
    assert fresh.factorisations == fresh.fine_solves
    assert old.factorisations < old.fine_solves


def test_the_bare_script_takes_the_very_steps_of_load_stepping() -> None:
    parameters = draw(11, 1)
    method, bare = methods.load_stepping(SMALL, STEPS), BareStepping(SMALL, STEPS)
    answer = method(parameters)
    value, reached = bare.solve(parameters)
    assert reached
    np.testing.assert_allclose(value, answer.value, atol=1e-8)
    assert bare.iterations == answer.fine_solves
    method.close()


def test_continuations_agree_and_sequencing_spares_fine_solves() -> None:
    parameters = draw(11, 2)
    ways = [
        methods.load_stepping(SMALL, STEPS),
        methods.grid_sequencing(SMALL, 1, STEPS, False),
        methods.arc_length(SMALL, {"reuse": False}),
    ]
    answers = [way(parameters) for way in ways]
    for way, answer in zip(ways, answers, strict=True):
        assert answer.converged, way.name
        np.testing.assert_allclose(answer.value, answers[0].value, atol=1e-6)
        way.close()
    assert answers[1].fine_solves < 0.5 * answers[0].fine_solves


def test_prolongation_is_exact_on_what_both_meshes_hold() -> None:
    with form_solver(MPI.COMM_SELF, 8, 4, prefix="prolong_") as fine:
        coarse, prolong = coarse_of(fine, "prolong_coarse_", (4, 2))
        values = [
            1.0 + places[:, 0] - 2.0 * places[:, 1] + 0.5 * places[:, 0] * places[:, 1] * places[:, 2]
            for places in (coarse.coordinates(), fine.coordinates())
        ]
        np.testing.assert_allclose(prolong(values[0]), values[1], atol=1e-12)
        prolong.close()
        coarse.close()


def test_the_jacobian_at_rest_has_no_negative_eigenvalue_and_under_compression_it_has() -> None:
    with form_solver(MPI.COMM_SELF, *SMALL, prefix="inertia_") as solver:
        rest = Query(solver.initial_state(), parameters={"modulus": np.zeros(12), "traction": np.zeros(6)})
        assert solver.negative_directions(rest, solver.initial_state()) == 0
        squeezed = np.where(solver.coordinates()[:, 2] == 0.0, -0.2 * solver.coordinates()[:, 0], 0.0)
        assert solver.negative_directions(rest, squeezed) >= 1


@pytest.mark.skipif(not MODEL.is_file(), reason="trained models are part of a release")
def test_the_shipped_models_start_unseen_beams() -> None:
    surrogate, correction = _models()
    assert sum(path.stat().st_size for path in MODEL.parent.glob("*.safetensors")) <= 2e6
    hybrid = methods.guessed((80, 16), surrogate, correction, (1, STEPS, True, 1.0), polish=16)
    slow = methods.load_stepping((80, 16), STEPS)
    sources = []
    for index in range(3):
        answer, truth = hybrid(draw(123, index), index), slow(draw(123, index))
        np.testing.assert_allclose(answer.value, truth.value, atol=1e-5)
        sources.append(answer.source)
        if answer.source != "solver":
            assert answer.fine_solves <= truth.fine_solves / 3
    assert sources.count("solver") < len(sources)
    hybrid.close()
    slow.close()


@pytest.mark.skipif(not MODEL.is_file(), reason="trained models are part of a release")
def test_the_case_runs_and_every_answer_is_the_solvers(tmp_path: Path) -> None:
    overrides = {"coupling.solves": 2, "governor.mode": "off", "output.directory": str(tmp_path / "run")}
    result = cosolve.run(MODEL.with_name("case.toml"), overrides=overrides)
    assert result.stats["steps"] == 2
    problem = CantileverProblem(CantileverOptions(seed=1))
    with innermost(problem.make_solver(MPI.COMM_SELF, {"continuation": "none"})) as solver:
        query = Query(result.value, parameters=problem.solve_parameters(1), transaction="solve")
        assert solver.measure(query, result.value).ratio <= 1.0


def test_the_path_scales_the_traction_alone() -> None:
    query = Query(np.zeros(1), parameters={"modulus": np.ones(12), "traction": np.ones(6)})
    half = grown(query, 0.5)
    np.testing.assert_array_equal(half.parameters["traction"], np.full(6, 0.5))
    np.testing.assert_array_equal(half.parameters["modulus"], np.ones(12))


def test_the_plate_without_a_coarse_mesh_skips_its_load_stepping() -> None:
    nodes, cells = plate_mesh(0.12)
    first, second = (nodes[cells[:, k]] - nodes[cells[:, 0]] for k in (1, 2))
    area = 0.5 * np.abs(first[:, 0] * second[:, 1] - first[:, 1] * second[:, 0]).sum()
    assert area == pytest.approx(4.0 - np.pi * (0.22**2 + 0.2**2 + 0.24**2), rel=0.02)
    generator = np.random.default_rng(0)
    pulls = [{"pull": generator.uniform(-1.0, 1.0, 3)} for _ in range(34)]
    with plate_solver(MPI.COMM_SELF, 0.12) as solver:
        with cosolve.initial_guess(solver, path="pull", governor=Governor("off")) as stepping:
            known = [stepping.solve(pull).value for pull in pulls[:28]]
            truth = [stepping.solve(pull) for pull in pulls[28:]]
        surrogate = PodGaussianProcess.of(known, pulls[:28])
        with cosolve.initial_guess(solver, surrogate, path="pull", governor=Governor("off")) as guess:
            found = [guess.solve(pull) for pull in pulls[28:]]
    for one, other in zip(found, truth, strict=True):
        np.testing.assert_allclose(one.value, other.value, atol=1e-6)
    before, after = (sum(one.solve.iterations for one in run if one.solve) for run in (truth, found))
    assert after <= 0.6 * before


def test_plates_are_measured_from_solutions_of_their_own_mesh() -> None:
    metrics = measure_plate(5, 3, [STEPS], paths=60)
    assert metrics["plate_success_rate"] == 1.0
    assert metrics["plate_training_seconds"] > 0.0
    assert metrics["plate_time_ratio_vs_stepping"] > 0.5


def test_the_summary_charges_failures_and_training() -> None:
    class Card:
        cost_data_seconds, cost_training_seconds = 6.0, 3.0

    class Model:
        model_card = Card()

    names = ["load_stepping", "grid_sequencing", "hybrid", "network_unpolished", "nearest_snapshot", "pod_gp"]

    def case(hybrid: dict[str, object]) -> dict[str, object]:
        slow = {"seconds": 1.0, "fine_solves": 30, "factorisations": 30, "right": True, "source": "load_stepping"}
        return {"bending": 2.0, "vs_bare": {"ours": 1.0, "bare": 1.0}, **dict.fromkeys(names, slow), "hybrid": hybrid}

    good = {"seconds": 0.1, "fine_solves": 2, "factorisations": 1, "right": True, "source": "hybrid+solve"}
    lost = {"seconds": 0.3, "fine_solves": 4, "factorisations": 2, "right": True, "source": "solver"}
    metrics = summary([case(good), case(lost)], names, Model(), None, 0.5)  # type: ignore[arg-type]  # stand-ins
    assert metrics["linear_solves_ratio_vs_stepping"] == pytest.approx(30.0 / 3.0)
    assert metrics["factorisations_ratio_vs_stepping"] == pytest.approx(30.0 / 1.5)
    assert metrics["fine_solves_ratio_vs_stepping"] == pytest.approx(30.0 / 2.25)
    assert metrics["time_ratio_vs_stepping"] == pytest.approx(5.0)
    assert (metrics["success_rate"], metrics["success_rate_before_fallback"]) == (1.0, 0.5)
    assert metrics["break_even_queries"] == np.ceil(9.0 / 0.8)
    assert set(TARGETS) <= set(metrics)
