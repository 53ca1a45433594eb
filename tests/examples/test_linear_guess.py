"""The bench of linear guesses in small: it counts, its surrogate never spoils the energy, the oracle wins."""

from __future__ import annotations

import json

import numpy as np
from cosolve.core.query import Query
from cosolve.examples.linear_guess.bench import ALWAYS, OURS, compare
from cosolve.examples.linear_guess.cavity import DT, Cavity
from cosolve.examples.linear_guess.starts import BasisSurrogate, Extrapolation


def test_the_bench_compares_all_starts_to_the_same_tolerance() -> None:
    content = json.loads(compare(16, 40, 40, 3).as_json())
    metrics = content["metrics"]
    assert metrics["energy_above_projection"] == 0
    assert metrics["oracle_tournaments"] > 5
    assert metrics["oracle_wins"] >= 0.9
    assert metrics["worst_regret"] >= metrics["worst_regret_mean"] > 0.0
    cases = content["cases"]
    ours = [case for case in cases if case["start"] == OURS]
    assert len(ours) == 4
    assert all(case["surrogate_asked"] >= 14 and case["training_seconds"] > 0.0 for case in ours)
    assert metrics["judged"] == sum(case["surrogate_asked"] for case in ours)
    for one in ours:
        here = {case["start"]: case for case in cases if case["sequence"] == one["sequence"]}
        assert min(case["over_best_fixed"] for case in here.values()) <= 1.0
        # A surrogate that joins takes away energy; iterations follow, but for one here and there.
        assert here[ALWAYS]["iterations_total"] <= here["projection 20"]["iterations_total"] + 4


def test_pressures_of_the_cavity_take_the_divergence_away() -> None:
    cavity = Cavity(16)
    right = cavity.right_hand_sides(12, np.random.default_rng(0))
    again = cavity.right_hand_sides(12, np.random.default_rng(0))
    other = cavity.right_hand_sides(12, np.random.default_rng(1))
    np.testing.assert_array_equal(right, again)
    assert np.abs(right - other).max() > 0.0
    assert np.isfinite(right).all()
    # Each solve asks for what is left of the divergence: little against that of the lid's jerk at the start.
    left = DT * np.linalg.norm(right, axis=1)
    assert left[-1] < 0.5 * left[0]
    x, y = cavity.matrix.createVecs()
    x.array[:] = right[0]
    y.array[:] = right[1]
    energies = [float(x.dot(cavity.matrix * x)), float(y.dot(cavity.matrix * x) - x.dot(cavity.matrix * y))]
    assert energies[0] > 0.0
    assert abs(energies[1]) <= 1e-12 * energies[0]


def test_the_basis_surrogate_learns_a_smooth_map_and_extrapolation_is_exact_on_cubics() -> None:
    random = np.random.default_rng(0)
    places = random.uniform(-1.0, 1.0, (150, 2))
    direction = random.standard_normal((2, 50))
    values = (places[:, :1] ** 2 * places[:, 1:2]) * direction[0] + places[:, 1:] * direction[1]
    learnt = BasisSurrogate(places[:130], values[:130])
    for place, value in zip(places[130:], values[130:], strict=True):
        said = learnt.predict(Query(np.zeros(50), parameters={"place": place})).value
        np.testing.assert_allclose(said, value, atol=1e-2 * np.abs(values).max())
    cubic = Extrapolation(3)
    for t in (0.0, 1.0, 2.0, 3.0):
        cubic.observe(Query(np.zeros(1)), np.array([t**3 - t]))
    np.testing.assert_allclose(cubic.predict(Query(np.zeros(1))).value, [60.0])
