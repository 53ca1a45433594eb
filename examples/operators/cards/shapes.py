"""Card of MT-DeepONet: one network for several shapes, and what it knows of a new one (arXiv:2408.02198)."""

from __future__ import annotations

from typing import Final

import numpy as np
import scipy.fft
import scipy.sparse as sp
import scipy.sparse.linalg as spla
import torch
from cosolve.core.arrays import Array
from cosolve.examples.operators.cards.card import Part
from cosolve.plugins.pytorch.fit import FitSettings, fit_network, relative_l2
from cosolve.plugins.pytorch.operators.mt_deeponet import MultiTaskDeepONet
from torch import Tensor, nn

POINTS: Final = 24
_SHAPES: Final = ("square", "triangle", "disc")
Data = tuple[Tensor, Tensor, Tensor]


def mt_deeponet(seed: int, quick: bool) -> list[Part]:
    """Card 1.7: zero outside; joint against single training at equal updates; an ellipse from 50 samples."""
    training, epochs = (300, 60) if quick else (800, 100)
    data = {shape: _poisson(shape, training + 40, seed) for shape in (*_SHAPES, "ellipse")}
    torch.manual_seed(seed)
    joint = _net(seed)
    parts = [data[shape] for shape in _SHAPES]
    _train(joint, _joined([_take(part, 40, 40 + training) for part in parts]), seed, epochs)
    joint_error = np.mean([_error(joint, _take(part, 0, 40)) for part in parts])
    single_error = []
    for part in parts:
        # As many updates in all: each single network has as many as its share of the joint training.
        net = _net(seed)
        _train(net, _take(part, 40, 40 + training), seed, epochs)
        single_error.append(_error(net, _take(part, 0, 40)))
    few, unseen = _take(data["ellipse"], 40, 90), _take(data["ellipse"], 0, 40)
    scratch = _net(seed + 1)
    _train(scratch, few, seed, 3 * epochs)
    for parameter in joint.parameters():
        parameter.requires_grad_(False)
    for parameter in joint.dense_layers():
        parameter.requires_grad_(True)
    _train(joint, few, seed, 3 * epochs)
    field, mask, _ = unseen
    with torch.no_grad():
        outside = float((_answers(joint, field, mask) * (1.0 - mask.flatten(1))).abs().max())
    gain, share = _error(scratch, unseen) / _error(joint, unseen), float(joint_error / np.mean(single_error))
    return [
        Part("ellipse, 50 samples: error of scratch over that of the dense layers", gain, 2.0, True),
        Part("joint error over the mean of single shapes, equal updates", share, 1.2),
        Part("largest value outside the mask", outside, 0.0),
    ]


def _net(seed: int) -> MultiTaskDeepONet:
    torch.manual_seed(seed)
    return MultiTaskDeepONet(1, (POINTS, POINTS), (8, 16), 64, 64)


def _grid() -> Tensor:
    axis = (torch.arange(POINTS) + 0.5) / POINTS
    return torch.stack(torch.meshgrid(axis, axis, indexing="ij"), dim=-1).reshape(-1, 2)


def _answers(net: MultiTaskDeepONet, field: Tensor, mask: Tensor) -> Tensor:
    result: Tensor = net(field, mask, _grid(), mask.flatten(1))
    return result


def _train(net: MultiTaskDeepONet, data: Data, seed: int, epochs: int) -> None:
    field, mask, solution = data
    if float(net.outputs.scale) == 1.0:
        net.inputs.fit(field)
        net.outputs.fit(solution.flatten(1).reshape(-1, 1))
    held = len(field) // 8
    order = torch.randperm(len(field), generator=torch.Generator().manual_seed(seed))
    inner, outer = order[held:], order[:held]
    fit_network(
        _Trained(net),
        (field[inner], mask[inner], solution[inner]),
        (field[outer], mask[outer], solution[outer]),
        FitSettings(epochs=epochs, batch=16, learning_rate=2e-3, seed=seed),
        loss=relative_l2,
    )


class _Trained(nn.Module):
    """The network on the points of the image."""

    def __init__(self, net: MultiTaskDeepONet) -> None:
        super().__init__()
        self.net = net

    def forward(self, field: Tensor, mask: Tensor) -> Tensor:
        """Return the answers."""
        return _answers(self.net, field, mask)


def _error(net: MultiTaskDeepONet, data: Data) -> float:
    with torch.no_grad():
        return float(relative_l2(_answers(net, data[0], data[1]), data[2]))


def _take(data: Data, begin: int, end: int) -> Data:
    return data[0][begin:end], data[1][begin:end], data[2][begin:end]


def _joined(parts: list[Data]) -> Data:
    return (
        torch.cat([part[0] for part in parts]),
        torch.cat([part[1] for part in parts]),
        torch.cat([part[2] for part in parts]),
    )


def _poisson(shape: str, count: int, seed: int) -> Data:
    """Return sources, masks and solutions of -Laplace u = f inside a shape, u = 0 outside."""
    inside = _inside(shape).ravel()
    second = sp.diags([-1.0, 2.0, -1.0], [-1, 0, 1], shape=(POINTS, POINTS)) * POINTS**2
    matrix = (sp.kron(second, sp.eye(POINTS)) + sp.kron(sp.eye(POINTS), second)).tocsr()
    factor = spla.splu(matrix[inside][:, inside].tocsc())
    random = np.random.default_rng([seed, len(shape)])
    k = np.arange(POINTS)
    decay = 1.0 / (1.0 + k[:, None] ** 2 + k[None, :] ** 2)
    sources = scipy.fft.dctn(random.standard_normal((count, POINTS, POINTS)) * decay, type=3, axes=(1, 2))
    solutions = np.zeros((count, POINTS**2))
    solutions[:, inside] = factor.solve(sources.reshape(count, -1)[:, inside].T).T
    mask = np.broadcast_to(inside.reshape(1, POINTS, POINTS), (count, POINTS, POINTS))
    single = [np.ascontiguousarray(part, dtype=np.float32) for part in (sources[:, None], mask, solutions)]
    return torch.from_numpy(single[0]), torch.from_numpy(single[1]), torch.from_numpy(single[2])


def _inside(shape: str) -> Array:
    axis = (np.arange(POINTS) + 0.5) / POINTS
    x, y = np.meshgrid(axis, axis, indexing="ij")
    found: Array = {
        "square": (np.abs(x - 0.5) < 0.4) & (np.abs(y - 0.5) < 0.4),
        "triangle": (y > 0.1) & (y < 1.8 * np.minimum(x, 1.0 - x)),
        "disc": (x - 0.5) ** 2 + (y - 0.5) ** 2 < 0.42**2,
        "ellipse": ((x - 0.5) / 0.45) ** 2 + ((y - 0.5) / 0.3) ** 2 < 1.0,
    }[shape]
    return found
