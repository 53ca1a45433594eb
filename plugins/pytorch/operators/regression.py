"""A grid operator made ready for data from anywhere: scaled, with coordinates, on grids of any size.

Inputs are standardised by channel, outputs by their mean field and deviation where the data have such (a field that is
zero on the boundary then stays zero there), coordinates are appended, and the grid goes on beyond its end until the
operator can take it: by a margin where fields are not periodic, and to the multiple that a hierarchy of grids needs.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from cosolve.plugins.pytorch.layers import Normaliser
from cosolve.plugins.pytorch.operators.grid_operator import GridOperator
from torch import Tensor, nn


class FieldScaling(nn.Module):
    """Mean and deviation of each channel, at each point or of the whole field; `inverse` undoes the standardisation.

    Args:
        channels: Number of channels.
        shape: Points of the grid of training.
        dtype: Precision.

    Attributes:
        shift: Buffer of shape `(channels, *shape)`.
        scale: Buffer of the same shape, zero where the data are the same in all samples.
    """

    shift: Tensor
    scale: Tensor

    def __init__(self, channels: int, shape: Sequence[int], dtype: torch.dtype = torch.float32) -> None:
        super().__init__()
        self.register_buffer("shift", torch.zeros(channels, *shape, dtype=dtype))
        self.register_buffer("scale", torch.ones(channels, *shape, dtype=dtype))

    def fit(self, data: Tensor) -> FieldScaling:
        """Take mean and deviation from `data`, shape `(n, channels, *shape)`; return self.

        Both are fields only where the data say so: a mean field that is not noise, a deviation that varies by more
        than a factor of two. Else they are numbers, which translations of the data do not change.
        """
        count, axes = len(data), list(range(2, data.ndim))
        values = data.to(torch.float64)
        mean = values.mean(dim=0)
        overall = mean.mean(dim=[axis - 1 for axis in axes], keepdim=True)
        deviation = values.var(dim=0, unbiased=False).sqrt()
        rms = deviation.square().mean(dim=[axis - 1 for axis in axes], keepdim=True).sqrt()
        whole = (values - overall).square().mean(dim=[0, *axes], keepdim=True)[0].sqrt()
        # The mean of `count` independent fields has this size by chance.
        structured = (mean - overall).square().mean(dim=[axis - 1 for axis in axes], keepdim=True) > 4 * rms**2 / count
        shift = torch.where(structured, mean, overall)
        spread = torch.where(structured, rms, whole)
        # Noise in the deviation falls as the root of the number of samples: with few samples it is not trusted.
        varies = structured & (deviation.amin(dim=[a - 1 for a in axes], keepdim=True) < 0.5 * rms) & (count >= 30)
        floor = torch.where(deviation > 1e-6 * rms, 0.05 * rms, torch.zeros_like(rms))
        scale = torch.where(varies, torch.maximum(deviation, floor), spread)
        tiny = 1e-10 * values.abs().amax(dim=[0, *axes], keepdim=True)[0] + torch.finfo(torch.float32).tiny
        scale = torch.where(spread > tiny, scale, torch.ones_like(scale))
        self.shift.copy_(shift.expand_as(mean))
        self.scale.copy_(scale.expand_as(mean))
        return self

    def inverse(self, values: Tensor) -> Tensor:
        """Return `values * scale + shift`, both interpolated to the grid of `values`."""
        shift, scale = self.shift, self.scale
        if values.shape[2:] != shift.shape[1:]:
            shift = interpolated(shift, values.shape[2:])
            scale = interpolated(scale, values.shape[2:]).clamp_min(0.0)
        return values * scale + shift


class GridRegressor(nn.Module):
    """Scaling, coordinates and a continued grid round an operator: fields of any size in, fields of that size out.

    Args:
        operator: Takes `c_in` channels, and as many more as there are dimensions where coordinates are wanted.
        c_in: Channels in, without coordinates.
        c_out: Channels out.
        shape: Points of the grid of training.
        margin: Share of each axis by which the field goes on beyond its end; 0 for periodic fields.
        multiple: The operator's numbers of points must be divisible by this.
        coordinates: Whether the points' coordinates are appended as channels.
        periodic: Whether the field goes on periodically, else with its last value.
        dtype: float32 or float64.
    """

    def __init__(
        self,
        operator: GridOperator,
        c_in: int,
        c_out: int,
        shape: Sequence[int],
        *,
        margin: float = 0.0,
        multiple: int = 1,
        coordinates: bool = True,
        periodic: bool = False,
        dtype: torch.dtype = torch.float32,
    ) -> None:
        super().__init__()
        self.operator, self.margin, self.multiple = operator, margin, multiple
        self.coordinates, self.periodic = coordinates, periodic
        self.inputs = Normaliser(c_in, axis=1, dtype=dtype)
        self.outputs = FieldScaling(c_out, shape, dtype)

    def fit_scaling(self, x: Tensor, y: Tensor) -> None:
        """Fit what standardises inputs and outputs to the training samples."""
        self.inputs.fit(x)
        self.outputs.fit(y)

    def forward(self, x: Tensor) -> Tensor:
        """Return `(batch, c_out, *spatial)` from `(batch, c_in, *spatial)`."""
        shape = x.shape[2:]
        target = continued(shape, self.margin, self.multiple)
        values = _go_on(self.inputs(x), target, self.periodic)
        if self.coordinates:
            axes = [
                (torch.arange(m, dtype=x.dtype, device=x.device) + 0.5) / n for n, m in zip(shape, target, strict=True)
            ]
            grid = 2.0 * torch.stack(torch.meshgrid(*axes, indexing="ij")) - 1.0
            values = torch.cat([values, grid.expand(len(x), *grid.shape)], dim=1)
        answer = self.operator(values)
        for axis, n in enumerate(shape, 2):
            answer = answer.narrow(axis, 0, n)
        return self.outputs.inverse(answer)


def interpolated(field: Tensor, shape: Sequence[int]) -> Tensor:
    """Return a field of cell averages, shape `(channels, *spatial)`, interpolated linearly to a grid of `shape`.

    Beyond the first and last centre the line goes on: fields that fall to zero at the boundary do so on every grid.
    """
    for axis, m in enumerate(shape, 1):
        n = field.shape[axis]
        if m == n or n == 1:
            field = field.expand(*field.shape[:axis], m, *field.shape[axis + 1 :]) if n == 1 else field
            continue
        places = (torch.arange(m, dtype=field.dtype, device=field.device) + 0.5) * (n / m) - 0.5
        left = places.floor().clamp(0, n - 2).to(torch.int64)
        along = [1] * field.ndim
        along[axis] = m
        weight = (places - left).reshape(along)
        field = field.index_select(axis, left) * (1.0 - weight) + field.index_select(axis, left + 1) * weight
    return field


def continued(shape: Sequence[int], margin: float, multiple: int) -> tuple[int, ...]:
    """Return the points of the continued grid: `margin` more along each axis, and divisible by `multiple`."""
    return tuple(-(-(n + round(margin * n)) // multiple) * multiple for n in shape)


def _go_on(values: Tensor, target: Sequence[int], periodic: bool) -> Tensor:
    for axis, m in enumerate(target, 2):
        n = values.shape[axis]
        if m > n:
            places = torch.arange(m, device=values.device)
            places = places % n if periodic else places.clamp_max(n - 1)
            values = values.index_select(axis, places)
    return values


def looks_periodic(data: Tensor, factor: float = 2.0) -> bool:
    """Return whether fields go on smoothly from their end to their beginning, along every axis.

    Root mean squares of first and second differences across the ends are compared with those inside; fields that are
    zero on the boundary have a kink there.

    Args:
        data: Fields, shape `(n, channels, *spatial)`.
        factor: How much larger they may be.
    """
    values = data.to(torch.float64)
    for axis in range(2, values.ndim):
        if values.shape[axis] < 6:
            return False
        first = values - values.roll(1, axis)
        second = first.roll(-1, axis) - first
        for differences, ends in ((first, [0]), (second, [0, -1])):
            size = differences.square().mean(dim=[k for k in range(values.ndim) if k != axis]).sqrt()
            inside = size.clone()
            inside[ends] = 0.0
            if float(size[ends].mean()) > factor * float(inside.sum() / (len(size) - len(ends))) + 1e-300:
                return False
    return True
