"""Cards of the grid operators: what happens as the grid is refined, untrained and trained (arXiv:2506.10973)."""

from __future__ import annotations

from typing import Any, Final

import numpy as np
import torch
from cosolve.examples.operators.cards.card import Part
from cosolve.examples.operators.tasks import Fields
from cosolve.plugins.pytorch.operators.fno import FourierNeuralOperator
from cosolve.plugins.pytorch.operators.grid_operator import GridOperator
from cosolve.plugins.pytorch.operators.local_operator import LocalOperator
from cosolve.plugins.pytorch.operators.presets import regressor
from cosolve.plugins.pytorch.operators.training import OperatorFit, fit_operator
from cosolve.plugins.pytorch.operators.unet import UNet
from torch import Tensor

BASE: Final = 16


def fno(seed: int, quick: bool) -> list[Part]:
    """Card 1.5 for the Fourier neural operator."""
    torch.manual_seed(seed)
    net = FourierNeuralOperator(2, 1, [5, 5], 8, 3, dtype=torch.float64)
    return [*_trained("fno", seed, quick), _falls(net)]


def local_operator(seed: int, quick: bool) -> list[Part]:
    """Card 1.5 for the local operator."""
    torch.manual_seed(seed)
    net = LocalOperator(2, 1, [5, 5], 8, 3, base=BASE, dtype=torch.float64)
    return [*_trained("local_operator", seed, quick), _falls(net)]


def unet(seed: int, quick: bool) -> list[Part]:
    """Card 1.5 for the U-Net by the rules, and the plain U-Net as the one that must fail."""
    torch.manual_seed(seed)
    by_rules = UNet(2, 1, 2, 8, 2, base=BASE, boundary="circular", dtype=torch.float64)
    plain = UNet(2, 1, 2, 8, 2, boundary="circular", dtype=torch.float64)
    stays = drift(plain)
    return [
        *_trained("unet", seed, quick),
        _falls(by_rules),
        Part("plain U-Net: drift from 4n to 8n over that from n to 2n, which stays", stays[2] / stays[0], 0.25, True),
    ]


def _falls(net: GridOperator) -> Part:
    """Return by which factor the drift falls when the grid is refined twice, worst of two refinements."""
    first, second, third = drift(net)
    worst = max(second / first if first > 1e-11 else 0.0, third / second if second > 1e-11 else 0.0)
    return Part("untrained: factor of the drift from n to 2n by a refinement (linear: 0.5)", worst, 0.6)


def drift(net: GridOperator, base: int = BASE) -> list[float]:
    """Return how far the answers on n and 2n points are apart, for n = base, 2 base, 4 base."""
    found = []
    with torch.no_grad():
        for n in (base, 2 * base, 4 * base):
            coarse, fine = net(_smooth(n)), net(_smooth(2 * n))[..., ::2, ::2]
            found.append(float((fine - coarse).norm() / coarse.norm()))
    return found


def _smooth(n: int) -> Tensor:
    s = 2.0 * torch.pi * torch.arange(n, dtype=torch.float64) / n
    x, y = torch.meshgrid(s, s, indexing="ij")
    return torch.stack([torch.sin(x) * torch.cos(2 * y) + 0.5 * torch.cos(3 * x + y), torch.cos(x - y)])[None]


def darcy_on_two_grids(count: int, seed: int, cells: int = 64) -> tuple[Fields, Fields]:
    """Return coefficients and solutions on `cells` x `cells`, to be averaged to coarser grids."""
    # Imported here: needs PETSc.
    from cosolve.examples.operators.darcy import darcy

    task = darcy(cells, count, 0, seed)
    assert task.equations is not None
    task.equations.close()
    return task.x_train, task.y_train


def averaged(fields: Fields, n: int) -> Tensor:
    """Return averages over blocks, on n x n points."""
    count, channels, m = fields.shape[:3]
    blocks = fields.reshape(count, channels, n, m // n, n, m // n)
    return torch.from_numpy(np.ascontiguousarray(blocks.mean(axis=(3, 5))))


def _trained(name: str, seed: int, quick: bool) -> list[Part]:
    """Return the error on 32 points over that on the 16 of the training."""
    training, test = (300, 60) if quick else (1000, 100)
    x, y = darcy_on_two_grids(training + test, seed)
    model = regressor(name, (BASE, BASE), 1, 1, parameters=100_000, seed=seed)
    coarse = averaged(x, BASE), averaged(y, BASE)
    fit_operator(
        model, coarse[0][:training], coarse[1][:training], OperatorFit(seconds=20.0 if quick else 120.0, seed=seed)
    )
    errors: dict[int, Any] = {}
    with torch.no_grad():
        for n in (BASE, 2 * BASE):
            found, true = model(averaged(x[training:], n)), averaged(y[training:], n)
            errors[n] = float(((found - true).flatten(1).norm(dim=1) / true.flatten(1).norm(dim=1)).mean())
    return [
        Part("trained on 16 x 16: error on 32 x 32 over that on 16 x 16", errors[2 * BASE] / errors[BASE], 1.4),
        Part("error on 16 x 16", errors[BASE], 0.2),
    ]
