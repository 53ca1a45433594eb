"""Who takes part in a comparison: each is fitted to a task's training pairs and predicts fields."""

from __future__ import annotations

import time
from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import torch
from cosolve.examples.operators.rivals import PodRegression
from cosolve.examples.operators.tasks import Fields, Task
from cosolve.plugins.pytorch.operators.presets import SYSTEMS, count_of, regressor
from cosolve.plugins.pytorch.operators.regression import looks_periodic
from cosolve.plugins.pytorch.operators.training import OperatorFit, OperatorResult, fit_operator, fitting

Progress = Callable[[float, str], None]


class Contestant(ABC):
    """Predicts the output fields of a task.

    Attributes:
        name: For tables.
        parameters: Numbers that were fitted.
        seconds: CPU seconds of the fit.
        notes: What else there is to say, for the JSON file.
    """

    name: str
    parameters: int = 0
    seconds: float = 0.0
    notes: dict[str, Any]

    @abstractmethod
    def fit(self, task: Task, progress: Progress) -> None:
        """Fit to the training pairs."""

    @abstractmethod
    def predict(self, x: Fields) -> Fields:
        """Return outputs for inputs, channels first."""


class Pod(Contestant):
    """POD + ridge or POD + Gaussian process; lives on the grid of training, other grids are interpolated.

    Args:
        kind: `ridge` or `gp`.
        seed: Of the held-back samples.
    """

    def __init__(self, kind: str, seed: int) -> None:
        self.name = {"ridge": "POD + ridge", "gp": "POD + Gaussian process"}[kind]
        self._regression, self.notes = PodRegression(kind, seed), {}
        self._shape: tuple[int, ...] = ()

    def fit(self, task: Task, progress: Progress) -> None:
        """Fit; hyperparameters by held-back samples."""
        begin = time.process_time()
        self._shape = task.shape
        error = self._regression.fit(task.x_train, task.y_train)
        self.seconds = time.process_time() - begin
        self.parameters = self._regression.size
        self.notes = {"validation_error": error, "setting": list(self._regression.setting)}

    def predict(self, x: Fields) -> Fields:
        """Return outputs."""
        shape = x.shape[2:]
        return resampled(self._regression.predict(resampled(x, self._shape)), shape)


class Network(Contestant):
    """A grid operator with the recipe of the plugin.

    Args:
        system: One of `SYSTEMS`.
        parameters: Wanted.
        budget: CPU seconds.
        seed: Of weights, split and order.
    """

    def __init__(self, system: str, parameters: int, budget: float, seed: int) -> None:
        self.name, self.notes = system, {}
        self._wanted, self._budget, self._seed = parameters, budget, seed

    def fit(self, task: Task, progress: Progress) -> None:
        """Train in the budget."""
        x, y = torch.from_numpy(task.x_train), torch.from_numpy(task.y_train)
        periodic = looks_periodic(x[:200]) and looks_periodic(y[:200])
        channels = x.shape[1], y.shape[1]
        self.model = regressor(
            self.name, task.shape, *channels, parameters=self._wanted, periodic=periodic, seed=self._seed
        )
        fit = OperatorFit(seconds=self._budget, seed=self._seed)
        result: OperatorResult = fit_operator(self.model, x, y, fit, progress)
        self.seconds, self.parameters = result.seconds, count_of(self.model.operator)
        self.notes = {
            "validation_error": result.validation_error,
            "training_error": result.training_error,
            "epochs": result.epochs,
            "learning_rate": result.learning_rate,
            "periodic": periodic,
            "curve": [list(point) for point in thinned(result.curve)],
        }

    def predict(self, x: Fields) -> Fields:
        """Return outputs."""
        with torch.inference_mode():
            parts = [
                self.model(torch.from_numpy(part)).numpy()
                for part in np.array_split(x, -(-len(x) // min(fitting(x.shape[2:]), 16)))
            ]
        return np.concatenate(parts)


def contestants(task: Task, systems: Sequence[str], parameters: int, budget: float, seed: int) -> list[Contestant]:
    """Return all that can take part in a task, the rivals first."""
    planar = len(task.shape) == 2
    wanted = [name for name in SYSTEMS if name in systems and (planar or name not in ("mgno", "sinenet"))]
    networks = [Network(name, parameters, budget, seed) for name in wanted]
    return [Pod("ridge", seed), Pod("gp", seed), *networks]


def resampled(fields: Fields, shape: Sequence[int]) -> Fields:
    """Return fields interpolated linearly to a grid of `shape`; the same fields where they live there."""
    if tuple(fields.shape[2:]) == tuple(shape):
        return fields
    mode = {1: "linear", 2: "bilinear", 3: "trilinear"}[len(shape)]
    found: Fields = torch.nn.functional.interpolate(torch.from_numpy(fields), list(shape), mode=mode).numpy()
    return found


def thinned(curve: Sequence[tuple[float, float]], most: int = 40) -> list[tuple[float, float]]:
    """Return at most `most` points of a curve, the last one included."""
    step = -(-len(curve) // most) or 1
    return [*curve[:-1:step], *curve[-1:]]
