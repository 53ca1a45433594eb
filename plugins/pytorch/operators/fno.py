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
        # Of variance 1; on the meta device, where model files are checked, normal numbers would import half of torch.
        weight = torch.empty(c_in, c_out, *extents, 2, dtype=dtype).uniform_(-(3.0**0.5), 3.0**0.5)
        self.weight = nn.Parameter(scale / c_in**0.5 * weight)

    def forward(self, values: Tensor) -> Tensor:
        """Return the filtered values, shape `(batch, c_out, *spatial)` from `(batch, c_in, *spatial)`."""
        shape = values.shape[2:]
        last = 1 + len(shape)
        kept = [min(m, (n + 1) // 2) for m, n in zip(self.modes, shape, strict=True)]
        # One axis after the other: what is left out along one is not transformed along the next.
        spectrum = torch.fft.rfft(values, dim=last, norm="forward").narrow(last, 0, kept[-1])
        weight = self.weight.narrow(last, 0, kept[-1])
        for axis in range(2, last):
            m, k, n = self.modes[axis - 2], kept[axis - 2], shape[axis - 2]
            spectrum = torch.fft.fft(spectrum, dim=axis, norm="forward")
            # Along a full axis the modes are ordered 0, 1, .., k-1, -(k-1), .., -1 on both sides.
            spectrum = torch.cat([spectrum.narrow(axis, 0, k), spectrum.narrow(axis, n - k + 1, k - 1)], axis)
            if k < m:
                weight = torch.cat([weight.narrow(axis, 0, k), weight.narrow(axis, 2 * m - k, k - 1)], axis)
        product = _contract(spectrum, weight)
        for axis in range(2, last):
            k, n = kept[axis - 2], shape[axis - 2]
            # Zeros go in between rather than products into zeros: writing in place is what `vmap` cannot do.
            gap = list(product.shape)
            gap[axis] = n - 2 * k + 1
            parts = [product.narrow(axis, 0, k), product.new_zeros(gap), product.narrow(axis, k, k - 1)]
            product = torch.fft.ifft(torch.cat(parts, axis), dim=axis, norm="forward")
        # The last axis is filled up with zeros by the transform itself.
        result: Tensor = torch.fft.irfft(product, n=shape[-1], dim=last, norm="forward")
        return result


def _contract(spectrum: Tensor, weight: Tensor) -> Tensor:
    """Multiply the coefficients of each mode by its matrix, as real matrices of twice the size.

    Libraries multiply many small real matrices at once; complex ones they copy one by one.

    Args:
        spectrum: Complex, shape `(batch, c_in, *modes)`.
        weight: Real, shape `(c_in, c_out, *modes, 2)`.
    """
    batch, c_in, modes = spectrum.shape[0], spectrum.shape[1], spectrum.shape[2:]
    real, imaginary = weight.flatten(2, -2).permute(3, 2, 0, 1).unbind(0)
    matrix = torch.cat([torch.cat([real, imaginary], 2), torch.cat([-imaginary, real], 2)], 1)
    rows = torch.view_as_real(spectrum).flatten(2, -2).permute(2, 0, 3, 1).reshape(-1, batch, 2 * c_in)
    product = torch.bmm(rows, matrix)
    product = product.reshape(*product.shape[:2], 2, -1).permute(1, 3, 0, 2).contiguous()
    return torch.view_as_complex(product).reshape(batch, -1, *modes)


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
