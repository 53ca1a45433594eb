"""A local neural operator: spectral, integral and differential kernels side by side.

Liu-Schiaffini et al., Neural operators with localized integral and differential kernels, arXiv:2402.16845, by the rules
of Berner et al., arXiv:2506.10973. The spectral part couples the whole domain, the integral part a neighbourhood of
fixed radius, the differential part neighbouring points only. Written from the equations.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

import torch
from cosolve.plugins.pytorch.grid_surrogate import GridSurrogate
from cosolve.plugins.pytorch.operators.fno import SpectralConvolution
from cosolve.plugins.pytorch.operators.grid_operator import Boundary, GridOperator, PointwiseLinear
from cosolve.plugins.pytorch.operators.physical_convolution import DifferentialConvolution, PhysicalConvolution
from torch import Tensor, nn


class LocalOperator(GridOperator):
    """Lift, `layers` times (spectral + integral + differential + pointwise map, GELU), project.

    Args:
        c_in: Channels in.
        c_out: Channels out.
        modes: Fourier modes along each axis; its length is the dimension.
        width: Channels inside.
        layers: Number of layers.
        kernel: Points along each axis of the integral kernel on the grid of training; odd.
        base: Points along each axis of the grid of training, one number for all or one for each.
        differential_layers: The differential kernel is in the first so many layers; it amplifies noise.
        boundary: How the local kernels go on beyond the grid.
        dtype: float32 or float64.
    """

    resolution_invariant: ClassVar[bool] = True
    boundaries: ClassVar[tuple[str, ...]] = ("zeros", "circular", "reflect")

    def __init__(
        self,
        c_in: int,
        c_out: int,
        modes: Sequence[int],
        width: int = 24,
        layers: int = 4,
        *,
        kernel: int = 3,
        base: int | Sequence[int] = 32,
        differential_layers: int = 1,
        boundary: Boundary = "circular",
        dtype: torch.dtype = torch.float32,
    ) -> None:
        super().__init__()
        self.modes, self.width, self.kernel = tuple(modes), width, kernel
        self.base = base if isinstance(base, int) else tuple(base)
        self.boundary, dimension = boundary, len(self.modes)
        self.lift = nn.Sequential(
            PointwiseLinear(c_in, 2 * width, dtype), nn.GELU(), PointwiseLinear(2 * width, width, dtype)
        )
        self.spectral = nn.ModuleList(SpectralConvolution(width, width, self.modes, dtype) for _ in range(layers))
        self.integral = nn.ModuleList(
            PhysicalConvolution(width, width, dimension, kernel, base=base, boundary=boundary, bias=False, dtype=dtype)
            for _ in range(layers)
        )
        self.differential = nn.ModuleList(
            DifferentialConvolution(width, width, dimension, boundary=boundary, dtype=dtype)
            for _ in range(min(differential_layers, layers))
        )
        self.pointwise = nn.ModuleList(PointwiseLinear(width, width, dtype) for _ in range(layers))
        self.project = nn.Sequential(
            PointwiseLinear(width, 2 * width, dtype), nn.GELU(), PointwiseLinear(2 * width, c_out, dtype)
        )

    def settings(self) -> Mapping[str, Any]:
        """Return what builds the network again."""
        return {
            "modes": list(self.modes),
            "width": self.width,
            "layers": len(self.spectral),
            "kernel": self.kernel,
            "base": self.base,
            "differential_layers": len(self.differential),
            "boundary": self.boundary,
        }

    def forward(self, values: Tensor) -> Tensor:
        """Return `(batch, c_out, *spatial)` from `(batch, c_in, *spatial)`."""
        hidden = self.lift(values)
        for index, spectral in enumerate(self.spectral):
            change = spectral(hidden) + self.integral[index](hidden) + self.pointwise[index](hidden)
            if index < len(self.differential):
                change = change + self.differential[index](hidden)
            hidden = nn.functional.gelu(change) if index < len(self.spectral) - 1 else change
        result: Tensor = self.project(hidden)
        return result


class LocalOperatorSurrogate(GridSurrogate):
    """Proposes the next state, or its change, with a local neural operator; see `GridSurrogate`."""

    name: ClassVar[str] = "local_operator"
    operator_type = LocalOperator
