"""What every network on a regular grid has in common: channels first, and settings that build it again."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Mapping, Sequence
from typing import Any, ClassVar, Literal

import torch
from torch import Tensor, nn

Boundary = Literal["zeros", "circular", "reflect"]
"""How a field goes on beyond the grid: zero (Dirichlet), periodic, or mirrored (Neumann)."""


class GridOperator(nn.Module):
    """A map from fields `(batch, c_in, *spatial)` to fields `(batch, c_out, *spatial)` on the same regular grid.

    Constructors take `c_in`, `c_out`, keyword settings that `settings` returns, and `dtype`.

    Attributes:
        resolution_invariant: Whether the answers of the untrained network on n, 2n and 4n points converge; tests
            measure it for each system.
        boundaries: Boundary conditions that the architecture respects.
    """

    resolution_invariant: ClassVar[bool] = False
    boundaries: ClassVar[tuple[str, ...]] = ()

    @abstractmethod
    def settings(self) -> Mapping[str, Any]:
        """Return the keyword arguments that build the network again, JSON-serialisable."""

    @abstractmethod
    def forward(self, values: Tensor) -> Tensor:
        """Return `(batch, c_out, *spatial)` from `(batch, c_in, *spatial)`."""


def pad(values: Tensor, widths: Sequence[tuple[int, int]], boundary: Boundary) -> Tensor:
    """Continue the field by `widths[k]` points before and behind spatial axis k.

    Periodic and mirrored continuations wider than the grid go round it, or between its ends, more than once.
    """
    if boundary == "zeros":
        flat = [width for pair in reversed(widths) for width in pair]
        padded: Tensor = nn.functional.pad(values, flat)
        return padded
    for axis, (before, behind) in enumerate(widths, 2):
        values = _continue(values, axis, before, behind, boundary)
    return values


def _continue(values: Tensor, axis: int, before: int, behind: int, boundary: Boundary) -> Tensor:
    if before == behind == 0:
        return values
    n = values.shape[axis]
    places = torch.arange(-before, n + behind, device=values.device)
    if boundary == "circular":
        return values.index_select(axis, places % n)
    # Mirrored at the first and last point, which are not repeated.
    period = max(2 * n - 2, 1)
    places = places % period
    return values.index_select(axis, torch.minimum(places, period - places))


def coordinate_channels(values: Tensor) -> Tensor:
    """Return the points' coordinates in [0, 1) as channels, shape `(batch, d, *spatial)`."""
    shape = values.shape[2:]
    axes = [torch.arange(n, dtype=values.dtype, device=values.device) / n for n in shape]
    grid = torch.stack(torch.meshgrid(*axes, indexing="ij"))
    return grid.expand(values.shape[0], *grid.shape)


class PointwiseLinear(nn.Module):
    """A linear map over the channels, the same at every point."""

    def __init__(self, c_in: int, c_out: int, dtype: torch.dtype = torch.float32, *, bias: bool = True) -> None:
        super().__init__()
        linear = nn.Linear(c_in, c_out, bias=bias, dtype=dtype)
        self.weight, self.bias = linear.weight, linear.bias

    def forward(self, values: Tensor) -> Tensor:
        """Return `(batch, c_out, *spatial)` from `(batch, c_in, *spatial)`."""
        # A product for each sample needs no copy of the field, one product for all would need two.
        flat, weight = values.flatten(2), self.weight.expand(len(values), -1, -1)
        mapped = torch.bmm(weight, flat) if self.bias is None else torch.baddbmm(self.bias[:, None], weight, flat)
        return mapped.reshape(*mapped.shape[:2], *values.shape[2:])


class SpatialNorm(nn.Module):
    """Shift and scale a field to mean 0 and variance 1 over channels and space, then scale each channel.

    Averages over space converge as the grid is refined, and no sample sees another one of its batch.
    """

    def __init__(self, channels: int, dtype: torch.dtype = torch.float32) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.ones(channels, dtype=dtype))
        self.bias = nn.Parameter(torch.zeros(channels, dtype=dtype))

    def forward(self, values: Tensor) -> Tensor:
        """Return a field of the same shape `(batch, channels, *spatial)`."""
        axes = list(range(1, values.ndim))
        centred = values - values.mean(dim=axes, keepdim=True)
        scale = (centred.square().mean(dim=axes, keepdim=True) + 1e-5).rsqrt()
        shape = [-1, *[1] * (values.ndim - 2)]
        return centred * scale * self.weight.reshape(shape) + self.bias.reshape(shape)
