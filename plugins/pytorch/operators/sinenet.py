"""SineNet: several small U-Nets ("waves") one after the other, so that skip connections join features close in time.

Zhang et al., SineNet: learning temporal dynamics in time-dependent partial differential equations, ICLR 2024,
arXiv:2403.19507. Written from the description.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar

import torch
from cosolve.plugins.pytorch.grid_surrogate import GridSurrogate
from cosolve.plugins.pytorch.operators.grid_operator import Boundary, GridOperator, pad
from cosolve.plugins.pytorch.operators.physical_convolution import PhysicalConvolution
from cosolve.plugins.pytorch.operators.unet import ConvolutionBlock, check_divisible, halve
from torch import Tensor, nn


class Wave(nn.Module):
    """One U-Net: each level of the way down also sees the pooled input of the wave (disentangled down-sampling).

    Args:
        width: Channels on the finest grid, in and out.
        levels: Number of coarser grids.
        multiplier: Growth of the channels from one grid to the next coarser one, below 2.
        boundary: How fields go on beyond the grid.
        dtype: float32 or float64.
    """

    def __init__(self, width: int, levels: int, multiplier: float, boundary: Boundary, dtype: torch.dtype) -> None:
        super().__init__()
        self.levels, self.boundary = levels, boundary
        widths = [max(round(width * multiplier**level), 1) for level in range(levels + 1)]
        self.down = nn.ModuleList(
            ConvolutionBlock(widths[level] + width, widths[level + 1], 2, 3, None, boundary, dtype)
            for level in range(levels)
        )
        self.up = nn.ModuleList(
            ConvolutionBlock(widths[level + 1] + widths[level], widths[level], 2, 3, None, boundary, dtype)
            for level in range(levels)
        )

    def forward(self, values: Tensor) -> Tensor:
        """Return the change of the field, shape `(batch, width, n, m)`."""
        hidden, pooled, skips = values, values, []
        for block in self.down:
            skips.append(hidden)
            pooled = halve(pooled)
            hidden = block(torch.cat([halve(hidden), pooled], dim=1))
        for level in reversed(range(self.levels)):
            hidden = self.up[level](torch.cat([bicubic_double(hidden, self.boundary), skips[level]], dim=1))
        return hidden


def bicubic_double(values: Tensor, boundary: Boundary) -> Tensor:
    """Interpolate to twice as many points along both axes; what lies beyond the grid follows from the boundary."""
    padded = pad(values, [(2, 2), (2, 2)], boundary)
    fine = nn.functional.interpolate(padded, scale_factor=2, mode="bicubic", align_corners=False)
    return fine[..., 4:-4, 4:-4]


class SineNet(GridOperator):
    """Stem, waves `z <- z + U_k(z)` at one width, head.

    Args:
        c_in: Channels in (several past frames, say).
        c_out: Channels out.
        width: Channels of the waves.
        waves: Number of U-Nets.
        levels: Coarser grids in each; both numbers of points must be divisible by 2 to this power.
        multiplier: Growth of the channels on coarser grids; smaller with more waves for the same number of parameters.
        boundary: `circular` on periodic domains, in the interpolation, too.
        dtype: float32 or float64.
    """

    boundaries: ClassVar[tuple[str, ...]] = ("zeros", "circular", "reflect")

    def __init__(
        self,
        c_in: int,
        c_out: int,
        width: int = 16,
        waves: int = 4,
        levels: int = 3,
        *,
        multiplier: float = 1.5,
        boundary: Boundary = "circular",
        dtype: torch.dtype = torch.float32,
    ) -> None:
        super().__init__()
        self.width, self.levels, self.multiplier, self.boundary = width, levels, multiplier, boundary
        self.stem = PhysicalConvolution(c_in, width, 2, base=None, boundary=boundary, dtype=dtype)
        self.waves = nn.ModuleList(Wave(width, levels, multiplier, boundary, dtype) for _ in range(waves))
        self.head = PhysicalConvolution(width, c_out, 2, base=None, boundary=boundary, dtype=dtype)

    def settings(self) -> Mapping[str, Any]:
        """Return what builds the network again."""
        return {
            "width": self.width,
            "waves": len(self.waves),
            "levels": self.levels,
            "multiplier": self.multiplier,
            "boundary": self.boundary,
        }

    def forward(self, values: Tensor) -> Tensor:
        """Return `(batch, c_out, n, m)` from `(batch, c_in, n, m)`.

        Raises:
            ValueError: The numbers of points are not divisible by 2 to the number of levels.
        """
        check_divisible(values, self.levels, "SineNet")
        hidden = self.stem(values)
        for wave in self.waves:
            hidden = hidden + wave(hidden)
        result: Tensor = self.head(hidden)
        return result


class SineNetSurrogate(GridSurrogate):
    """Proposes the next state, or its change, with a SineNet; see `GridSurrogate`."""

    name: ClassVar[str] = "sinenet"
    operator_type = SineNet
