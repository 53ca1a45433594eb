"""Basis x network: learns a known solution operator, carries over, keeps its derivatives and its bits."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from cosolve.core.entries import Entry
from cosolve.core.errors import BadInputError, ModelMismatchError, PluginError
from cosolve.core.model_card import ModelCard
from cosolve.core.model_file import load_surrogate, save_surrogate
from cosolve.core.query import Query, Snapshot
from cosolve.core.training_data import TrainingData
from cosolve.core.trajectory import Trajectory
from cosolve.plugins.pytorch import BasisSurrogate, cosolve_surrogates
from cosolve.plugins.pytorch.basis_training import queries, train_basis_surrogate
from cosolve.plugins.pytorch.extrapolation import extrapolated
from cosolve.plugins.pytorch.options import BasisOptions
from cosolve.testing import StoredSurrogateContract

SMALL = {"modes": 4, "state_modes": 4, "time": False, "width": 16, "epochs": 300}


class Registry:
    """The part of the registry that loading needs."""

    def get(self, role: str, name: str) -> Entry:
        return next(entry for entry in cosolve_surrogates() if entry.name == name)


@pytest.fixture(scope="module")
def trained(line: np.ndarray, line_data: TrainingData) -> tuple[BasisSurrogate, dict[str, float]]:
    return train_basis_surrogate(
        line_data, line, BasisOptions(**SMALL | {"width": 32, "epochs": 1000, "batch": 64}), seed=0
    )


def small(line: np.ndarray, data: TrainingData, **options: Any) -> BasisSurrogate:
    return train_basis_surrogate(data, line, BasisOptions(**{**SMALL, "epochs": 3, **options}))[0]


def first_query(run: Trajectory, order: int = 0) -> Query:
    return next(iter(queries(run, order)))[0]


def test_it_learns_the_heat_equation(trained: tuple[BasisSurrogate, dict[str, float]]) -> None:
    """Half a percent of unseen runs' states, one step ahead, where the previous state errs by a sixth of them."""
    _, figures = trained
    assert figures["validation_error"] <= 5e-3
    assert figures["base_error"] >= 0.15
    assert figures["basis_misses"] <= 1e-8


def test_it_carries_over_to_a_finer_and_an_uneven_mesh(
    trained: tuple[BasisSurrogate, dict[str, float]],
    make_run: Callable[[int, np.ndarray], Trajectory],
    line: np.ndarray,
) -> None:
    surrogate, _ = trained
    rng = np.random.default_rng(0)
    for points in (np.linspace(0.0, 1.0, 101), np.sort(rng.uniform(0.0, 1.0, 57))):
        run = make_run(1000, points)
        surrogate.place(points[:, None])
        errors = [
            np.linalg.norm(surrogate.predict(query).value - truth) / np.linalg.norm(truth)
            for query, truth in queries(run, 0)
        ]
        assert np.median(errors) <= 1e-2


def test_the_order_of_the_values_does_not_matter(
    trained: tuple[BasisSurrogate, dict[str, float]], line_data: TrainingData, line: np.ndarray
) -> None:
    surrogate, _ = trained
    surrogate.place(line)
    query = first_query(line_data.validation[0])
    expected = surrogate.predict(query).value
    order = np.random.default_rng(0).permutation(len(line))
    surrogate.place(line[order])
    shuffled = surrogate.predict(replace(query, state=query.state[order])).value
    assert np.allclose(shuffled, expected[order], rtol=0.0, atol=1e-13)


