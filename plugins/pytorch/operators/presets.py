"""Each grid operator with as many parameters as wanted, for a grid of any shape, to compare them at equal size."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Final

import numpy as np
import torch
from cosolve.core.errors import BadInputError, unknown_name
from cosolve.plugins.pytorch.operators.fno import FourierNeuralOperator
from cosolve.plugins.pytorch.operators.grid_operator import Boundary, GridOperator
from cosolve.plugins.pytorch.operators.local_operator import LocalOperator
from cosolve.plugins.pytorch.operators.mgno import MgNO
from cosolve.plugins.pytorch.operators.regression import GridRegressor, continued
from cosolve.plugins.pytorch.operators.sinenet import SineNet
from cosolve.plugins.pytorch.operators.unet import UNet

SYSTEMS: Final = ("fno", "local_operator", "unet", "mgno", "sinenet")
"""Names as registered; the last two know two dimensions only."""
_MARGIN: Final = 0.1
_WIDEST: Final = 512


def regressor(
    name: str,
    shape: Sequence[int],
    c_in: int,
    c_out: int,
    *,
    parameters: int = 400_000,
    periodic: bool = False,
    seed: int = 0,
    dtype: torch.dtype = torch.float32,
) -> GridRegressor:
    """Return an untrained network for fields on a grid, as near to `parameters` as its width allows.

    Args:
        name: One of `SYSTEMS`.
        shape: Points of the grid, 1 to 3 axes.
        c_in: Channels in.
        c_out: Channels out.
        parameters: Number of real parameters wanted.
        periodic: Whether the fields go on periodically: no margin, circular padding, no coordinates.
        seed: Of the weights.
        dtype: float32 or float64.

    Raises:
        BadInputError: The name is unknown, or the system does not know this dimension.
    """
    if name not in SYSTEMS:
        raise BadInputError(unknown_name("grid operator", name, SYSTEMS))
    dimension = len(shape)
    if name in ("mgno", "sinenet") and dimension != 2:
        raise BadInputError(f"{name} works on grids of two dimensions, found {dimension}; take fno, unet or another.")
    if not 1 <= dimension <= 3 or min(shape) < 4:
        raise BadInputError(f"a grid operator needs 1 to 3 axes of at least 4 points, found {tuple(shape)}.")
    margin = _MARGIN if name in ("fno", "local_operator") and not periodic else 0.0
    levels = max(min(int(math.log2(min(shape) / 4)), 3), 1)
    multiple = 2**levels if name in ("unet", "sinenet") else 2
    grid = continued(shape, margin, multiple)
    channels = c_in + (0 if periodic else dimension)
    boundary: Boundary = "circular" if periodic else "zeros"

    def build(width: int) -> GridOperator:
        torch.manual_seed(seed)
        if name == "fno":
            return FourierNeuralOperator(channels, c_out, modes(grid, (24, 12, 6)), width, 4, dtype=dtype)
        if name == "local_operator":
            few = modes(grid, (16, 8, 4))
            # Fields that are not periodic have a margin, beyond which the kernels see zeros.
            return LocalOperator(channels, c_out, few, width, 4, base=grid, boundary=boundary, dtype=dtype)
        if name == "unet":
            return UNet(channels, c_out, dimension, width, levels, base=grid, boundary=boundary, dtype=dtype)
        if name == "mgno":
            depth = max(int(math.log2(min(grid))) - 1, 2)
            return MgNO(channels, c_out, width, 4, depth, boundary=boundary, dtype=dtype)
        return SineNet(channels, c_out, width, 3, levels, boundary=boundary, dtype=dtype)

    operator = build(_width_of(build, parameters))
    return GridRegressor(
        operator,
        c_in,
        c_out,
        shape,
        margin=margin,
        multiple=multiple,
        coordinates=not periodic,
        periodic=periodic,
        dtype=dtype,
    )


def modes(grid: Sequence[int], most: Sequence[int]) -> list[int]:
    """Return modes along each axis: at most `most` (for 1, 2, 3 dimensions) and half of the points."""
    return [max(min(most[len(grid) - 1], n // 2), 1) for n in grid]


def count_of(operator: torch.nn.Module) -> int:
    """Return the number of real parameters."""
    return sum(parameter.numel() for parameter in operator.parameters())


def _width_of(build: Callable[[int], GridOperator], parameters: int) -> int:
    """Return the width whose number of parameters is nearest to what is wanted.

    The number grows as a polynomial of second degree in the width (nearly so where widths are rounded): three small
    networks tell which.
    """
    widths = np.array([4.0, 8.0, 12.0])
    square, slope, constant = np.polyfit(widths, [count_of(build(int(width))) for width in widths], 2)
    root = (-slope + math.sqrt(max(slope**2 + 4.0 * square * (parameters - constant), 0.0))) / (2.0 * square)
    return min(max(round(float(root)), 1), _WIDEST)
