"""Cards of the networks of points: DeepONet, POD-DeepONet, MultiONet and MT-DeepONet."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import torch
from cosolve.core.arrays import Array
from cosolve.examples.operators.cards.card import Part
from cosolve.plugins.pytorch.deeponet import DeepONet
from cosolve.plugins.pytorch.fit import FitSettings, fit_network, relative_l2
from cosolve.plugins.pytorch.operators.multionet import MultiONet
from cosolve.plugins.pytorch.operators.pod_deeponet import PODDeepONet
from cosolve.plugins.pytorch.operators.presets import count_of
from torch import Tensor, nn

_SENSORS = 100


def deeponet(seed: int, quick: bool) -> list[Part]:
    """Card 1.6: the antiderivative of Gaussian fields, points that do not see each other, derivatives by the point."""
    torch.manual_seed(seed)
    net = DeepONet(_SENSORS, 1, 40, 2, 40)
    error = _antiderivative(net, seed, 25.0 if quick else 120.0)
    return [Part("antiderivative, 150 functions: mean squared error", error, 1e-4), *_points(net, seed)]


def pod_deeponet(seed: int, quick: bool) -> list[Part]:
    """Card 1.6 for the trunk of POD modes; points are those of the modes."""
    torch.manual_seed(seed)
    v, u = _integrals(150, seed)
    net = PODDeepONet.of(v, u, terms=12, width=64, depth=1)
    held = 30
    settings = FitSettings(seconds=12.0 if quick else 60.0, batch=20, seed=seed, polish=20)
    fit_network(net, (v[held:], u[held:]), (v[:held], u[:held]), settings)
    v, u = _integrals(200, seed + 1)
    with torch.no_grad():
        error = float((net(v) - u).square().mean())
        projected = float((net.best(u) - u).square().mean())
    return [
        Part("antiderivative, 150 functions: mean squared error", error, 1e-4),
        Part("error of the best coefficients over that of the network's", projected / error, 1.0),
    ]


def multionet(seed: int, quick: bool) -> list[Part]:
    """Card 1.9: products of several layers do better than one at equal parameters, on Darcy's equations."""
    from cosolve.examples.operators.cards.resolution import averaged, darcy_on_two_grids

    training, n = 240 if quick else 800, 16
    x, y = darcy_on_two_grids(training + 100, seed, 32)
    values, targets = averaged(x, n).flatten(1), averaged(y, n).flatten(1)
    axis = (torch.arange(n) + 0.5) / n
    points = torch.stack(torch.meshgrid(axis, axis, indexing="ij"), dim=-1).reshape(-1, 2)
    errors, sizes = [], []
    for products in (3, 1):
        torch.manual_seed(seed)
        net = MultiONet(n * n, 2, 64, 4, products)
        net.fit_normalisers(values[:training], points, targets[:training])
        sizes.append(count_of(net))
        held = training // 8
        fit_network(
            net,
            (values[held:training], targets[held:training]),
            (values[:held], targets[:held]),
            FitSettings(epochs=300, batch=16, seconds=15.0 if quick else 90.0, weight_decay=1e-4, seed=seed),
            forward=_at(net, points),
            loss=relative_l2,
        )
        with torch.no_grad():
            errors.append(float(relative_l2(net(values[training:], points), targets[training:])))
    return [
        Part("Darcy 16 x 16: error of 3 products over that of 1", errors[0] / errors[1], 1.0),
        Part("parameters, relative difference", abs(sizes[0] / sizes[1] - 1.0), 1e-3),
        Part("error", errors[0], 0.3),
    ]


def _at(net: nn.Module, points: Tensor) -> Callable[[Tensor], Tensor]:
    def forward(values: Tensor) -> Tensor:
        result: Tensor = net(values, points)
        return result

    return forward


def _antiderivative(net: DeepONet, seed: int, seconds: float) -> float:
    v, u = _integrals(150, seed)
    points = torch.linspace(0.0, 1.0, _SENSORS, dtype=torch.float64)[:, None]
    net.fit_normalisers(v, points, u)
    held = 15
    settings = FitSettings(epochs=8000, batch=30, learning_rate=3e-3, patience=150, seconds=seconds, seed=seed)
    fit_network(net, (v[held:], u[held:]), (v[:held], u[:held]), settings, forward=_at(net, points))
    v, u = _integrals(200, seed + 1)
    with torch.no_grad():
        return float((net(v, points) - u).square().mean())


def _integrals(count: int, seed: int) -> tuple[Tensor, Tensor]:
    """Return Gaussian fields of correlation length 0.2 on the sensors, and their integrals from 0."""
    random = np.random.default_rng([seed, 6])
    at = np.linspace(0.0, 1.0, _SENSORS)
    covariance = np.exp(-0.5 * (at[:, None] - at[None, :]) ** 2 / 0.2**2)
    root = np.linalg.cholesky(covariance + 1e-9 * np.eye(_SENSORS))
    v: Array = random.standard_normal((count, _SENSORS)) @ root.T
    u = np.zeros_like(v)
    u[:, 1:] = np.cumsum(0.5 * (v[:, 1:] + v[:, :-1]), axis=1) * (at[1] - at[0])
    return torch.from_numpy(v), torch.from_numpy(u)


def _points(net: DeepONet, seed: int) -> list[Part]:
    random = torch.Generator().manual_seed(seed)
    values = torch.randn(2, _SENSORS, generator=random, dtype=torch.float64)
    points = torch.rand(40, 1, generator=random, dtype=torch.float64)
    order = torch.randperm(40, generator=random)
    h = 1e-6
    with torch.no_grad():
        together = net(values, points)
        shuffled = float((net(values, points[order]) - together[:, order]).abs().max())
        size = float(together.abs().max())
        difference = (net(values, points + h) - net(values, points - h)) / (2 * h)
    slope = torch.func.jvp(lambda at: net(values, at), (points,), (torch.ones_like(points),))[1].detach()
    return [
        Part("points in another order: largest difference", shuffled / size, 1e-13),
        Part("derivative by the point against differences", float((slope - difference).norm() / slope.norm()), 1e-6),
    ]
