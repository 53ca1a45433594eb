"""A trained surrogate on the local patch: one small network, the same at every grid point, that reads the last steps.

At a point it sees the last state, its differences of first, second and third order in time, and those of the
reaction's rate u^2 v. It answers how far the next state is from the cubic extrapolation of the last four. Each rank
evaluates it at its own points and asks nobody, so the answer does not depend on how the grid is divided.
"""

from __future__ import annotations

from pathlib import Path
from typing import Final

import torch
from cosolve.core.query import Query
from torch import Tensor, nn

WEIGHTS: Final = Path(__file__).with_name("network.safetensors")
"""The trained weights, made by `python -m cosolve.examples.brusselator.training`."""

LEVELS: Final = 4
"""Accepted states that it reads."""
FEATURES: Final = 10


class PatchNetwork(nn.Module):
    """A linear map plus one hidden layer, at each grid point; trained for one length of step.

    Args:
        width: Width of the hidden layer.
    """

    mean: Tensor
    scale: Tensor
    size: Tensor

    def __init__(self, width: int = 12) -> None:
        super().__init__()
        self.linear = nn.Linear(FEATURES, 2, dtype=torch.float64)
        self.hidden = nn.Linear(FEATURES, width, dtype=torch.float64)
        self.outer = nn.Linear(width, 2, bias=False, dtype=torch.float64)
        self.register_buffer("mean", torch.zeros(FEATURES, dtype=torch.float64))
        self.register_buffer("scale", torch.ones(FEATURES, dtype=torch.float64))
        self.register_buffer("size", torch.ones(2, dtype=torch.float64))

    def encode(self, state: Tensor, query: Query) -> Tensor:
        """Return the last states, newest first, shape `(4, points, 2)`; the oldest stands for those before it."""
        known = [state, *(torch.from_numpy(snapshot.state) for snapshot in query.history[: LEVELS - 1])]
        known += [known[-1]] * (LEVELS - len(known))
        return torch.stack(known).reshape(LEVELS, -1, 2)

    def forward(self, levels: Tensor) -> Tensor:
        """Return the change in the next step, shape `(points, 2)`."""
        seen, extrapolated = features(levels)
        inputs = (seen - self.mean) / self.scale
        correction = self.linear(inputs) + self.outer(torch.tanh(self.hidden(inputs)))
        change: Tensor = extrapolated + self.size * correction
        return change

    @staticmethod
    def decode(output: Tensor, query: Query) -> Tensor:
        """Return the change as one row of values, as the grid numbers them."""
        return output.reshape(-1)


def features(levels: Tensor) -> tuple[Tensor, Tensor]:
    """Return what the network sees, shape `(points, 10)`, and the change by cubic extrapolation, `(points, 2)`."""
    rates = (levels[:, :, 0] ** 2 * levels[:, :, 1])[..., None]
    first, first_rate = levels[:-1] - levels[1:], rates[:-1] - rates[1:]
    second, second_rate = first[:-1] - first[1:], first_rate[0] - first_rate[1]
    third = second[0] - second[1]
    seen = torch.cat([levels[0], first[0], second[0], third, first_rate[0], second_rate], dim=1)
    return seen, first[0] + second[0] + third