@pytest.mark.parametrize(
    "options",
    [
        {},
        {"base": "mean"},
        {"base": "projected", "history_modes": 2},
        {"base": "linear", "history_modes": 3},
        {"shared": True, "quadratic_modes": 3},
        {"basis": "trunk", "trunk_width": 8},
        {"ensemble": 2, "decays": (0.5,)},
    ],
    ids=["previous", "mean", "projected", "linear", "shared quadratic", "trunk", "ensemble"],
)
class TestKinds:
    """Every kind keeps the contract."""

    def make(self, options: dict[str, Any], line: np.ndarray, data: TrainingData) -> tuple[BasisSurrogate, Query]:
        surrogate = small(line, data, **options)
        for parameter in surrogate.network.parameters():
            with torch.no_grad():
                parameter.add_(0.1 * torch.randn(parameter.shape, generator=torch.Generator().manual_seed(0)))
        return surrogate, first_query(data.validation[0], 2)

    def test_derivatives(self, options: dict[str, Any], line: np.ndarray, line_data: TrainingData) -> None:
        """Against central differences in float64 to 1e-6, and forward against backward to rounding."""
        surrogate, query = self.make(options, line, line_data)
        rng = np.random.default_rng(0)
        tangent, cotangent = rng.standard_normal((2, len(line)))
        forward, backward = surrogate.jvp(query, tangent), surrogate.vjp(query, cotangent)
        h = 1e-5
        ahead = surrogate.predict(replace(query, state=query.state + h * tangent)).value
        behind = surrogate.predict(replace(query, state=query.state - h * tangent)).value
        assert np.linalg.norm(forward) > 0.0
        assert np.linalg.norm((ahead - behind) / (2 * h) - forward) <= 1e-6 * np.linalg.norm(forward)
        assert float(cotangent @ forward) == pytest.approx(float(backward @ tangent), rel=1e-10, abs=1e-10)

    def test_file_round_trip_is_bit_for_bit(
        self, options: dict[str, Any], line: np.ndarray, line_data: TrainingData, tmp_path: Path
    ) -> None:
        surrogate, query = self.make(options, line, line_data)
        path = tmp_path / "model.safetensors"
        save_surrogate(path, surrogate, ModelCard(surrogate="pod_mlp", parameters=("rate",)))
        again = load_surrogate(path, Registry())
        assert isinstance(again, BasisSurrogate)
        again.place(line)
        assert np.array_equal(again.predict(query).value, surrogate.predict(query).value)
        for name, tensor in surrogate.tensors().items():
            assert np.array_equal(again.tensors()[name], tensor), name
            assert again.tensors()[name].dtype == tensor.dtype, name


def test_the_contract_of_stored_surrogates(line: np.ndarray, line_data: TrainingData) -> None:
    class Contract(StoredSurrogateContract):
        differentiable = True
        finite_difference_rtol = 1e-6

        def make(self) -> BasisSurrogate:
            return small(line, line_data)

        def query(self) -> Query:
            return first_query(line_data.validation[0])

    contract = Contract()
    names = [name for name in dir(contract) if name.startswith("test_") and "file" not in name]
    assert len(names) >= 5
    for name in names:
        getattr(contract, name)()


def test_where_history_is_short_the_extrapolation_alone_is_proposed(line: np.ndarray, line_data: TrainingData) -> None:
    surrogate = small(line, line_data, base="quadratic")
    query = first_query(line_data.validation[0], 2)
    alone = replace(query, history=query.history[:1])
    prediction = surrogate.predict(alone)
    assert prediction.notes == {"base_only": True}
    assert np.array_equal(prediction.value, extrapolated(alone, 2))
    assert np.allclose(prediction.value, 2.0 * alone.state - alone.history[0].state, atol=1e-12)
    assert "base_only" not in surrogate.predict(query).notes


@pytest.mark.parametrize("order", [0, 1, 2])
def test_extrapolation_is_exact_for_polynomials_on_uneven_times(order: int) -> None:
    times = [1.0, 0.7, 0.1]
    past = [Snapshot(t, np.array([t**order])) for t in times]
    query = Query(past[0].state, t=1.0, dt=0.3, history=tuple(past[1:]))
    assert extrapolated(query, order)[0] == pytest.approx(1.3**order, rel=1e-12)


def test_an_ensemble_says_how_much_it_disagrees(line: np.ndarray, line_data: TrainingData) -> None:
    surrogate = small(line, line_data, ensemble=3, epochs=30)
    query = first_query(line_data.validation[0])
    inside = surrogate.predict(query).uncertainty
    outside = surrogate.predict(replace(query, parameters={"rate": 8.0})).uncertainty
    assert inside is not None
    assert outside is not None
    assert 0.0 < inside < outside
    assert small(line, line_data).predict(query).uncertainty is None


