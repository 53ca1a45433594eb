"""The training loop: each optimiser learns, divergence is told with what to try, and the best weights stay."""

from __future__ import annotations

import math
from typing import Literal

import pytest
import torch
from cosolve.core.errors import NotConvergedError
from cosolve.plugins.pytorch.fit import FitSettings, fit_network
from cosolve.plugins.pytorch.layers import MLP
from torch import Tensor, nn


def pairs(count: int, seed: int) -> tuple[Tensor, Tensor]:
    x = 2.0 * torch.rand(count, 2, dtype=torch.float64, generator=torch.Generator().manual_seed(seed)) - 1.0
    return x, torch.sin(2.0 * x[:, :1]) + x[:, 1:] ** 2


def network() -> MLP:
    torch.manual_seed(0)
    return MLP([2, 24, 1], torch.float64)


@pytest.mark.parametrize(("optimiser", "rate", "epochs"), [("adamw", 1e-2, 80), ("lion", 2e-3, 80), ("lbfgs", 1.0, 8)])
def test_each_optimiser_learns(optimiser: Literal["adamw", "lion", "lbfgs"], rate: float, epochs: int) -> None:
    net = network()
    settings = FitSettings(epochs=epochs, batch=20, learning_rate=rate, optimiser=optimiser)
    result = fit_network(net, pairs(120, 1), pairs(40, 2), settings)
    assert result.validation_loss < 0.03
    assert 1 <= result.epochs <= epochs
    again = fit_network(other := network(), pairs(120, 1), pairs(40, 2), settings)
    assert again.validation_loss == result.validation_loss
    assert all(torch.equal(a, b) for a, b in zip(net.parameters(), other.parameters(), strict=True))


class Explosive(nn.Module):
    """Loses its head where a weight has moved too far."""

    def __init__(self, bound: float) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.zeros(1, dtype=torch.float64))
        self.bound = bound

    def forward(self, x: Tensor) -> Tensor:
        too_far = (self.weight.detach().abs() > self.bound).any()
        return x * self.weight + torch.where(too_far, torch.inf, 0.0)


def test_a_smaller_learning_rate_saves_a_fit_that_diverges() -> None:
    x = torch.linspace(-1.0, 1.0, 40, dtype=torch.float64)[:, None]
    net = Explosive(0.6)
    result = fit_network(net, (x, 0.3 * x), (x, 0.3 * x), FitSettings(epochs=300, batch=10, learning_rate=1.0))
    assert result.validation_loss < 1e-4
    assert float(net.weight.detach()) == pytest.approx(0.3, abs=0.05)


def test_a_fit_that_cannot_be_saved_says_what_to_try_and_keeps_its_best_weights() -> None:
    x = torch.linspace(-1.0, 1.0, 40, dtype=torch.float64)[:, None]
    net = Explosive(1e-9)
    with pytest.raises(NotConvergedError, match=r"learning rates 1 to 0\.016; try 0\.0016.* weights so far are kept"):
        fit_network(net, (x, 0.3 * x), (x, 0.3 * x), FitSettings(epochs=300, batch=10, learning_rate=1.0))
    assert math.isfinite(float(net.weight.detach()))
    assert float(net.weight.detach()) == 0.0


def test_the_clip_bounds_the_gradient() -> None:
    x = torch.full((16, 1), 1e6, dtype=torch.float64)
    seen = []
    net = Explosive(math.inf)
    net.weight.register_post_accumulate_grad_hook(lambda weight: seen.append(weight))
    fit_network(net, (x, 0.3 * x), (x, 0.3 * x), FitSettings(epochs=1, learning_rate=0.1, clip=1e-3))
    assert float(seen[-1].grad.norm()) <= 1e-3
