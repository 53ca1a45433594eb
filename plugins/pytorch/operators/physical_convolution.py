"""Convolutions whose kernels have a fixed size in space, not in points, so that they converge as the grid is refined.

Two of the rules by which ordinary networks become neural operators (Berner et al., Principled approaches for extending
neural architectures to function spaces, arXiv:2506.10973): an integral kernel keeps its physical radius and becomes a
quadrature on each grid; a differential kernel has zero mean and is divided by the spacing. Written from the rules.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TypeAlias

import torch
from cosolve.plugins.pytorch.operators.grid_operator import Boundary, pad
from torch import Tensor, nn

Base: TypeAlias = int | Sequence[int] | None
"""Points along each axis of the grid on which a kernel's weights are its values."""


class PhysicalConvolution(nn.Module):
    """An integral over a neighbourhood of fixed radius.

    On the grid of training (`base` points along each axis) it is an ordinary convolution with `kernel` points. Its
    weights are the values of a piecewise linear function; on another grid the function is sampled there, times the size
    of a cell, each hat normalised to its own integral. So constants are mapped alike on every grid, smooth fields with
    an error of second order in the spacing.

    Args:
        c_in: Channels in.
        c_out: Channels out.
        dimension: 1 to 3.
        kernel: Points along each axis of the kernel on the grid of training; odd.
        base: Points along each axis of the grid of training, one number for all axes or one for each; None keeps the
            kernel's number of points on every grid, as an ordinary network does.
        boundary: How the field goes on beyond the grid.
        bias: Whether a constant is added to each channel.
        dtype: float32 or float64.
    """

    def __init__(
        self,
        c_in: int,
        c_out: int,
        dimension: int,
        kernel: int = 3,
        *,
        base: Base,
        boundary: Boundary = "zeros",
        bias: bool = True,
        dtype: torch.dtype = torch.float32,
    ) -> None:
        super().__init__()
        if kernel % 2 != 1 or kernel < 1:
            raise ValueError(f"a kernel needs an odd number of points, found {kernel}")
        self.dimension, self.kernel, self.boundary = dimension, kernel, boundary
        self.base = (base,) * dimension if isinstance(base, int) else None if base is None else tuple(base)
        if self.base is not None and len(self.base) != dimension:
            raise ValueError(f"base = {self.base}: expected one number for each of {dimension} axes")
        bound = 1.0 / math.sqrt(c_in * kernel**dimension)
        self.weight = nn.Parameter(torch.empty(c_out, c_in, *[kernel] * dimension, dtype=dtype).uniform_(-bound, bound))
        self.bias = nn.Parameter(torch.zeros(c_out, dtype=dtype)) if bias else None

    def forward(self, values: Tensor) -> Tensor:
        """Return `(batch, c_out, *spatial)` from `(batch, c_in, *spatial)`."""
        weight = self.weight_on(values.shape[2:])
        reach = [(extent - 1) // 2 for extent in weight.shape[2:]]
        padded = pad(values, [(width, width) for width in reach], self.boundary)
        convolve = (nn.functional.conv1d, nn.functional.conv2d, nn.functional.conv3d)[self.dimension - 1]
        result: Tensor = convolve(padded, weight, self.bias)
        return result

    def weight_on(self, shape: Sequence[int]) -> Tensor:
        """Return the kernel's weights on a grid with `shape` points."""
        weight = self.weight
        if self.base is None:
            return weight
        for axis, (n, base) in enumerate(zip(shape, self.base, strict=True), 2):
            if n != base:
                sampled = hat_samples(self.kernel, n / base, weight.dtype, weight.device)
                weight = torch.tensordot(weight, sampled, dims=([axis], [1])).movedim(-1, axis)
        return weight


def hat_samples(kernel: int, scale: float, dtype: torch.dtype, device: torch.device) -> Tensor:
    """Return the hats of a piecewise linear kernel on a grid `scale` times finer, shape `(points, kernel)`.

    Column j holds hat j at the points, normalised to sum 1: the integral that the hat has on the grid of training. On a
    grid so coarse that no point lies in a hat the nearest point takes it.
    """
    radius = (kernel - 1) // 2
    reach = max(math.ceil((radius + 1) * scale) - 1, round(radius * scale))
    points = torch.arange(-reach, reach + 1, dtype=torch.float64) / scale
    nodes = torch.arange(-radius, radius + 1, dtype=torch.float64)
    distance = (points[:, None] - nodes[None, :]).abs()
    hats = (1.0 - distance).clamp_min(0.0)
    empty = hats.sum(dim=0) < 1e-12
    hats[distance.argmin(dim=0)[empty], torch.nonzero(empty)[:, 0]] = 1.0
    return (hats / hats.sum(dim=0)).to(dtype=dtype, device=device)


class DifferentialConvolution(nn.Module):
    """A learned combination of first derivatives: a kernel of 3 points an axis with zero mean, over the spacing.

    The spacing is the same along each axis, and the first axis has length 1.

    Args:
        c_in: Channels in.
        c_out: Channels out.
        dimension: 1 to 3.
        boundary: How the field goes on beyond the grid.
        dtype: float32 or float64.
    """

    def __init__(
        self,
        c_in: int,
        c_out: int,
        dimension: int,
        *,
        boundary: Boundary = "circular",
        dtype: torch.dtype = torch.float32,
    ) -> None:
        super().__init__()
        self.dimension, self.boundary = dimension, boundary
        # Divided by the spacing, first derivatives of fields of size 1 have size 2 pi: the start is small.
        bound = 0.1 / math.sqrt(c_in * 3**dimension)
        self.weight = nn.Parameter(torch.empty(c_out, c_in, *[3] * dimension, dtype=dtype).uniform_(-bound, bound))

    def forward(self, values: Tensor) -> Tensor:
        """Return `(batch, c_out, *spatial)` from `(batch, c_in, *spatial)`; the spacing is 1 / n of the first axis."""
        axes = list(range(2, 2 + self.dimension))
        kernel = self.weight - self.weight.mean(dim=axes, keepdim=True)
        padded = pad(values, [(1, 1)] * self.dimension, self.boundary)
        convolve = (nn.functional.conv1d, nn.functional.conv2d, nn.functional.conv3d)[self.dimension - 1]
        result: Tensor = convolve(padded, kernel * values.shape[2])
        return result


def fourier_resize(values: Tensor, shape: Sequence[int]) -> Tensor:
    """Resample a periodic field to `shape` points: the modes that both grids have are kept, the Nyquist mode is not.

    Args:
        values: Shape `(batch, channels, *spatial)`.
        shape: Points along each axis.
    """
    if tuple(values.shape[2:]) == tuple(shape):
        return values
    axes = list(range(2, values.ndim))
    spectrum = torch.fft.rfftn(values, dim=axes, norm="forward")
    for axis, (old, new) in enumerate(zip(values.shape[2:], shape, strict=True), 2):
        kept = (min(old, new) + 1) // 2
        last = axis == axes[-1]
        parts = [spectrum.narrow(axis, 0, kept)]
        full = new // 2 + 1 if last else new
        gap = list(spectrum.shape)
        gap[axis] = full - kept - (0 if last else kept - 1)
        parts.append(spectrum.new_zeros(gap))
        if not last:
            parts.append(spectrum.narrow(axis, old - kept + 1, kept - 1))
        spectrum = torch.cat(parts, axis)
    result: Tensor = torch.fft.irfftn(spectrum, s=list(shape), dim=axes, norm="forward")
    return result
