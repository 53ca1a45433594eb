"""A surrogate on the local patch: each rank learns online how its own grid points move on, and asks nobody.

For each component, the next value at a point is a linear combination of the last values there and of the reaction's
rate u^2 v at these. The weights are the same at all points of a rank's patch; they are fitted by ridge regression to
the steps that were committed, older ones counting less. A polynomial extrapolation has such weights once and for all;
here they follow what the step does.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar

import numpy as np
from cosolve.core.arrays import Array
from cosolve.core.prediction import Prediction
from cosolve.core.query import Query
from cosolve.core.surrogate import Surrogate
from cosolve.examples.brusselator.options import LocalRegressionOptions


class LocalRegression(Surrogate):
    """Proposes by weights that each rank fits to its own patch; communicates nothing.

    Args:
        levels: Accepted states that a proposal reads.
        rows: Grid points that each rank learns from in a step.
        forget: Share of what was learnt that is forgotten in each step.
        ridge: Weight of the penalty.
    """

    name: ClassVar[str] = "local_regression"
    predict_keeps_memory: ClassVar[bool] = True

    def __init__(self, levels: int = 4, rows: int = 2048, forget: float = 0.5, ridge: float = 1e-10) -> None:
        self.options = LocalRegressionOptions(levels=levels, rows=rows, forget=forget, ridge=ridge)
        self._gram: Array = np.zeros((0, 0, 0))
        self._moment: Array = np.zeros((0, 0))
        self._dt = 0.0

    def _predict(self, query: Query) -> Prediction:
        levels = self._levels(query)
        if len(levels) < self.options.levels or not self._gram.size or not np.isclose(query.dt, self._dt):
            return Prediction(query.state.copy(), notes={"learnt": 0})
        features = _features(levels, slice(None))
        value = np.empty((len(levels[0]) // 2, 2))
        for component in (0, 1):
            change = features[component].T @ self._weights(component)
            value[:, component] = levels[0][component::2] + change
        return Prediction(value.reshape(-1), notes={"learnt": 1})

    def observe(self, query: Query, value: Array) -> None:
        """Learn from a committed step, on this rank's own points."""
        levels = self._levels(query)
        if len(levels) < self.options.levels or not len(value):
            return
        if not np.isclose(query.dt, self._dt):
            self._gram, self._dt = np.zeros((0, 0, 0)), query.dt
        points = len(value) // 2
        some = slice(None, None, max(1, points // self.options.rows))
        features = _features(levels, some)
        change = np.stack([(value - levels[0])[component::2][some] for component in (0, 1)])
        gram = features @ features.transpose(0, 2, 1)
        moment = np.einsum("cfp,cp->cf", features, change)
        if self._gram.size:
            keep = 1.0 - self.options.forget
            gram, moment = gram + keep * self._gram, moment + keep * self._moment
        self._gram, self._moment = gram, moment

    def memory(self) -> Mapping[str, Array]:
        """Return what was learnt so far."""
        return {"gram": self._gram, "moment": self._moment, "dt": np.array([self._dt])}

    def restore(self, memory: Mapping[str, Array]) -> None:
        """Take back what `memory` returned."""
        self._gram, self._moment = memory["gram"].copy(), memory["moment"].copy()
        self._dt = float(memory["dt"][0])

    def _levels(self, query: Query) -> list[Array]:
        return [query.state, *(snapshot.state for snapshot in query.history)][: self.options.levels]

    def _weights(self, component: int) -> Array:
        gram = self._gram[component]
        size = np.sqrt(np.maximum(np.diag(gram), 1e-300))
        scaled = gram / np.outer(size, size) + self.options.ridge * np.eye(len(size))
        weights: Array = np.linalg.solve(scaled, self._moment[component] / size) / size
        return weights


def _features(levels: list[Array], some: slice) -> Array:
    """Return increments of the last states and of the rate u^2 v, shape `(component, feature, point)`.

    Increments, since states that all but agree would make the regression ill-conditioned.
    """
    w = np.stack([level.reshape(-1, 2)[some] for level in levels])
    rate = w[..., 0] ** 2 * w[..., 1]
    steps, rates = w[:-1] - w[1:], rate[:-1] - rate[1:]
    shared = np.concatenate([rates, np.ones((1, *rate.shape[1:])), rate[:1]])
    return np.stack([np.concatenate([steps[..., 0], steps[..., 1], w[:1, :, c], shared]) for c in (0, 1)])
