"""Cards of the parts: Lion (arXiv:2302.06675), LoRA (arXiv:2106.09685) and Hydra (arXiv:2309.06922)."""

from __future__ import annotations

import copy
from collections.abc import Callable

import torch
from cosolve.examples.operators.cards.card import Part
from cosolve.plugins.pytorch.adapters import Adapted, Adapter, Hydra, LoRA
from cosolve.plugins.pytorch.fit import FitSettings, fit_network, relative_l2
from cosolve.plugins.pytorch.layers import MLP
from cosolve.plugins.pytorch.lion import Lion
from torch import Tensor, nn


def lion(seed: int, quick: bool) -> list[Part]:
    """Card 1.21: the first step, two steps by hand, one state a parameter, complex parameters by their parts."""
    torch.manual_seed(seed)
    start = torch.randn(50, dtype=torch.float64)
    gradients = torch.randn(2, 50, dtype=torch.float64)
    parameter = nn.Parameter(start.clone())
    optimiser = Lion([parameter], lr=0.1, weight_decay=0.0)
    parameter.grad = gradients[0].clone()
    optimiser.step()
    first = float(((parameter.detach() - start).abs() - 0.1).abs().max())
    parameter.grad = gradients[1].clone()
    optimiser.step()
    momentum = 0.01 * gradients[0]
    by_hand = start - 0.1 * gradients[0].sign() - 0.1 * (0.9 * momentum + 0.1 * gradients[1]).sign()
    second = float((parameter.detach() - by_hand).abs().max())
    states = sum(state.numel() for state in optimiser.state[parameter].values())
    z = nn.Parameter(torch.zeros(20, dtype=torch.complex128))
    z.grad = torch.randn(20, dtype=torch.complex128)
    Lion([z], lr=0.1).step()
    parts = torch.view_as_real(z.detach())
    return [
        Part("two steps against those by hand", second, 1e-12),
        Part("first step: departure from the learning rate", first, 1e-12),
        Part("numbers kept for each parameter", states / 50, 1.0),
        Part("complex: departure of real and imaginary parts", float((parts.abs() - 0.1).abs().max()), 1e-12),
    ]


def lora(seed: int, quick: bool) -> list[Part]:
    """Card 1.3's check of LoRA."""
    return _exact(lambda layer: LoRA(layer, 2), seed)


def hydra(seed: int, quick: bool) -> list[Part]:
    """Card 1.20: exact at the start and merged; at most LoRA's error after a transfer at equal parameters.

    The transfer: a network that knows a family of functions learns another member from 50 samples.
    """
    own, rival = _transfer(lambda layer: Hydra(layer, 2), seed), _transfer(lambda layer: LoRA(layer, 4), seed)
    share = own[1] / rival[1]
    return [
        Part("transfer: error over LoRA's at equal parameters", own[0] / rival[0], 1.0),
        *_exact(lambda layer: Hydra(layer, 1), seed),
        Part("parameters over LoRA's", share, 1.05),
    ]


def _exact(make: Callable[[nn.Linear], Adapter], seed: int) -> list[Part]:
    torch.manual_seed(seed)
    base = MLP([6, 256, 256, 5], torch.float64)
    plain, values = copy.deepcopy(base), torch.randn(30, 6, dtype=torch.float64)
    adapted = Adapted(base, make)
    start = float((adapted(values) - plain(values)).abs().max().detach())
    with torch.no_grad():
        for parameter in adapted.trainable():
            parameter.normal_(0.0, 0.1)
        before = adapted(values)
        after = adapted.merge()(values)
    trainable = sum(parameter.numel() for parameter in Adapted(copy.deepcopy(plain), make).trainable())
    share = trainable / sum(parameter.numel() for parameter in plain.parameters())
    return [
        Part("merged: departure from unmerged", float((after - before).abs().max() / before.abs().max()), 1e-12),
        Part("at the start: departure from the base", start, 0.0),
        Part("share of the parameters that is trained", share, 0.05),
    ]


def _transfer(make: Callable[[nn.Linear], Adapter], seed: int) -> tuple[float, int]:
    """Return the error after the transfer, and the number of trained parameters."""
    torch.manual_seed(seed)
    network = MLP([3, 64, 64, 8], torch.float64)
    x, y = _family(600, seed, 1.0)
    fit_network(network, (x[:500], y[:500]), (x[500:], y[500:]), FitSettings(epochs=150, seed=seed), loss=relative_l2)
    adapted = Adapted(network, make)
    x, y = _family(350, seed + 1000, 1.6)
    count = sum(parameter.numel() for parameter in adapted.trainable())
    settings = FitSettings(epochs=400, batch=25, learning_rate=5e-3, seed=seed)
    fit_network(_Trainable(adapted), (x[:50], y[:50]), (x[50:100], y[50:100]), settings, loss=relative_l2)
    with torch.no_grad():
        return float(relative_l2(adapted(x[100:]), y[100:])), count


class _Trainable(nn.Module):
    """Shows an optimiser the adapters alone."""

    def __init__(self, adapted: Adapted) -> None:
        super().__init__()
        self.adapted = adapted

    def forward(self, values: Tensor) -> Tensor:
        """Return what the network returns."""
        result: Tensor = self.adapted(values)
        return result


def _family(count: int, seed: int, contrast: float) -> tuple[Tensor, Tensor]:
    """Return pairs of three coefficients and eight values of a saturating function of them."""
    generator = torch.Generator().manual_seed(seed)
    x = 2.0 * torch.rand(count, 3, generator=generator, dtype=torch.float64) - 1.0
    s = torch.linspace(0.1, 1.0, 8, dtype=torch.float64)
    phase = contrast * (x[:, :1] * s + x[:, 1:2] * s**2) + 0.5 * x[:, 2:]
    return x, torch.sin(2.0 * phase) + contrast * torch.tanh(3.0 * x[:, :1] * x[:, 1:2]) * s
