"""Derivatives of training runs along directions of their parameters, and the loss that learns from them.

A solution costs a path of solves, its derivative by a parameter one more right-hand side: so derivatives are the
cheapest data there are. T. O'Leary-Roseberry, P. Chen, U. Villa and O. Ghattas, J. Comput. Phys. 496 (2024) 112555,
doi:10.1016/j.jcp.2023.112555.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from cosolve.core.arrays import Array
from cosolve.core.errors import BadInputError
from cosolve.plugins.pytorch.features import FeatureMap
from cosolve.plugins.pytorch.layers import MLP
from torch import Tensor, nn

Float64 = npt.NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Tangents:
    """How a run of one step moves along `k` directions of its parameters.

    Attributes:
        parameters: The directions: for each parameter an array of shape `(k, size)`.
        before: Derivatives of the state before the step, shape `(k, n)`.
        after: Derivatives of the state after it, shape `(k, n)`.
    """

    parameters: Mapping[str, Array]
    before: Array
    after: Array


def tangent_samples(
    tangents: Sequence[Tangents], features: FeatureMap, to_state: Float64, projector: Float64, base: str
) -> tuple[Tensor, Tensor]:
    """Return derivatives of features, shape `(runs, k, features)`, and of coefficients, `(runs, k, modes)`.

    Args:
        tangents: One for each training run.
        features: What the network sees.
        to_state: Takes a state to its coefficients, shape `(state modes, n)`.
        projector: Takes what is added to the base to its coefficients, shape `(modes, n)`.
        base: What the correction is added to: `mean` or `previous`.

    Raises:
        BadInputError: Features or base have no derivative here.
    """
    if base not in ("mean", "previous") or features.frequencies or features.history_modes:
        raise BadInputError(
            f"derivatives are learned with base 'mean' or 'previous', without frequencies and history; found {base!r}, "
            f"{len(features.frequencies)} frequencies and {features.history_modes} modes of the history"
        )
    rows, answers = [], []
    for one in tangents:
        moved = one.after - one.before if base == "previous" else one.after
        seen = one.before @ to_state.T
        parts = [one.parameters[name] for name, _ in features.parameters]
        clock = features.size - sum(part.shape[1] for part in parts) - features.state_modes
        rows.append(np.concatenate([*parts, np.zeros((len(moved), clock)), seen[:, : features.state_modes]], axis=1))
        answers.append(moved @ projector.T)
    return torch.from_numpy(np.array(rows)), torch.from_numpy(np.array(answers))


class _Gelu(torch.autograd.Function):
    """GELU and its derivative along a direction in one step: half the time of torch's own dual numbers."""

    @staticmethod
    def forward(ctx: Any, values: Tensor, moved: Tensor) -> tuple[Tensor, Tensor]:
        """Return GELU of the values and the direction times its derivative."""
        below = 0.5 * (1.0 + torch.erf(values * math.sqrt(0.5)))
        density = torch.exp(-0.5 * values * values) / math.sqrt(2.0 * math.pi)
        slope = below + values * density
        ctx.save_for_backward(values, moved, slope, density)
        return values * below, moved * slope

    @staticmethod
    def backward(ctx: Any, *cotangents: Tensor) -> tuple[Tensor, Tensor]:
        """Return the cotangents of values and direction."""
        values, moved, slope, density = ctx.saved_tensors
        first, second = cotangents
        return first * slope + second * moved * density * (2.0 - values * values), second * slope


def value_and_slope(network: MLP, inputs: Tensor, direction: Tensor) -> tuple[Tensor, Tensor]:
    """Return a GELU network's answer and its derivative along a direction; both can be differentiated by the weights.

    Args:
        network: The network.
        inputs: Shape `(batch, features)`.
        direction: The same shape.
    """
    layers = [layer for layer in network.modules() if isinstance(layer, nn.Linear)]
    value, slope = inputs, direction
    for number, layer in enumerate(layers):
        value, slope = layer(value), slope @ layer.weight.T
        if number < len(layers) - 1:
            value, slope = _Gelu.apply(value, slope)  # type: ignore[no-untyped-call]  # torch does not annotate it
    return value, slope


def with_tangents(network: MLP, seed: int) -> Callable[..., Tensor]:
    """Return the forward pass that also says how far the derivative along a random direction is off.

    The result has shape `(2, batch, modes)`: the answer, and the error of its derivative. Without derivatives (on
    validation runs) it is the answer alone.
    """
    generator = torch.Generator().manual_seed(seed)

    def forward(inputs: Tensor, *derivatives: Tensor) -> Tensor:
        if not derivatives:
            answer: Tensor = network(inputs)
            return answer
        moved, wanted = derivatives
        # One random combination of the directions in each step is, on the mean, all of them.
        mix = torch.randn((len(inputs), 1, moved.shape[1]), generator=generator, dtype=inputs.dtype)
        value, slope = value_and_slope(network, inputs, (mix @ moved)[:, 0])
        return torch.stack([value, slope - (mix @ wanted)[:, 0]])

    return forward
