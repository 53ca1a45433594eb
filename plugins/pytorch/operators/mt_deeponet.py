"""MT-DeepONet: one DeepONet for several geometries and tasks; the geometry goes in as a mask.

Kumar, Goswami, Kontolati, Shields and Karniadakis, Synergistic learning with multi-task DeepONet, Neural Networks 184
(2025) 107113, arXiv:2408.02198. Written from the equation

    u(y) = M(y) sum_k b_k([f, M]) t_k(y).
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from cosolve.plugins.pytorch.layers import MLP, Normaliser
from torch import Tensor, nn


class MultiTaskDeepONet(nn.Module):
    """Convolutions and dense layers of field and mask, a trunk network of the point; zero outside the domain, exactly.

    Args:
        c_in: Channels of the field.
        shape: Points of the image along both axes, each divisible by 2 to the number of convolutions.
        channels: Channels of the convolutions.
        width: Width of the dense layers and of the trunk.
        terms: Terms of the inner product.
        dtype: float32 or float64.
    """

    def __init__(
        self,
        c_in: int,
        shape: tuple[int, int],
        channels: Sequence[int] = (16, 32),
        width: int = 96,
        terms: int = 96,
        dtype: torch.dtype = torch.float32,
    ) -> None:
        super().__init__()
        self.inputs = Normaliser(c_in, axis=1, dtype=dtype)
        self.outputs = Normaliser(1, dtype=dtype)
        layers: list[nn.Module] = []
        before = c_in + 1
        for count in channels:
            layers += [nn.Conv2d(before, count, 5, padding=2, dtype=dtype), nn.GELU(), nn.AvgPool2d(2)]
            before = count
        self.convolutions = nn.Sequential(*layers, nn.Flatten())
        size = before * (shape[0] >> len(channels)) * (shape[1] >> len(channels))
        self.dense = MLP([size, width, width, terms], dtype)
        self.trunk = MLP([2, width, width, width, terms], dtype)
        self.bias = nn.Parameter(torch.zeros(1, dtype=dtype))

    def forward(self, field: Tensor, mask: Tensor, points: Tensor, point_mask: Tensor) -> Tensor:
        """Return the answers at the points, shape `(batch, n)`.

        Args:
            field: Shape `(batch, c_in, rows, columns)`.
            mask: 1 inside the domain, 0 outside, shape `(batch, rows, columns)`.
            points: Shape `(n, 2)`.
            point_mask: The mask at the points, shape `(batch, n)`.
        """
        image = torch.cat([self.inputs(field) * mask[:, None], mask[:, None]], dim=1)
        branch, trunk = self.dense(self.convolutions(image)), self.trunk(points)
        raw = branch @ trunk.T / trunk.shape[-1] ** 0.5 + self.bias
        result: Tensor = self.outputs.inverse(raw[..., None])[..., 0] * point_mask
        return result

    def dense_layers(self) -> list[nn.Parameter]:
        """Return the parameters that a transfer to a new geometry trains; convolutions and trunk stay."""
        return list(self.dense.parameters())
