"""Layers that several surrogates share: standardisation inside the model, and a fully connected network."""

from __future__ import annotations

import itertools

import torch
from torch import Tensor, nn


class Normaliser(nn.Module):
    """Shift and scale along one axis; `forward` standardises, `inverse` undoes it.

    Args:
        size: Extent of the axis (features, or channels of a grid).
        axis: The axis; 1 for channels-first grids, -1 for features.
        dtype: Precision.

    Attributes:
        shift: Buffer of shape `(size,)`.
        scale: Buffer of shape `(size,)`, positive.
    """

    shift: Tensor
    scale: Tensor

    def __init__(self, size: int, axis: int = -1, dtype: torch.dtype = torch.float64) -> None:
        super().__init__()
        self.axis = axis
        self.register_buffer("shift", torch.zeros(size, dtype=dtype))
        self.register_buffer("scale", torch.ones(size, dtype=dtype))

    def fit(self, data: Tensor, floor: float = 1e-10) -> Normaliser:
        """Take mean and standard deviation of `data` over all axes but `axis`; return self.

        What does not vary in the data (below `floor` times its size) gets scale 1: dividing rounding errors by
        themselves would make noise of them.
        """
        others = [axis for axis in range(data.ndim) if axis != self.axis % data.ndim]
        values = data.to(torch.float64)
        mean = values.mean(dim=others)
        deviation = values.var(dim=others, unbiased=False).sqrt()
        size = values.abs().amax(dim=others)
        varies = (deviation > floor * size) & (deviation > torch.finfo(torch.float32).tiny)
        self.shift.copy_(mean)
        self.scale.copy_(torch.where(varies, deviation, torch.ones_like(deviation)))
        return self

    def _along(self, vector: Tensor, like: Tensor) -> Tensor:
        shape = [1] * like.ndim
        shape[self.axis % like.ndim] = -1
        return vector.reshape(shape)

    def forward(self, values: Tensor) -> Tensor:
        """Return `(values - shift) / scale`."""
        return (values - self._along(self.shift, values)) / self._along(self.scale, values)

    def inverse(self, values: Tensor) -> Tensor:
        """Return `values * scale + shift`."""
        return values * self._along(self.scale, values) + self._along(self.shift, values)


class MLP(nn.Module):
    """Fully connected layers with a smooth activation, so that derivatives are smooth, too.

    Args:
        sizes: Widths from input to output.
        dtype: Precision.
        activation: `tanh`, `gelu` or `silu`.
    """

    def __init__(self, sizes: list[int], dtype: torch.dtype = torch.float64, activation: str = "gelu") -> None:
        super().__init__()
        kinds: dict[str, type[nn.Module]] = {"tanh": nn.Tanh, "gelu": nn.GELU, "silu": nn.SiLU}
        layers: list[nn.Module] = []
        for index, (n_in, n_out) in enumerate(itertools.pairwise(sizes)):
            layers.append(nn.Linear(n_in, n_out, dtype=dtype))
            if index < len(sizes) - 2:
                layers.append(kinds[activation]())
        self.layers = nn.Sequential(*layers)

    def forward(self, values: Tensor) -> Tensor:
        """Return the output, shape `(..., sizes[-1])`."""
        result: Tensor = self.layers(values)
        return result
