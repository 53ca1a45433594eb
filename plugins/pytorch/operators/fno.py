"""A Fourier neural operator: linear maps of the lowest Fourier modes, on any resolution of a regular grid.

Li et al., Fourier neural operator for parametric partial differential equations, arXiv:2010.08895. Written from the
equations. Fourier coefficients are normalised by the number of points, so that the same function sampled twice as
finely has the same coefficients and the operator does not depend on the grid.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

import torch
from cosolve.plugins.pytorch.grid_surrogate import GridSurrogate
from cosolve.plugins.pytorch.operators.grid_operator import GridOperator, PointwiseLinear, coordinate_channels
from torch import Tensor, nn


class SpectralConvolution(nn.Module):
    """Multiply the Fourier coefficients with |k_i| < modes_i by learned complex matrices over the channels.

    Weights are real, of shape `(c_in, c_out, 2 m_1 - 1, ..., m_d, 2)` with real and imaginary parts last: optimisers
    and model files need no complex numbers. On a grid too coarse for all modes those above its Nyquist mode are left
    out; the Nyquist mode itself, which has no sign, is never used.

    Args:
        c_in: Channels in.
        c_out: Channels out.
        modes: Number of modes along each axis, the constant one included.
        dtype: float32 or float64.
    """

    def __init__(self, c_in: int, c_out: int, modes: tuple[int, ...], dtype: torch.dtype = torch.float32) -> None:
        super().__init__()
        self.modes = modes
        extents = [2 * m - 1 for m in modes[:-1]] + [modes[-1]]
        scale = 1.0 / math.sqrt(c_in * 2.0)
        self.weight = nn.Parameter(scale / c_in**0.5 * torch.randn(c_in, c_out, *extents, 2, dtype=dtype))

    def forward(self, values: Tensor) -> Tensor:
        """Return the filtered values, shape `(batch, c_out, *spatial)` from `(batch, c_in, *spatial)`."""
        shape = values.shape[2:]
        axes = list(range(2, 2 + len(shape)))
        spectrum = torch.fft.rfftn(values, dim=axes, norm="forward")
        weight = torch.view_as_complex(self.weight)
        kept = [min(m, (n + 1) // 2) for m, n in zip(self.modes, shape, strict=True)]
        for axis, (m, k, n) in enumerate(zip(self.modes, kept, shape, strict=True), 2):
            if axis == axes[-1]:
                spectrum, weight = spectrum.narrow(axis, 0, k), weight.narrow(axis, 0, k)
            else:
                # Along a full axis the modes are ordered 0, 1, .., k-1, -(k-1), .., -1 on both sides.
                spectrum = torch.cat([spectrum.narrow(axis, 0, k), spectrum.narrow(axis, n - k + 1, k - 1)], axis)
                weight = torch.cat([weight.narrow(axis, 0, k), weight.narrow(axis, 2 * m - k, k - 1)], axis)
        product = torch.einsum("bi...,io...->bo...", spectrum, weight)
        # Zeros go in between rather than products into zeros: writing in place is what `vmap` cannot do.
        for axis, (k, n) in enumerate(zip(kept, shape, strict=True), 2):
            full = n // 2 + 1 if axis == axes[-1] else n
            negative = 0 if axis == axes[-1] else k - 1
            gap = list(product.shape)
            gap[axis] = full - k - negative
            parts = [product.narrow(axis, 0, k), product.new_zeros(gap), product.narrow(axis, k, negative)]
            product = torch.cat(parts, axis)
        result: Tensor = torch.fft.irfftn(product, s=list(shape), dim=axes, norm="forward")
        return result


class FourierNeuralOperator(GridOperator):
    """Lift, `layers` times (spectral convolution + pointwise map, GELU), project.

    Args:
        c_in: Channels in, without coordinates.
        c_out: Channels out.
        modes: Modes along each axis; its length is the number of dimensions, 1 to 3.
        width: Channels inside.
        layers: Number of Fourier layers.
        padding: Share of the domain that is appended, in zeros, along each axis: 0 for periodic fields, about 0.1
            for others. On grids where this is not a whole number of points the operator depends on the grid a little.
        coordinates: Whether the points' coordinates in [0, 1) are appended as channels; not wanted where the operator
            commutes with translations.
        dtype: float32 or float64.
    """

    resolution_invariant: ClassVar[bool] = True
    boundaries: ClassVar[tuple[str, ...]] = ("circular",)

    def __init__(
        self,
        c_in: int,
        c_out: int,
        modes: Sequence[int],
        width: int = 32,
        layers: int = 4,
        *,
        padding: float = 0.0,
        coordinates: bool = False,
        dtype: torch.dtype = torch.float32,
    ) -> None:
        super().__init__()
        modes = tuple(modes)
        if not 1 <= len(modes) <= 3 or min(modes) < 1 or padding < 0.0:
            raise ValueError(f"modes = {modes} and padding = {padding}: expected 1 to 3 positive numbers, padding >= 0")
        self.c_in, self.c_out, self.modes, self.width = c_in, c_out, modes, width
        self.padding, self.coordinates = padding, coordinates
        extra = len(modes) if coordinates else 0
        self.lift = nn.Sequential(
            PointwiseLinear(c_in + extra, 2 * width, dtype), nn.GELU(), PointwiseLinear(2 * width, width, dtype)
        )
        self.spectral = nn.ModuleList(SpectralConvolution(width, width, self.modes, dtype) for _ in range(layers))
        self.pointwise = nn.ModuleList(PointwiseLinear(width, width, dtype) for _ in range(layers))
        self.project = nn.Sequential(
            PointwiseLinear(width, 2 * width, dtype), nn.GELU(), PointwiseLinear(2 * width, c_out, dtype)
        )

    def settings(self) -> Mapping[str, Any]:
        """Return modes, width, layers, padding and whether coordinates are channels."""
        return {
            "modes": list(self.modes),
            "width": self.width,
            "layers": len(self.spectral),
            "padding": self.padding,
            "coordinates": self.coordinates,
        }

    def forward(self, values: Tensor) -> Tensor:
        """Return `(batch, c_out, *spatial)` from `(batch, c_in, *spatial)`."""
        shape = values.shape[2:]
        if self.coordinates:
            values = torch.cat([values, coordinate_channels(values)], dim=1)
        hidden = self.lift(values)
        if self.padding:
            widths = [(0, round(self.padding * n)) for n in reversed(shape)]
            hidden = nn.functional.pad(hidden, list(itertools.chain.from_iterable(widths)))
        for index, (spectral, pointwise) in enumerate(zip(self.spectral, self.pointwise, strict=True)):
            hidden = spectral(hidden) + pointwise(hidden)
            if index < len(self.spectral) - 1:
                hidden = nn.functional.gelu(hidden)
        for axis, n in enumerate(shape, 2):
            hidden = hidden.narrow(axis, 0, n)
        result: Tensor = self.project(hidden)
        return result


class FNOSurrogate(GridSurrogate):
    """Proposes the next state, or its change, with a Fourier neural operator; see `GridSurrogate`."""

    name: ClassVar[str] = "fno"
    operator_type = FourierNeuralOperator
