"""The adaptive start on a KSP and within the coupling: never worse than without proposals, whatever they say."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import cosolve
import numpy as np
import pytest
from cosolve.core.errors import BadInputError, PluginError
from cosolve.core.prediction import Prediction
from cosolve.core.query import Query
from cosolve.core.surrogate import Surrogate
from cosolve.plugins.petsc import AdaptiveStart, EnergyProjection, KspSolver, SnesSolver
from petsc_problems import Rod, poisson

PRICES = {"iteration": 1.0, "space": 0.3, "proposals": 0.4}


def solver_of(kind: str = "cg", *, changing: bool = False) -> KspSolver:
    ksp, b = poisson()
    ksp.setType(kind)
    count = int(np.sqrt(b.getSize()))
    x, y = np.meshgrid((np.arange(count) + 1.0) / (count + 1), (np.arange(count) + 1.0) / (count + 1))
    operator, _ = ksp.getOperators()

    def update(query: Query) -> None:
        place = query.parameters["place"]
        b.array[:] = np.exp(-40.0 * ((x - place) ** 2 + (y - 0.5) ** 2)).ravel()
        if changing:
            operator.scale(1.1 if query.step % 2 else 1.0 / 1.1)

    return KspSolver(ksp, b, update=update, rtol=1e-8)


class Knows(Surrogate):
    """Proposes the solution for a place `error` away, which another solver has found."""

    name = "knows"

    def __init__(self, error: float, fault: str = "") -> None:
        self._error, self._fault = error, fault
        self._other = solver_of()
        self.asked = 0

    def _predict(self, query: Query) -> Prediction:
        self.asked += 1
        value = self._other.solve(parameters={"place": query.parameters["place"] + self._error}).value
        if self._fault == "raises":
            raise ValueError("planted")
        if self._fault == "nan":
            value[3] = np.nan
        if self._fault == "shape":
            value = value[:-1]
        return Prediction(value)


def smooth(count: int) -> Any:
    return 0.5 + 0.3 * np.sin(0.02 * np.arange(count))


def jumping(count: int) -> Any:
    return np.random.default_rng(2).uniform(0.1, 0.9, count)


def solve_all(solver: KspSolver, start: AdaptiveStart | EnergyProjection, places: Any) -> int:
    start.bind(solver)
    total = 0
    for step, place in enumerate(places):
        query = Query(solver.initial_state(), step=step, transaction="solve", parameters={"place": place})
        result = solver.step(query, start.predict(query).value)
        assert result.converged
        start.observe(query, result.value)
        total += result.linear_iterations
    return total


def test_on_a_smooth_sequence_history_is_chosen_and_the_network_left_out() -> None:
    with solver_of() as solver:
        network = Knows(0.05)
        start = AdaptiveStart(20, [network], prices=PRICES | {"proposals": 40.0})
        total = solve_all(solver, start, smooth(200))
        assert str(start.choice.chosen) == "projection"
        assert total <= 1.2 * solve_all(solver, EnergyProjection(20), smooth(200))
        assert network.asked == start.asked <= 60


def test_where_the_source_jumps_a_good_network_joins() -> None:
    with solver_of() as solver:
        start = AdaptiveStart(5, [Knows(1e-4)], prices=PRICES)
        total = solve_all(solver, start, jumping(150))
        assert start.choice.chosen.joined
        assert start.asked >= 120
        assert total <= 0.7 * solve_all(solver, EnergyProjection(5), jumping(150))


@pytest.mark.parametrize("fault", ["raises", "nan", "shape"])
def test_a_network_that_fails_leaves_the_classical_start(fault: str) -> None:
    with solver_of() as solver:
        one, other = AdaptiveStart(20, [Knows(0.0, fault)], prices=PRICES), AdaptiveStart(20, prices=PRICES)
        assert solve_all(solver, one, smooth(60)) <= 1.1 * solve_all(solver, other, smooth(60))
        assert one.alone is None


@pytest.mark.parametrize("places", [smooth(80), jumping(80)])
def test_the_start_is_never_worse_than_its_base_in_the_energy_norm(places: Any) -> None:
    with solver_of() as solver:
        start = AdaptiveStart(8, [Knows(0.3)], prices=PRICES)
        start.bind(solver)
        operator, _ = solver.ksp.getOperators()
        compared = 0
        for step, place in enumerate(places):
            query = Query(solver.initial_state(), step=step, transaction="solve", parameters={"place": place})
            value = start.predict(query).value
            result = solver.step(query, value)
            if start.alone is not None:
                errors = []
                for guess in (value, start.alone):
                    x = solver.vector()
                    x.array[:] = guess - result.value
                    errors.append(float(x.dot(operator * x)))
                assert errors[0] <= errors[1] * (1.0 + 1e-6) + 1e-15 * float(result.value @ solver.b.array_r)
                compared += 1
            start.observe(query, result.value)
        assert compared >= 20


def test_an_operator_that_changes_each_time_is_followed() -> None:
    with solver_of(changing=True) as solver:
        start = AdaptiveStart(20, prices={"iteration": 1.0, "space": 0.3})
        total = solve_all(solver, start, smooth(120))
        zero = sum(solver.solve(parameters={"place": place}).linear_iterations for place in smooth(120))
        assert str(start.choice.chosen) == "projection"
        assert total <= 0.8 * zero


def test_in_the_coupling_proposals_join_where_conjugate_gradients_solve(tmp_path: Path) -> None:
    network = Knows(1e-4)
    with solver_of() as solver, cosolve.initial_guess(solver, network, directory=tmp_path) as guess:
        (start,) = guess.proposers
        assert isinstance(start, AdaptiveStart)
        outcomes = [guess.solve({"place": place}) for place in jumping(60)]
        assert all(outcome.source == "adaptive_start+solve" for outcome in outcomes)
        assert start.asked == network.asked >= 14
    records = [json.loads(line) for line in (tmp_path / "ledger.jsonl").read_text().splitlines()]
    said = [record["proposals"]["adaptive_start"] for record in records if record["kind"] == "step"]
    assert {"start", "phase"} <= said[0].keys()
    prices = next(note["prices"] for note in said if note.get("prices"))
    # The prices of the ledger repeat the run decision by decision.
    with solver_of() as solver:
        again = AdaptiveStart(20, [Knows(1e-4)], prices=prices)
        with cosolve.initial_guess(solver, again) as guess:
            for place in jumping(60):
                guess.solve({"place": place})
            other = [str(start) for start in again.history]
    assert other == [note["start"] for note in said]


@pytest.mark.parametrize("proposers", ["baseline", "gmres", "join"])
def test_elsewhere_starts_compete(proposers: str) -> None:
    network = Knows(1e-4)
    with solver_of("gmres" if proposers == "gmres" else "cg") as solver:
        given: Any = [network, EnergyProjection(4)] if proposers == "baseline" else network
        with cosolve.initial_guess(solver, given, join=proposers != "join") as guess:
            assert guess.proposers[0] is network
            assert guess.solve({"place": 0.4}).ok


def test_bad_input_is_told_in_a_sentence() -> None:
    with pytest.raises(BadInputError, match="at least one"):
        AdaptiveStart(0)
    with pytest.raises(BadInputError, match="communicates"):
        AdaptiveStart(4, [EnergyProjection()])
    with pytest.raises(BadInputError, match="prices need 'iteration'"):
        AdaptiveStart(prices={"iterations": 1.0})
    rod = Rod()
    with SnesSolver(rod.snes(), rod.u) as solver, pytest.raises(PluginError, match="'petsc_snes'"):
        AdaptiveStart().bind(solver)
