"""A small convolutional network for one Cahn-Hilliard step, on the nodes of a uniform mesh."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import torch
from cosolve.core.arrays import Array
from cosolve.core.errors import BadInputError, ModelMismatchError
from cosolve.core.prediction import Prediction
from cosolve.core.query import Query
from cosolve.core.solver import Solver
from cosolve.core.surrogate import Surrogate
from safetensors.torch import load_file

MODEL = Path(__file__).with_name("network.safetensors")
"""The trained weights, made by `python -m cosolve.examples.cahn_hilliard.training`."""

CHANNELS = 12


class StepNetwork(torch.nn.Module):
    """Increment of the concentration beyond linear extrapolation, and the potential, from what is known before a step.

    Input `(batch, 4, ny, nx)`: concentration, its extrapolated increment, potential, and log10 of the step. Output
    `(batch, 2, ny, nx)`: correction of the increment and change of the potential.
    """

    def __init__(self) -> None:
        super().__init__()
        kwargs: dict[str, Any] = {"kernel_size": 5, "padding": 2, "padding_mode": "reflect"}
        self.layers = torch.nn.Sequential(
            torch.nn.Conv2d(4, CHANNELS, **kwargs),
            torch.nn.GELU(),
            torch.nn.Conv2d(CHANNELS, CHANNELS, **kwargs),
            torch.nn.GELU(),
            torch.nn.Conv2d(CHANNELS, 2, **kwargs),
        )

    def forward(self, values: torch.Tensor) -> torch.Tensor:
        """Return the two corrections."""
        output: torch.Tensor = self.layers(values)
        return output


class CahnHilliardNetwork(Surrogate):
    """Proposes a step by a trained `StepNetwork` (serial: it sees the whole grid).

    Args:
        network: The trained network; None reads `MODEL`.

    Raises:
        BadInputError: The weights are missing.
    """

    name: ClassVar[str] = "cahn_hilliard_network"

    def __init__(self, network: StepNetwork | None = None) -> None:
        if network is None:
            if not MODEL.is_file():
                raise BadInputError(f"{MODEL} is missing; make it: python -m cosolve.examples.cahn_hilliard.training")
            network = StepNetwork()
            network.load_state_dict(load_file(MODEL))
        self.network = network.eval()
        self._order: Array | None = None
        self._side = 0

    def bind(self, solver: Solver) -> None:
        """Learn which value lies at which node of the grid (collective).

        Raises:
            ModelMismatchError: The values are not those of two fields on a square grid that this rank owns alone.
        """
        self._order, self._side = grid_order(solver.coordinates())

    def _predict(self, query: Query) -> Prediction:
        assert self._order is not None
        seen = features(query, self._order, self._side)
        inputs = torch.from_numpy(seen.astype(np.float32))[None]
        with torch.inference_mode():
            output = self.network(inputs)[0].numpy().astype(np.float64)
        value = np.empty_like(query.state)
        state = query.state[self._order]
        step = seen[1]
        n = self._side**2
        value[self._order[:n]] = state[:n] + (step + output[0]).reshape(-1)
        value[self._order[n:]] = state[n:] + output[1].reshape(-1)
        return Prediction(value)


def grid_order(coordinates: Array) -> tuple[Any, int]:
    """Return the dofs in the order (field, y, x) and the number of nodes along a side.

    Raises:
        ModelMismatchError: See `CahnHilliardNetwork.bind`.
    """
    n = len(coordinates) // 2
    side = math.isqrt(n)
    if side * side != n or len(coordinates) != 2 * n or coordinates.shape[1] != 3:
        raise ModelMismatchError(
            "the Cahn-Hilliard network needs two fields on a whole square grid of nodes on one rank, found "
            f"{len(coordinates)} values with {coordinates.shape[1]} coordinates; run it with one rank"
        )
    x, y, field = np.round(coordinates * 1e6).T
    return np.lexsort((x, y, field)), side


def features(query: Query, order: Any, side: int) -> Array:
    """Return what the network sees, shape `(4, side, side)`."""
    state = query.state[order].reshape(2, side, side)
    step = np.zeros((side, side))
    if query.history:
        before = query.history[0]
        step = (state[0] - before.state[order[: side * side]].reshape(side, side)) * query.dt / (query.t - before.t)
    return np.stack([state[0], step, state[1], np.full((side, side), math.log10(query.dt) + 3.0)])
