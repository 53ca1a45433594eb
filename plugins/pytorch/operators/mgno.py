"""MgNO: linear operators between channels, each realised by one multigrid V-cycle with learned stencils.

He, Liu and Xu, MgNO: efficient parameterization of linear operators via multigrid, ICLR 2024, arXiv:2310.19809. Written
from the equations. Stencils live in points and the hierarchy has a fixed number of levels, so the network is not
resolution-invariant by itself; with `base` given, finer grids are reached by textbook transfers round the V-cycle.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any, ClassVar

import torch
from cosolve.plugins.pytorch.grid_surrogate import GridSurrogate
from cosolve.plugins.pytorch.operators.grid_operator import Boundary, GridOperator, PointwiseLinear, pad
from torch import Tensor, nn

_WEIGHTING = ((1.0, 2.0, 1.0), (2.0, 4.0, 2.0), (1.0, 2.0, 1.0))


class VCycle(nn.Module):
    """One V-cycle for `A u = f` on fields of several channels, without any bias: linear in `f`.

    On each level smoothing `u <- u + S (f - A u)`; the residual is restricted, the coarse correction interpolated and
    added, then smoothed again. With `S`, `A`, `R`, `P` set to damped Jacobi, the 5-point stencil, full weighting and
    bilinear interpolation (`set_stencils`) it is the textbook V-cycle.

    Grids with an odd number of points are interior points of a Dirichlet problem, and coarse points are the odd ones;
    on even numbers of points the coarse points are the even ones.

    Args:
        c_in: Channels of `f` on the finest grid.
        width: Channels of `u` on every level.
        levels: Number of grids.
        before: Smoothing steps on the way down.
        behind: Smoothing steps on the way up.
        boundary: How fields go on beyond the grid.
        dtype: float32 or float64.
    """

    def __init__(
        self, c_in: int, width: int, levels: int, before: int, behind: int, boundary: Boundary, dtype: torch.dtype
    ) -> None:
        super().__init__()
        self.levels, self.before, self.behind, self.boundary = levels, before, behind, boundary
        channels = [c_in] + [width] * (levels - 1)
        self.operator = nn.ParameterList(_stencil(channels[k], width, dtype) for k in range(levels))
        self.smoother = nn.ParameterList(_stencil(width, channels[k], dtype) for k in range(levels))
        self.restriction = nn.ParameterList(_stencil(width, channels[k], dtype) for k in range(levels - 1))
        self.prolongation = nn.ParameterList(_stencil(width, width, dtype, scale=4.0) for _ in range(levels - 1))

    def forward(self, f: Tensor) -> Tensor:
        """Return `u`, shape `(batch, width, n, m)`, from `f`, shape `(batch, c_in, n, m)`."""
        return self._cycle(f, 0)

    def _cycle(self, f: Tensor, level: int) -> Tensor:
        # The first smoothing step starts from zero: one product with A less.
        u = self._convolve(self.smoother[level], f)
        for _ in range(self.before - 1):
            u = self._smooth(u, f, level)
        if level < self.levels - 1 and min(f.shape[2:]) >= 3:
            residual = f - self._convolve(self.operator[level], u)
            coarse = self._cycle(restrict(residual, self.restriction[level], self.boundary), level + 1)
            u = u + prolong(coarse, self.prolongation[level], self.boundary, (f.shape[2], f.shape[3]))
        for _ in range(self.behind):
            u = self._smooth(u, f, level)
        return u

    def _smooth(self, u: Tensor, f: Tensor, level: int) -> Tensor:
        return u + self._convolve(self.smoother[level], f - self._convolve(self.operator[level], u))

    def _convolve(self, stencil: Tensor, values: Tensor) -> Tensor:
        result: Tensor = nn.functional.conv2d(pad(values, [(1, 1), (1, 1)], self.boundary), stencil)
        return result

    @torch.no_grad()
    def set_stencils(self, operators: Tensor, smoothers: Tensor, restriction: Tensor, prolongation: Tensor) -> None:
        """Set every level to given 3 x 3 stencils on each channel by itself.

        Args:
            operators: Of each level, shape `(levels, 3, 3)`.
            smoothers: The same.
            restriction: Shape `(3, 3)`.
            prolongation: Shape `(3, 3)`.
        """
        for level in range(self.levels):
            _set_diagonal(self.operator[level], operators[level])
            _set_diagonal(self.smoother[level], smoothers[level])
        for level in range(self.levels - 1):
            _set_diagonal(self.restriction[level], restriction)
            _set_diagonal(self.prolongation[level], prolongation)


def restrict(fine: Tensor, stencil: Tensor, boundary: Boundary) -> Tensor:
    """Return the field on every other point: odd ones of an odd number, even ones of an even number."""
    widths = [(0, 0) if n % 2 else (1, 0) for n in fine.shape[2:]]
    result: Tensor = nn.functional.conv2d(pad(fine, widths, boundary), stencil, stride=2)
    return result


def prolong(coarse: Tensor, stencil: Tensor, boundary: Boundary, shape: tuple[int, int]) -> Tensor:
    """Return the field on the finer grid of `shape`: each coarse value spreads by the stencil round its point.

    Args:
        coarse: Shape `(batch, c_in, n, m)`.
        stencil: Shape `(c_in, c_out, 3, 3)`.
        boundary: How the coarse field goes on beyond its grid.
        shape: Points of the finer grid.
    """
    around = pad(coarse, [(1, 1), (1, 1)], boundary)
    fine = nn.functional.conv_transpose2d(around, stencil, stride=2)
    # The coarse point i, padded to i + 1, spreads round 2 (i + 1) + 1; on the finer grid it is 2 i + 1 or 2 i.
    starts = [2 if n % 2 else 3 for n in shape]
    return fine.narrow(2, starts[0], shape[0]).narrow(3, starts[1], shape[1])


def _stencil(c_out: int, c_in: int, dtype: torch.dtype, scale: float = 1.0) -> nn.Parameter:
    bound = scale / (9.0 * c_in) ** 0.5
    return nn.Parameter(torch.empty(c_out, c_in, 3, 3, dtype=dtype).uniform_(-bound, bound) / 3.0)


def _set_diagonal(parameter: Tensor, stencil: Tensor) -> None:
    parameter.zero_()
    for channel in range(min(parameter.shape[:2])):
        parameter[channel, channel] = stencil.to(parameter.dtype)


class MgNO(GridOperator):
    """Layers `sigma(W v + B v + b)` with a V-cycle `W` and a pointwise map `B`, and a pointwise map at the end.

    Args:
        c_in: Channels in.
        c_out: Channels out.
        width: Channels inside.
        layers: Number of layers.
        levels: Grids of each V-cycle.
        before: Smoothing steps on the way down.
        behind: Smoothing steps on the way up.
        boundary: `zeros` for Dirichlet, `circular` for periodic, `reflect` for Neumann conditions.
        base: Points along each axis of the grid of training; on a grid 2, 4, .. times finer, full weighting and
            bilinear interpolation lead to the V-cycle and back. None: stencils live in points of whatever grid.
        dtype: float32 or float64.
    """

    boundaries: ClassVar[tuple[str, ...]] = ("zeros", "circular", "reflect")

    def __init__(
        self,
        c_in: int,
        c_out: int,
        width: int = 20,
        layers: int = 4,
        levels: int = 4,
        *,
        before: int = 1,
        behind: int = 0,
        boundary: Boundary = "zeros",
        base: int | None = None,
        dtype: torch.dtype = torch.float32,
    ) -> None:
        super().__init__()
        self.width, self.levels, self.before, self.behind = width, levels, before, behind
        self.boundary, self.base = boundary, base
        widths = [c_in] + [width] * (layers - 1)
        self.cycles = nn.ModuleList(VCycle(c, width, levels, before, behind, boundary, dtype) for c in widths)
        self.pointwise = nn.ModuleList(PointwiseLinear(c, width, dtype) for c in widths)
        self.project = PointwiseLinear(width, c_out, dtype)

    def settings(self) -> Mapping[str, Any]:
        """Return what builds the network again."""
        return {
            "width": self.width,
            "layers": len(self.cycles),
            "levels": self.levels,
            "before": self.before,
            "behind": self.behind,
            "boundary": self.boundary,
            "base": self.base,
        }

    def forward(self, values: Tensor) -> Tensor:
        """Return `(batch, c_out, n, m)` from `(batch, c_in, n, m)`."""
        finer = 0 if self.base is None else max(round(math.log2(max(values.shape[2], 1) / self.base)), 0)
        hidden = values
        for cycle, pointwise in zip(self.cycles, self.pointwise, strict=True):
            hidden = nn.functional.gelu(self._by_transfers(cycle, hidden, finer) + pointwise(hidden))
        result: Tensor = self.project(hidden)
        return result

    def _by_transfers(self, cycle: nn.Module, values: Tensor, finer: int) -> Tensor:
        shapes = []
        for _ in range(finer):
            shapes.append((values.shape[2], values.shape[3]))
            values = restrict(values, _textbook(values, 1.0 / 16.0), self.boundary)
        values = cycle(values)
        for shape in reversed(shapes):
            values = prolong(values, _textbook(values, 1.0 / 4.0), self.boundary, shape)
        return values


def _textbook(values: Tensor, factor: float) -> Tensor:
    """Return full weighting (1/16) or bilinear interpolation (1/4) on each channel by itself."""
    stencil = values.new_tensor(_WEIGHTING) * factor
    identity = torch.eye(values.shape[1], dtype=values.dtype, device=values.device)
    return identity[:, :, None, None] * stencil


class MgNOSurrogate(GridSurrogate):
    """Proposes the next state, or its change, with an MgNO; see `GridSurrogate`."""

    name: ClassVar[str] = "mgno"
    operator_type = MgNO
