"""The rivals that papers omit: POD of inputs and outputs, and a ridge regression or a Gaussian process between them."""

from __future__ import annotations

import itertools
from dataclasses import dataclass
from typing import Final

import numpy as np
import numpy.typing as npt
import scipy.linalg
from cosolve.examples.operators.tasks import Fields

Matrix = npt.NDArray[np.float64]

_MOST_SNAPSHOTS: Final = 2000
_MOST_CENTRES: Final = 1500
_MOST_VALUES: Final = 1.5e8
"""Of the fields that a basis and a regression see; a random part of larger data is enough for them."""
_RIDGES: Final = tuple(10.0 ** np.arange(-8.0, 2.0))
_SHARES: Final = (0.9, 0.99, 0.999, 0.9999)
_ENERGY: Final = 1.0 - 1e-7


@dataclass(frozen=True, slots=True)
class Basis:
    """Mean and orthonormal modes of fields; `sizes` are the standard deviations along them."""

    mean: Matrix
    modes: Matrix
    sizes: Matrix

    @classmethod
    def of(cls, fields: Matrix, random: np.random.Generator, energy: float = _ENERGY, most: int = 400) -> Basis:
        """Return the modes of `fields`, shape `(n, m)`, that carry a share `energy` of the variance."""
        if len(fields) > _MOST_SNAPSHOTS:
            fields = fields[random.permutation(len(fields))[:_MOST_SNAPSHOTS]]
        mean = fields.mean(axis=0)
        centred = fields - mean
        values, vectors = scipy.linalg.eigh(centred @ centred.T)
        values, vectors = np.maximum(values[::-1], 0.0), vectors[:, ::-1]
        total = max(float(values.sum()), 1e-300)
        count = min(int(np.searchsorted(np.cumsum(values) / total, energy)) + 1, most, len(fields) - 1)
        count = max(min(count, int(np.count_nonzero(values > 1e-12 * values[0]))), 1)
        roots = np.sqrt(np.maximum(values[:count], 1e-300))
        modes = (vectors[:, :count] / roots).T @ centred
        return cls(mean, modes, roots / np.sqrt(len(fields)))

    def encode(self, fields: Matrix) -> Matrix:
        """Return the coefficients, shape `(n, modes)`."""
        return (fields - self.mean) @ self.modes.T


