"""The bench of linear guesses in small: it counts, its surrogate never spoils the energy, the oracle wins."""

from __future__ import annotations

import json

import numpy as np
from cosolve.core.query import Query
from cosolve.examples.linear_guess.bench import OURS, compare
from cosolve.examples.linear_guess.starts import BasisSurrogate, Extrapolation


def test_the_bench_compares_all_starts_to_the_same_tolerance() -> None:
    content = json.loads(compare(16, 30, 40, 3).as_json())
    metrics = content["metrics"]
    assert metrics["energy_above_projection"] == 0
    assert metrics["oracle_tournaments"] > 5
    assert metrics["oracle_wins"] >= 0.9
    assert metrics["worst_regret"] >= metrics["worst_regret_mean"] > 0.0
    ours = [case for case in content["cases"] if case["start"] == OURS]
    assert len(ours) == 3
    assert all(case["surrogate_asked"] > 0 and case["training_seconds"] > 0.0 for case in ours)
    best = [
        min(case["over_best_fixed"] for case in content["cases"] if case["sequence"] == o["sequence"]) for o in ours
    ]
    assert all(value <= 1.0 for value in best)


def test_the_basis_surrogate_learns_polynomials_and_extrapolation_is_exact_on_parabolas() -> None:
    random = np.random.default_rng(0)
    places = random.uniform(-1.0, 1.0, (120, 3))
    direction = random.standard_normal((2, 50))
    values = (places[:, :1] ** 2 * places[:, 1:2]) * direction[0] + places[:, 2:] * direction[1]
    learnt = BasisSurrogate(places[:100], values[:100], degree=3)
    for place, value in zip(places[100:], values[100:], strict=True):
        said = learnt.predict(Query(np.zeros(50), parameters={"place": place})).value
        np.testing.assert_allclose(said, value, atol=1e-2 * np.abs(values).max())
    quadratic = Extrapolation(2)
    for t in (0.0, 1.0, 2.0):
        quadratic.observe(Query(np.zeros(1)), np.array([t * t - t]))
    np.testing.assert_allclose(quadratic.predict(Query(np.zeros(1))).value, [6.0])
