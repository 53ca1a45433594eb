from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from cosolve.core.errors import BadInputError
from cosolve.core.training_data import TrainingData
from cosolve.core.trajectory import Trajectory
from cosolve.plugins.pytorch.basis_training import train_basis_surrogate
from cosolve.plugins.pytorch.features import FeatureMap
from cosolve.plugins.pytorch.layers import MLP
from cosolve.plugins.pytorch.options import BasisOptions
from cosolve.plugins.pytorch.tangents import Tangents, tangent_samples, value_and_slope

POINTS = np.linspace(0.0, 1.0, 30)[:, None]


def solution(p: np.ndarray) -> np.ndarray:
    x = POINTS[:, 0]
    return np.sin(2.0 * p[0]) * x + p[1] ** 2 * x**2 + np.exp(0.5 * p[2]) * x**3


def slopes(p: np.ndarray) -> np.ndarray:
    x = POINTS[:, 0]
    return np.array([2.0 * np.cos(2.0 * p[0]) * x, 2.0 * p[1] * x**2, 0.5 * np.exp(0.5 * p[2]) * x**3])


def data(count: int) -> tuple[TrainingData, list[Tangents]]:
    drawn = np.random.default_rng(0).normal(size=(count + 20, 3))
    runs = [
        Trajectory(np.array([0.0, 1.0]), np.array([np.zeros(30), solution(p)]), {"p": p.astype(np.float64)})
        for p in drawn
    ]
    tangents = [Tangents({"p": np.eye(3)}, np.zeros((3, 30)), slopes(p)) for p in drawn[:count]]
    return TrainingData(tuple(runs[:count]), tuple(runs[count:])), tangents


def moving(runs: TrainingData) -> TrainingData:
    """Return the runs from states that are not all zero."""
    changed = [replace(run, states=run.states + POINTS[:, 0] ** index) for index, run in enumerate(runs.training)]
    return replace(runs, training=tuple(changed))


OPTIONS = BasisOptions(
    base="mean",
    modes=3,
    state_modes=0,
    time=False,
    width=32,
    epochs=300,
    batch=24,
    learning_rate=1e-2,
    schedule="cosine",
    single=True,
)


def test_the_slope_is_the_derivative_and_has_the_gradient_of_torch() -> None:
    torch.manual_seed(0)
    network = MLP([3, 8, 8, 2])
    inputs, direction = torch.randn(5, 3, dtype=torch.float64), torch.randn(5, 3, dtype=torch.float64)
    value, slope = value_and_slope(network, inputs, direction)
    step = 1e-6
    quotient = (network(inputs + step * direction) - network(inputs - step * direction)) / (2.0 * step)
    torch.testing.assert_close(value, network(inputs))
    torch.testing.assert_close(slope, quotient, atol=1e-8, rtol=1e-6)
    expected = torch.func.jvp(network, (inputs,), (direction,))[1]
    weights = list(network.parameters())[:-1]  # the last bias moves no derivative
    for ours, theirs in zip(
        torch.autograd.grad((slope**2).sum(), weights),
        torch.autograd.grad((expected**2).sum(), weights),
        strict=True,
    ):
        torch.testing.assert_close(ours, theirs)


def test_derivatives_make_few_runs_worth_many() -> None:
    runs, tangents = data(24)
    alone = train_basis_surrogate(runs, POINTS, OPTIONS)[1]["validation_error"]
    derived = train_basis_surrogate(runs, POINTS, OPTIONS, tangents=tangents)[1]["validation_error"]
    assert derived < 0.5 * alone


def test_tangents_must_fit_the_runs_and_the_features() -> None:
    runs, tangents = data(4)
    with pytest.raises(BadInputError, match="3 tangents for 4 training steps"):
        train_basis_surrogate(runs, POINTS, OPTIONS, tangents=tangents[:3])
    features = FeatureMap.for_parameters(runs.training[0].parameters, time=False)
    with pytest.raises(BadInputError, match="base 'mean' or 'previous'"):
        tangent_samples(tangents, features, np.zeros((0, 30)), np.zeros((3, 30)), "linear")
    options = OPTIONS.model_copy(update={"state_modes": 2, "quadratic_modes": 2})
    with pytest.raises(BadInputError, match="without products"):
        train_basis_surrogate(moving(runs), POINTS, options, tangents=tangents)
