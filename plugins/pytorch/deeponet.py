"""A deep operator network: values at fixed sensors in, the answer at any points out.

Lu et al., Learning nonlinear operators via DeepONet, Nature Machine Intelligence 3 (2021) 218,
doi:10.1038/s42256-021-00302-5. Written from the equation

    G(v)(y) = sum_k b_k(v(s_1), .., v(s_m)) t_k(y) + b_0.
"""

from __future__ import annotations

from abc import abstractmethod

import torch
from cosolve.plugins.pytorch.layers import MLP, Normaliser
from torch import Tensor, nn


class PointNetwork(nn.Module):
    """A network of a branch, which sees the sensors' values, and a trunk, which sees the points.

    Attributes:
        sizes: The constructor's numbers; `sensors` is among them.
        activation: The constructor's.
        bias: A parameter; its precision is that of the network.
    """

    sizes: dict[str, int]
    activation: str
    bias: nn.Parameter

    @abstractmethod
    def branch_at(self, values: Tensor) -> Tensor:
        """Return the branch for values of shape `(batch, sensors)`."""

    @abstractmethod
    def trunk_at(self, points: Tensor) -> Tensor:
        """Return the trunk at points of shape `(n, dimension)`."""

    @abstractmethod
    def combine(self, branch: Tensor, trunk: Tensor) -> Tensor:
        """Return the answers, shape `(batch, n)`."""


class DeepONet(PointNetwork):
    """Branch network of the sensors' values, trunk network of the point, and their inner product.

    Smooth activations, so that derivatives by the point exist. The answer at a point does not depend on which other
    points are asked.

    Args:
        sensors: Number of values in, sensors and further features together.
        dimension: Dimension of the points.
        width: Width of the hidden layers of both networks.
        depth: Number of hidden layers of both networks.
        terms: Number of terms of the inner product.
        dtype: float32 or float64.
        activation: See `MLP`.
    """

    def __init__(
        self,
        sensors: int,
        dimension: int,
        width: int = 40,
        depth: int = 2,
        terms: int = 40,
        dtype: torch.dtype = torch.float64,
        activation: str = "gelu",
    ) -> None:
        super().__init__()
        self.sizes = {"sensors": sensors, "dimension": dimension, "width": width, "depth": depth, "terms": terms}
        self.activation = activation
        self.inputs = Normaliser(sensors, dtype=dtype)
        self.points = Normaliser(dimension, dtype=dtype)
        self.outputs = Normaliser(1, dtype=dtype)
        self.branch = MLP([sensors, *[width] * depth, terms], dtype, activation)
        self.trunk = MLP([dimension, *[width] * depth, terms], dtype, activation)
        self.bias = nn.Parameter(torch.zeros(1, dtype=dtype))

    def fit_normalisers(self, values: Tensor, points: Tensor, targets: Tensor) -> None:
        """Fit shift and scale of the sensors' values, of the points and of the targets."""
        self.inputs.fit(values)
        self.points.fit(points)
        self.outputs.fit(targets.reshape(-1, 1))

    def forward(self, values: Tensor, points: Tensor) -> Tensor:
        """Return the answer, shape `(batch, n)`.

        Args:
            values: Values at the sensors, shape `(batch, sensors)`.
            points: Points, shape `(n, dimension)`.
        """
        return self.combine(self.branch_at(values), self.trunk_at(points))

    def branch_at(self, values: Tensor) -> Tensor:
        """Return the branch's terms, shape `(batch, terms)`."""
        terms: Tensor = self.branch(self.inputs(values))
        return terms

    def trunk_at(self, points: Tensor) -> Tensor:
        """Return the trunk's terms, shape `(n, terms)`; they can be kept for fixed points."""
        terms: Tensor = self.trunk(self.points(points))
        return terms

    def combine(self, branch: Tensor, trunk: Tensor) -> Tensor:
        """Return the inner product of both, shape `(batch, n)`."""
        # Divided by the root of their number the terms start at the size of one of them.
        raw = branch @ trunk.T / trunk.shape[-1] ** 0.5 + self.bias
        result: Tensor = raw * self.outputs.scale + self.outputs.shift
        return result
