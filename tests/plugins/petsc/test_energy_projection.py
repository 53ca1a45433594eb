from __future__ import annotations

from typing import Any

import cosolve
import numpy as np
import pytest
from cosolve.core.errors import PluginError
from cosolve.core.governor import Governor
from cosolve.core.prediction import Prediction
from cosolve.core.query import Query
from cosolve.core.surrogate import Surrogate
from cosolve.plugins.petsc import EnergyProjection, KspSolver, SnesSolver
from hypothesis import given, settings
from hypothesis import strategies as st
from petsc_problems import Rod, poisson


class Says(Surrogate):
    """Proposes what it is told."""

    name = "says"

    def __init__(self, answer: Any = None) -> None:
        self.answer = answer

    def _predict(self, query: Query) -> Prediction:
        if self.answer is None:
            raise ValueError("planted in a proposer")
        return Prediction(self.answer)


def moving() -> KspSolver:
    ksp, b = poisson()
    count = int(np.sqrt(b.getSize()))
    x, y = np.meshgrid((np.arange(count) + 1.0) / (count + 1), (np.arange(count) + 1.0) / (count + 1))

    def update(query: Query) -> None:
        place = query.parameters["place"]
        b.array[:] = np.exp(-40.0 * ((x - place) ** 2 + (y - 0.5) ** 2)).ravel()

    return KspSolver(ksp, b, update=update, rtol=1e-6)


def energy_error(solver: KspSolver, query: Query, start: Any) -> float:
    exact = solver.step(query).value
    operator, _ = solver.ksp.getOperators()
    x = solver.vector()
    x.array[:] = start - exact
    return float(np.sqrt(x.dot(operator * x)))


def asked(place: float, solver: KspSolver, step: int) -> Query:
    return Query(solver.initial_state(), step=step, transaction="solve", parameters={"place": place})


def test_the_start_is_the_best_over_history_and_proposal_in_the_energy_norm() -> None:
    with moving() as solver:
        query = asked(0.7, solver, 9)
        near = solver.step(query).value * 1.01 + 0.02
        alone, network = EnergyProjection(6), EnergyProjection(6, [Says(near)])
        for proposer in (alone, network):
            proposer.bind(solver)
            for step, place in enumerate((0.2, 0.3, 0.4, 0.5)):
                earlier = asked(place, solver, step)
                proposer.predict(earlier)
                proposer.observe(earlier, solver.step(earlier).value)
        history, joined = alone.predict(query), network.predict(query)
        assert history.notes == {"space": 4, "joined": 0}
        assert joined.notes == {"space": 4, "joined": 1}
        errors = [energy_error(solver, query, start) for start in (history.value, joined.value, near)]
        assert errors[1] <= min(errors[0], errors[2]) * (1.0 + 1e-9)
        assert errors[1] < 0.2 * errors[0]


@pytest.mark.parametrize("answer", [None, "nan", "shape"])
def test_a_proposer_that_fails_is_left_out(answer: str | None) -> None:
    with moving() as solver:
        said = {None: None, "nan": np.full(solver.n_owned, np.nan), "shape": np.ones(3)}[answer]
        values = []
        for proposer in (EnergyProjection(6), EnergyProjection(6, [Says(said)])):
            proposer.bind(solver)
            earlier = asked(0.2, solver, 0)
            proposer.observe(earlier, solver.step(earlier).value)
            values.append(proposer.predict(asked(0.25, solver, 1)).value)
        np.testing.assert_array_equal(*values)


def test_a_sequence_of_solves_needs_fewer_krylov_iterations() -> None:
    places = np.linspace(0.2, 0.8, 31)
    with moving() as solver:
        cold = sum(solver.solve(parameters={"place": place}).linear_iterations for place in places)
        with cosolve.initial_guess(solver, EnergyProjection(12), governor=Governor("off")) as guess:
            outcomes = [guess.solve({"place": place}) for place in places]
        warm = sum(outcome.solve.linear_iterations for outcome in outcomes if outcome.solve is not None)
        assert warm <= 0.7 * cold
        query = asked(places[-1], solver, 0)
        assert solver.measure(query, outcomes[-1].value).ratio <= 1.0


def test_an_operator_that_changed_makes_the_space_orthogonal_anew() -> None:
    with moving() as solver:
        projection = EnergyProjection(6)
        projection.bind(solver)
        for step, place in enumerate((0.2, 0.4, 0.6)):
            query = asked(place, solver, step)
            projection.predict(query)
            projection.observe(query, solver.step(query).value)
        operator, _ = solver.ksp.getOperators()
        operator.scale(3.0)
        query = asked(0.4, solver, 9)
        assert energy_error(solver, query, projection.predict(query).value) <= 1e-5


