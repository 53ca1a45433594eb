"""A U-Net, as an ordinary network or as a neural operator.

Ronneberger, Fischer and Brox, U-Net: convolutional networks for biomedical image segmentation, arXiv:1505.04597, with
the rules of Berner et al., arXiv:2506.10973: with `base` given, kernels keep their physical radius on every grid,
pooling and interpolation are means, normalisation is an average over space. Then the answers converge as the grid is
refined. Written from the descriptions.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar

import torch
from cosolve.plugins.pytorch.grid_surrogate import GridSurrogate
from cosolve.plugins.pytorch.operators.grid_operator import Boundary, GridOperator, PointwiseLinear, SpatialNorm, pad
from cosolve.plugins.pytorch.operators.physical_convolution import Base, PhysicalConvolution
from torch import Tensor, nn


class ConvolutionBlock(nn.Module):
    """Two convolutions with an average over space as normalisation and GELU, round a pointwise bypass."""

    def __init__(
        self,
        c_in: int,
        c_out: int,
        dimension: int,
        kernel: int,
        base: Base,
        boundary: Boundary,
        dtype: torch.dtype,
    ) -> None:
        super().__init__()
        self.first = PhysicalConvolution(c_in, c_out, dimension, kernel, base=base, boundary=boundary, dtype=dtype)
        self.second = PhysicalConvolution(c_out, c_out, dimension, kernel, base=base, boundary=boundary, dtype=dtype)
        self.first_norm = SpatialNorm(c_out, dtype)
        self.second_norm = SpatialNorm(c_out, dtype)
        self.bypass = PointwiseLinear(c_in, c_out, dtype)

    def forward(self, values: Tensor) -> Tensor:
        """Return `(batch, c_out, *spatial)` from `(batch, c_in, *spatial)`."""
        hidden = nn.functional.gelu(self.first_norm(self.first(values)))
        hidden = self.second_norm(self.second(hidden))
        result: Tensor = nn.functional.gelu(hidden + self.bypass(values))
        return result


def halve(values: Tensor) -> Tensor:
    """Return the means over pairs of points along each axis."""
    pools = (nn.functional.avg_pool1d, nn.functional.avg_pool2d, nn.functional.avg_pool3d)
    result: Tensor = pools[values.ndim - 3](values, 2)
    return result


def double(values: Tensor, boundary: Boundary) -> Tensor:
    """Interpolate linearly to the centres of twice as many cells along each axis, as the boundary goes on."""
    for axis in range(2, values.ndim):
        widths = [(1, 1) if k == axis else (0, 0) for k in range(2, values.ndim)]
        around = pad(values, widths, boundary) if boundary == "circular" else _repeat_ends(values, axis)
        n = values.shape[axis]
        middle, before, behind = values, around.narrow(axis, 0, n), around.narrow(axis, 2, n)
        pairs = torch.stack([0.75 * middle + 0.25 * before, 0.75 * middle + 0.25 * behind], dim=axis + 1)
        values = pairs.flatten(axis, axis + 1)
    return values


def _repeat_ends(values: Tensor, axis: int) -> Tensor:
    """Cells have centres between points: constant to the outer face is what mirroring means for them."""
    return torch.cat([values.narrow(axis, 0, 1), values, values.narrow(axis, values.shape[axis] - 1, 1)], axis)


class UNet(GridOperator):
    """Down by means, up by interpolation, skip connections between equal grids.

    Args:
        c_in: Channels in.
        c_out: Channels out.
        dimension: 1 to 3.
        width: Channels on the finest grid; doubled on each coarser one.
        levels: Number of coarser grids; the numbers of points must be divisible by 2 to this power.
        kernel: Points along each axis of a kernel on the grid of training; odd.
        base: Points along each axis of the grid of training: kernels keep their physical radius on other grids. None
            for an ordinary network, whose kernels live in points and whose answers do not converge.
        boundary: How fields go on beyond the grid.
        dtype: float32 or float64.
    """

    resolution_invariant: ClassVar[bool] = True
    boundaries: ClassVar[tuple[str, ...]] = ("zeros", "circular", "reflect")

    def __init__(
        self,
        c_in: int,
        c_out: int,
        dimension: int = 2,
        width: int = 16,
        levels: int = 3,
        *,
        kernel: int = 3,
        base: Base = None,
        boundary: Boundary = "zeros",
        dtype: torch.dtype = torch.float32,
    ) -> None:
        super().__init__()
        self.dimension, self.width, self.levels = dimension, width, levels
        self.kernel, self.boundary = kernel, boundary
        self.base = base if base is None or isinstance(base, int) else tuple(base)
        widths = [width * 2**level for level in range(levels + 1)]
        bases = [_coarser(base, level) for level in range(levels + 1)]
        self.lift = PointwiseLinear(c_in, width, dtype)
        self.down = nn.ModuleList(
            ConvolutionBlock(widths[max(level - 1, 0)], widths[level], dimension, kernel, bases[level], boundary, dtype)
            for level in range(levels + 1)
        )
        self.up = nn.ModuleList(
            ConvolutionBlock(
                widths[level + 1] + widths[level], widths[level], dimension, kernel, bases[level], boundary, dtype
            )
            for level in range(levels)
        )
        self.project = PointwiseLinear(width, c_out, dtype)

    def settings(self) -> Mapping[str, Any]:
        """Return what builds the network again."""
        return {
            "dimension": self.dimension,
            "width": self.width,
            "levels": self.levels,
            "kernel": self.kernel,
            "base": self.base,
            "boundary": self.boundary,
        }

    def forward(self, values: Tensor) -> Tensor:
        """Return `(batch, c_out, *spatial)` from `(batch, c_in, *spatial)`.

        Raises:
            ValueError: The numbers of points are not divisible by 2 to the number of levels.
        """
        check_divisible(values, self.levels, "U-Net")
        hidden = self.lift(values)
        skips: list[Tensor] = []
        for level, block in enumerate(self.down):
            hidden = block(halve(hidden) if level else hidden)
            skips.append(hidden)
        for level in reversed(range(self.levels)):
            hidden = self.up[level](torch.cat([double(hidden, self.boundary), skips[level]], dim=1))
        result: Tensor = self.project(hidden)
        return result


def _coarser(base: Base, level: int) -> Base:
    if base is None or isinstance(base, int):
        return None if base is None else max(base // 2**level, 1)
    return tuple(max(n // 2**level, 1) for n in base)


def check_divisible(values: Tensor, levels: int, name: str) -> None:
    """Raise ValueError unless the numbers of points can be halved `levels` times."""
    if any(n % 2**levels for n in values.shape[2:]):
        raise ValueError(
            f"a {name} with {levels} levels needs numbers of points divisible by {2**levels}, "
            f"found {' x '.join(map(str, values.shape[2:]))}"
        )


class UNetSurrogate(GridSurrogate):
    """Proposes the next state, or its change, with a U-Net; see `GridSurrogate`."""

    name: ClassVar[str] = "unet"
    operator_type = UNet