def test_the_same_seed_gives_the_same_weights(line: np.ndarray, line_data: TrainingData) -> None:
    one, same = (train_basis_surrogate(line_data, line, BasisOptions(**SMALL | {"epochs": 5}), seed=1)[0] for _ in "ab")
    other = train_basis_surrogate(line_data, line, BasisOptions(**SMALL | {"epochs": 5}), seed=2)[0]
    assert all(np.array_equal(tensor, same.tensors()[name]) for name, tensor in one.tensors().items())
    assert any(not np.array_equal(tensor, other.tensors()[name]) for name, tensor in one.tensors().items())


def test_kicks_teach_how_deviations_evolve(line: np.ndarray) -> None:
    """Runs of one amplitude only show one direction; kicked runs show the derivative by the state in the others."""
    k = np.arange(1, 5)
    sines = np.sin(np.pi * np.outer(k, line[:, 0]))
    factors = np.exp(-(k**2) * 0.05)
    rng = np.random.default_rng(0)

    def runs(kick: float) -> tuple[Trajectory, ...]:
        made = []
        for _ in range(12):
            amplitudes, kicks, states = np.ones(4) * rng.uniform(0.5, 1.5), [], []
            for _ in range(9):
                states.append(amplitudes)
                kicks.append(kick * rng.normal(size=4))
                amplitudes = factors * (amplitudes + kicks[-1])
            made.append(
                Trajectory(0.05 * np.arange(9), np.array(states) @ sines, {"rate": 1.0}, np.array(kicks[:-1]) @ sines)
            )
        return tuple(made)

    def derivative_error(kick: float) -> float:
        data = TrainingData(runs(kick)[2:], runs(kick)[:2])
        surrogate = small(
            line, data, base="mean", epochs=100, ridge=1e-10, state_modes=4 if kick else 2, modes=4 if kick else 2
        )
        state = np.ones(4) @ sines
        moved = surrogate.jvp(Query(state, dt=0.05, parameters={"rate": 1.0}), sines[1] * 1.0)
        return float(np.linalg.norm(moved - factors[1] * sines[1]) / np.linalg.norm(factors[1] * sines[1]))

    assert derivative_error(0.05) <= 0.05
    assert derivative_error(0.0) >= 0.3


def test_misuse_is_a_sentence(line: np.ndarray, line_data: TrainingData) -> None:
    surrogate = small(line, line_data)
    query = first_query(line_data.validation[0])
    with pytest.raises(ModelMismatchError, match=r"needs the parameter 'rate', .*\(nearest: 'rates'\); it has rates"):
        surrogate.predict(replace(query, parameters={"rates": 1.0}))
    with pytest.raises(ModelMismatchError, match="was bound to 33 values of this rank, the state has 7"):
        surrogate.predict(replace(query, state=query.state[:7]))
    fresh = BasisSurrogate.from_file(surrogate.tensors(), surrogate.settings())
    with pytest.raises(PluginError, match=r"'pod_mlp' was asked before `bind\(solver\)`"):
        fresh.predict(query)
    with pytest.raises(BadInputError, match="99 were asked for; make more runs or ask for fewer"):
        small(line, line_data, state_modes=99)
    with pytest.raises(BadInputError, match="33 values, but 32 coordinates"):
        small(line[:-1], line_data)


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        ({"width": 10**9}, "the settings ask for sizes"),
        ({"depth": 0}, "the settings ask for sizes"),
        ({"members": 10**12}, "the settings ask for sizes"),
        ({"quadratic": [0, 10**6]}, "the settings ask for sizes"),
        ({"quadratic": [-1, 2]}, "the settings name features"),
        ({"base": "cubic"}, "unknown base 'cubic'. Known: mean, projected, previous, linear, quadratic."),
        ({"width": 15}, "has shape"),
        ({"members": 2}, "is missing"),
        ({"modes": 3}, "has shape"),
        ({"basis": {"kind": "pickle"}}, "unknown kind of basis 'pickle'"),
    ],
)
def test_settings_that_lie_are_refused_before_anything_is_allocated(
    line: np.ndarray, line_data: TrainingData, change: dict[str, Any], sentence: str
) -> None:
    surrogate = small(line, line_data)
    with pytest.raises(BadInputError, match=sentence):
        BasisSurrogate.from_file(surrogate.tensors(), {**surrogate.settings(), **change})