def run(solver: KspSolver, projection: EnergyProjection, places: Any) -> list[Any]:
    """Return the solutions of a sequence that the projection has learnt from."""
    projection.bind(solver)
    found = []
    for step, place in enumerate(places):
        query = asked(place, solver, step)
        result = solver.step(query, projection.predict(query).value)
        projection.observe(query, result.value)
        found.append(result.value)
    return found


@settings(max_examples=30, deadline=None)
@given(
    seed=st.integers(0, 1000),
    kind=st.sampled_from(["noise", "near", "exact", "in the span", "zero", "huge", "tiny"]),
    size=st.integers(1, 6),
    solves=st.integers(0, 9),
)
def test_no_proposal_makes_the_energy_error_larger(seed: int, kind: str, size: int, solves: int) -> None:
    random = np.random.default_rng(seed)
    with moving() as solver:
        says = Says(np.zeros(solver.n_owned))
        projection = EnergyProjection(size, [says])
        past = run(solver, projection, random.uniform(0.1, 0.9, solves))
        query = asked(float(random.uniform(0.1, 0.9)), solver, solves)
        exact = solver.step(query).value
        noise = random.standard_normal(solver.n_owned)
        says.answer = {
            "noise": noise,
            "near": exact * (1.0 + 0.1 * noise),
            "exact": exact,
            "in the span": sum(past, np.zeros(solver.n_owned)),
            "zero": 0.0 * noise,
            "huge": 1e12 * noise,
            "tiny": 1e-12 * noise,
        }[kind]
        joined = projection.predict(query).value
        alone = joined if projection.alone is None else projection.alone
        errors = [energy_error(solver, query, start) for start in (joined, alone, np.zeros(solver.n_owned))]
        assert errors[0] <= errors[1] * (1.0 + 1e-8) + 1e-8 * errors[2]
        assert errors[1] <= errors[2] * (1.0 + 1e-8)
        if kind == "exact":
            assert errors[0] <= 1e-5 * errors[2]


@pytest.mark.parametrize("size", [1, 2, 3, 8])
def test_a_full_space_forgets_the_oldest_and_stays_orthonormal(size: int) -> None:
    places = 0.5 + 0.4 * np.sin(np.arange(3 * size + 2))
    with moving() as solver:
        projection = EnergyProjection(size)
        past = run(solver, projection, places)
        projection.predict(asked(0.3, solver, 99))
        space = projection._space
        assert space is not None
        assert 0 < space.count <= size
        operator, _ = solver.ksp.getOperators()
        x = solver.vector()

        def energy(one: Any, other: Any) -> float:
            x.array[:] = one
            return float((operator * x).array @ other)

        gram = np.array([[energy(a, b) for b in space.basis] for a in space.basis])
        np.testing.assert_allclose(gram, np.eye(space.count), atol=1e-10)
        for value in past[-max(size // 2, 1) :]:
            rest = value - np.array([energy(value, row) for row in space.basis]) @ space.basis
            assert energy(rest, rest) <= 1e-16 * energy(value, value)


def test_solutions_that_differ_little_are_told_apart_down_to_rounding() -> None:
    places = 0.5 + 1e-3 * np.arange(40)
    with moving() as solver:
        counts = []
        for size in (5, 20):
            projection = EnergyProjection(size)
            run(solver, projection, places[:-1])
            query = asked(places[-1], solver, 99)
            counts.append(solver.step(query, projection.predict(query).value).linear_iterations)
        assert counts[1] <= counts[0] <= 0.5 * solver.step(asked(places[-1], solver, 99)).linear_iterations


def test_memory_gives_the_same_start_again() -> None:
    with moving() as solver:
        projection, again = EnergyProjection(4), EnergyProjection(4)
        run(solver, projection, (0.2, 0.3, 0.5, 0.6, 0.7, 0.4))
        again.bind(solver)
        again.restore({name: values.copy() for name, values in projection.memory().items()})
        query = asked(0.45, solver, 9)
        starts = [proposer.predict(query).value for proposer in (projection, again)]
        np.testing.assert_allclose(starts[1], starts[0], rtol=1e-9, atol=1e-12)


def test_another_solver_than_a_ksp_is_refused() -> None:
    rod = Rod()
    with SnesSolver(rod.snes(), rod.u) as solver, pytest.raises(PluginError, match="'petsc_snes'"):
        EnergyProjection().bind(solver)
