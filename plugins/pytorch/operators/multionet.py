"""MultiONet: a DeepONet that uses the inner products of its last layers, not of the last one alone.

Zang and Koutsourelakis, DGenNO, J. Comput. Phys. 538 (2025) 114137, arXiv:2502.06250. Written from the equation

    u(y) = (1/l) sum_{j = 1..l} w_j <t_j(y), b_j(beta)> + b_0,

with branch and trunk of one width. With `l = 1` and `w = 1` it is a DeepONet whose layers all have that width.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import ClassVar

import torch
from cosolve.plugins.pytorch.deeponet import PointNetwork
from cosolve.plugins.pytorch.deeponet_surrogate import DeepONetSurrogate
from cosolve.plugins.pytorch.layers import Normaliser
from torch import Tensor, nn


class MultiONet(PointNetwork):
    """Branch and trunk networks of one width, joined in their last layers.

    Args:
        sensors: Number of values in.
        dimension: Dimension of the points.
        width: Width of all layers.
        depth: Number of layers of both networks.
        products: In how many of the last layers they are joined, at most `depth`.
        dtype: float32 or float64.
        activation: `tanh`, `gelu`, `silu` or `tanh-sin` (`tanh(sin(pi z) + z)`, of the authors' networks).

    Raises:
        ValueError: `products` is no number of layers.
    """

    def __init__(
        self,
        sensors: int,
        dimension: int,
        width: int = 64,
        depth: int = 4,
        products: int = 3,
        dtype: torch.dtype = torch.float32,
        activation: str = "gelu",
    ) -> None:
        super().__init__()
        if not 1 <= products <= depth:
            raise ValueError(f"a MultiONet of {depth} layers joins 1 to {depth} of them, found {products}")
        self.products, self.activation = products, activation
        self.sizes = {
            "sensors": sensors,
            "dimension": dimension,
            "width": width,
            "depth": depth,
            "products": products,
        }
        self.inputs = Normaliser(sensors, dtype=dtype)
        self.points = Normaliser(dimension, dtype=dtype)
        self.outputs = Normaliser(1, dtype=dtype)
        self.branch = nn.ModuleList(nn.Linear(sensors if k == 0 else width, width, dtype=dtype) for k in range(depth))
        self.trunk = nn.ModuleList(nn.Linear(dimension if k == 0 else width, width, dtype=dtype) for k in range(depth))
        self.weights = nn.Parameter(torch.ones(products, dtype=dtype))
        self.bias = nn.Parameter(torch.zeros(1, dtype=dtype))

    def fit_normalisers(self, values: Tensor, points: Tensor, targets: Tensor) -> None:
        """Fit shift and scale of the values, of the points and of the targets."""
        self.inputs.fit(values)
        self.points.fit(points)
        self.outputs.fit(targets.reshape(-1, 1))

    def forward(self, values: Tensor, points: Tensor) -> Tensor:
        """Return the answers, shape `(batch, n)`, from `(batch, sensors)` at points `(n, dimension)`."""
        return self.combine(self.branch_at(values), self.trunk_at(points))

    def branch_at(self, values: Tensor) -> Tensor:
        """Return what the last layers of the branch say, shape `(products, batch, width)`."""
        return torch.stack(self._layers(self.branch, self.inputs(values)))

    def trunk_at(self, points: Tensor) -> Tensor:
        """Return what the last layers of the trunk say, shape `(products, n, width)`; can be kept for fixed points."""
        return torch.stack(self._layers(self.trunk, self.points(points)))

    def combine(self, branch: Tensor, trunk: Tensor) -> Tensor:
        """Return the weighted inner products, shape `(batch, n)`."""
        products = torch.einsum("jbw,jnw->jbn", branch, trunk)
        total = torch.tensordot(self.weights, products, dims=1) / (len(branch) * branch.shape[-1] ** 0.5) + self.bias
        result: Tensor = total * self.outputs.scale + self.outputs.shift
        return result

    def _layers(self, layers: nn.ModuleList, hidden: Tensor) -> list[Tensor]:
        """Return the outputs of the last layers; the very last one is linear."""
        outputs = []
        for index, layer in enumerate(layers):
            hidden = layer(hidden)
            if index < len(layers) - 1:
                hidden = _activate(hidden, self.activation)
            outputs.append(hidden)
        return outputs[-self.products :]


def _activate(values: Tensor, name: str) -> Tensor:
    if name == "tanh-sin":
        return torch.tanh(torch.sin(torch.pi * values) + values)
    kinds: dict[str, Callable[[Tensor], Tensor]] = {
        "tanh": torch.tanh,
        "gelu": nn.functional.gelu,
        "silu": nn.functional.silu,
    }
    return kinds[name](values)


class MultiONetSurrogate(DeepONetSurrogate):
    """Proposes the next state, or its change, with a MultiONet; see `DeepONetSurrogate`."""

    name: ClassVar[str] = "multionet"
    model_type = MultiONet
