"""Card of SineNet: it commutes with translations, and more waves do better on advection (arXiv:2403.19507)."""

from __future__ import annotations

import numpy as np
import torch
from cosolve.examples.operators.cards.card import Part
from cosolve.plugins.pytorch.operators.presets import count_of
from cosolve.plugins.pytorch.operators.regression import GridRegressor
from cosolve.plugins.pytorch.operators.sinenet import SineNet
from cosolve.plugins.pytorch.operators.training import OperatorFit, fit_operator
from torch import Tensor


def sinenet(seed: int, quick: bool) -> list[Part]:
    """Card 1.11: equivariance, and advection by several cells with 1, 2 and 4 waves of equal size."""
    points, shift, seconds = (32, 4, 25.0) if quick else (64, 8, 240.0)
    x, y = _advected(200 if quick else 600, points, shift, seed)
    test = 40
    errors = []
    for waves in (1, 2, 4):
        torch.manual_seed(seed)
        net = _of_size(waves, 60_000)
        model = GridRegressor(net, 1, 1, (points, points), coordinates=False, periodic=True)
        fit_operator(model, x[test:], y[test:], OperatorFit(seconds=seconds, learning_rate=3e-3, seed=seed))
        with torch.no_grad():
            found = model(x[:test])
        errors.append(float(((found - y[:test]).flatten(1).norm(dim=1) / y[:test].flatten(1).norm(dim=1)).mean()))
    return [
        Part(
            "advection: error with 4 waves over that with 1, equal parameters and CPU time", errors[2] / errors[0], 1.0
        ),
        Part("the same, 2 waves over 1", errors[1] / errors[0], 1.0),
        Part("periodic padding: departure from equivariance", _departure("circular", seed), 1e-5),
        Part("zero padding: the same, which must fail", _departure("zeros", seed), 1e-3, True),
    ]


def _of_size(waves: int, parameters: int) -> SineNet:
    """Return the network whose width brings it nearest to a number of parameters."""
    found = [SineNet(1, 1, width, waves, 2, multiplier=1.4) for width in range(4, 40, 2)]
    return min(found, key=lambda net: abs(count_of(net) - parameters))


def _departure(boundary: str, seed: int) -> float:
    torch.manual_seed(seed)
    net = SineNet(2, 1, 8, 2, 3, boundary=boundary, dtype=torch.float64)  # type: ignore[arg-type]  # a text
    values = torch.randn(1, 2, 32, 32, dtype=torch.float64)
    with torch.no_grad():
        after, before = net(values).roll((8, 16), (2, 3)), net(values.roll((8, 16), (2, 3)))
    return float((after - before).abs().max() / after.abs().max())


def _advected(count: int, points: int, shift: int, seed: int) -> tuple[Tensor, Tensor]:
    """Return smooth periodic fields, and the same moved by `shift` cells along both axes."""
    random = np.random.default_rng([seed, 11])
    k = np.fft.fftfreq(points) * points
    decay = 1.0 / (1.0 + (k[:, None] ** 2 + k[None, :] ** 2) / 9.0) ** 2
    noise = np.fft.fft2(random.standard_normal((count, points, points)))
    fields = np.real(np.fft.ifft2(noise * decay))
    fields /= fields.std()
    x = torch.from_numpy(fields.astype(np.float32))[:, None]
    return x, x.roll((shift, shift), (2, 3))