class PodRegression:
    """Predicts POD coefficients of the output from those of the input; hyperparameters by held-back samples.

    Args:
        kind: `ridge` for linear and quadratic features, `gp` for a Gaussian process (Matern 5/2) on what a linear ridge
            leaves over, on at most 1500 samples.
        seed: Of the samples that are held back.
    """

    def __init__(self, kind: str, seed: int = 0) -> None:
        self.kind, self.seed = kind, seed
        self.setting = (0.0, 0.0, 0.0)
        self._shape: tuple[int, ...] = ()
        self._channels: tuple[Fields, Fields] | None = None
        self._in: Basis
        self._out: Basis
        self._map: Map

    def fit(self, x: Fields, y: Fields) -> float:
        """Fit to fields of shape `(n, c, *spatial)`; return the relative L2 error on the samples held back."""
        random = np.random.default_rng(self.seed)
        most = max(int(_MOST_VALUES / max(x[0].size, y[0].size)), 50)
        if len(x) > most:
            chosen = random.permutation(len(x))[:most]
            x, y = x[chosen], y[chosen]
        self._shape = y.shape[1:]
        # Standardised channels: none counts more for its unit.
        axes = (0, *range(2, x.ndim))
        shift, spread = x.mean(axis=axes, keepdims=True), x.std(axis=axes, keepdims=True)
        self._channels = shift, np.where(spread > 1e-6 * (np.abs(shift) + 1e-30), spread, np.float32(1.0))
        inputs, outputs = self._standard(x), _flat(y)
        order = random.permutation(len(x))
        held = min(max(len(x) // 10, 4), 200)
        inner, outer = order[held:], order[:held]
        self._in = Basis.of(inputs[inner], random)
        self._out = Basis.of(outputs[inner], random)
        a, b = self._in.encode(inputs), self._out.encode(outputs)
        true = outputs[outer]
        best = (np.inf, (0.0, 0.0, 0.0))
        for setting in self._settings():
            fitted = self._solve(a[inner], b[inner], setting)
            found = fitted(a[outer]) @ self._out.modes + self._out.mean
            error = float(np.mean(np.linalg.norm(found - true, axis=1) / (np.linalg.norm(true, axis=1) + 1e-300)))
            if error < best[0]:
                best = (error, setting)
        self.setting = best[1]
        # The settings are chosen: now all samples teach.
        self._map = self._solve(a, b, best[1])
        return best[0]

    def predict(self, x: Fields) -> Fields:
        """Return the outputs, shape `(n, c_out, *spatial)`."""
        a = self._in.encode(self._standard(x))
        fields = self._map(a) @ self._out.modes + self._out.mean
        return fields.reshape(len(x), *self._shape).astype(np.float32)

    @property
    def size(self) -> int:
        """Return how many numbers the prediction needs."""
        bases = (self._in, self._out)
        return sum(basis.modes.size + basis.mean.size for basis in bases) + self._map.size

    def _standard(self, x: Fields) -> Matrix:
        assert self._channels is not None, "predict before fit"
        return _flat((x - self._channels[0]) / self._channels[1])

    def _settings(self) -> list[tuple[float, float, float]]:
        if self.kind == "ridge":
            # Ridge, share of the variance whose modes enter, modes whose products enter, too.
            return list(itertools.product(_RIDGES, _SHARES, (0.0, 10.0, 25.0)))
        # Noise, length, ridge of the linear part; a large one leaves all to the process.
        return list(itertools.product((1e-6, 1e-4, 1e-2, 1e-1), (0.5, 1.0, 2.0, 4.0), (1e-4, 1e-1, 1e1, 1e4)))

    def _solve(self, a: Matrix, b: Matrix, setting: tuple[float, float, float]) -> Map:
        one, two, three = setting
        if self.kind == "ridge":
            share = np.cumsum(self._in.sizes**2) / np.sum(self._in.sizes**2)
            count = int(np.searchsorted(share, two)) + 1
            return Ridge(a, b, one, self._in.sizes[:count], int(three))
        linear = Ridge(a, b, three, self._in.sizes, 0)
        if len(a) > _MOST_CENTRES:
            chosen = np.random.default_rng(self.seed).permutation(len(a))[:_MOST_CENTRES]
            a, b = a[chosen], b[chosen]
        return Process(a, b, linear, one, two)


class Map:
    """From coefficients to coefficients.

    Attributes:
        size: Numbers that it keeps.
    """

    size: int

    def __call__(self, a: Matrix) -> Matrix:
        """Return the output's coefficients, shape `(n, modes)`."""
        raise NotImplementedError


class Ridge(Map):
    """Linear and, of the leading modes, quadratic features; each standardised."""

    def __init__(self, a: Matrix, b: Matrix, ridge: float, sizes: Matrix, products: int) -> None:
        self.sizes, self.products = sizes, min(products, len(sizes))
        features = self._features(a)
        self._centre, self._mean = features.mean(axis=0), b.mean(axis=0)
        features = features - self._centre
        gram = features.T @ features
        gram[np.diag_indices_from(gram)] += ridge * len(a)
        self._weights = scipy.linalg.solve(gram, features.T @ (b - self._mean), assume_a="pos")
        self.size = int(self._weights.size)

    def _features(self, a: Matrix) -> Matrix:
        linear = a[:, : len(self.sizes)] / self.sizes
        if not self.products:
            return linear
        rows, columns = np.triu_indices(self.products)
        products = linear[:, rows] * linear[:, columns] - (rows == columns)
        return np.concatenate([linear, products], axis=1)

    def __call__(self, a: Matrix) -> Matrix:
        """Return the output's coefficients."""
        found: Matrix = (self._features(a) - self._centre) @ self._weights + self._mean
        return found


class Process(Map):
    """The mean of a Gaussian process on the residuals of a linear map."""

    def __init__(self, a: Matrix, b: Matrix, linear: Map, noise: float, length: float) -> None:
        self._linear, self._centres = linear, a
        # In units of the mean distance between samples.
        self._length = length * np.sqrt(2.0 * float(np.mean(np.var(self._centres, axis=0).sum())) + 1e-300)
        kernel = self._kernel(self._centres)
        kernel[np.diag_indices_from(kernel)] += noise + 1e-10
        self._weights = scipy.linalg.solve(kernel, b - linear(a), assume_a="pos")
        self.size = int(self._weights.size + self._centres.size) + linear.size

    def _kernel(self, points: Matrix) -> Matrix:
        squares = np.sum(points**2, axis=1)[:, None] + np.sum(self._centres**2, axis=1)
        distance = np.sqrt(5.0 * np.maximum(squares - 2.0 * points @ self._centres.T, 0.0)) / self._length
        kernel: Matrix = (1.0 + distance + distance**2 / 3.0) * np.exp(-distance)
        return kernel

    def __call__(self, a: Matrix) -> Matrix:
        """Return the output's coefficients."""
        found: Matrix = self._linear(a) + self._kernel(a) @ self._weights
        return found


def _flat(fields: Fields) -> Matrix:
    return fields.reshape(len(fields), -1).astype(np.float64)
