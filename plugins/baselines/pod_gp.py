"""POD + Gaussian process: the surrogate that few samples and no network give.

Coefficients of a POD basis are interpolated in the parameters by Gaussian processes with one common kernel: M. Guo and
J. S. Hesthaven, Comput. Methods Appl. Mech. Engrg. 341 (2018) 807, doi:10.1016/j.cma.2018.07.017.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

import numpy as np
from cosolve.core.arrays import Array
from cosolve.core.errors import BadInputError
from cosolve.core.prediction import Prediction
from cosolve.core.query import Query
from cosolve.core.surrogate import StoredSurrogate
from cosolve.core.trajectory import Trajectory
from cosolve.plugins.baselines.nearest_snapshot import flat, shared_parameters

_LENGTHS = (1.0, 2.0, 4.0, 8.0, 16.0)
_NOISES = (1e-10, 1e-7, 1e-4, 1e-2)


class PodGaussianProcess(StoredSurrogate):
    """Proposes mean + sum_k c_k(parameters) phi_k, with c from Gaussian processes of a squared-exponential kernel.

    The last state of each run is a sample. Length scale and noise, common to all coefficients, maximise the marginal
    likelihood over a small table; parameters are scaled by their spread. The states are those of one rank.

    Args:
        keys: Scaled parameters of the samples, shape `(n, m)`.
        weights: Kernel weights of each coefficient, shape `(n, k)`.
        functions: Mean and modes, shape `(1 + k, n_owned)`.
        scales: Shift and scale of the parameters, shape `(2, m)`.
        parameters: Names of the parameters.
        length: Length scale.
    """

    name: ClassVar[str] = "pod_gp"
    is_baseline: ClassVar[bool] = False
    predict_keeps_memory: ClassVar[bool] = True

    def __init__(
        self,
        keys: Array | None = None,
        weights: Array | None = None,
        functions: Array | None = None,
        scales: Array | None = None,
        parameters: Sequence[str] = (),
        length: float = 1.0,
    ) -> None:
        self.parameters, self.length = tuple(parameters), length
        self._keys = np.zeros((0, 0)) if keys is None else keys
        self._weights = np.zeros((0, 0)) if weights is None else weights
        self._functions = np.zeros((1, 0)) if functions is None else functions
        self._scales = np.zeros((2, self._keys.shape[1])) if scales is None else scales
        if len(self._weights) != len(self._keys) or self._weights.shape[1] != len(self._functions) - 1:
            raise BadInputError(
                f"{self.name!r}: {len(self._keys)} samples and {len(self._functions) - 1} modes do not fit weights of "
                f"shape {self._weights.shape}"
            )

    def fit(self, data: Sequence[Trajectory], **options: Any) -> Mapping[str, float]:
        """Fit to the last states of runs.

        Args:
            data: At least two runs.
            options: `modes`: number of POD modes (default 30).

        Returns:
            `length`, `noise`, `log_likelihood`.

        Raises:
            BadInputError: Fewer than two runs, or none of their parameters varies.
        """
        names = shared_parameters(data)
        raw = np.array([flat(run.parameters, names) for run in data])
        if len(data) < 2 or not np.any(np.ptp(raw, axis=0) > 0.0):
            raise BadInputError("pod_gp needs at least two runs whose parameters differ")
        spread = np.std(raw, axis=0)
        scales = np.array([raw.mean(axis=0), np.where(spread > 0.0, spread, 1.0)])
        keys = (raw - scales[0]) / scales[1]
        states = np.array([run.states[-1] for run in data])
        mean = states.mean(axis=0)
        left, sizes, right = np.linalg.svd(states - mean, full_matrices=False)
        count = min(int(options.get("modes", 30)), int(np.count_nonzero(sizes > 1e-12 * sizes[0])))
        targets = left[:, :count] * sizes[:count]
        best: tuple[float, float, float, Array] | None = None
        distances = _squares(keys, keys)
        for length in _LENGTHS:
            kernel = np.exp(-0.5 * distances / (length**2 * keys.shape[1]))
            for noise in _NOISES:
                factor = np.linalg.cholesky(kernel + noise * np.eye(len(keys)) + 1e-12 * np.eye(len(keys)))
                half = np.linalg.solve(factor, targets)
                # Each coefficient has its own variance, estimated in closed form.
                variances = np.maximum((half**2).mean(axis=0), 1e-300)
                likelihood = -0.5 * len(keys) * float(np.log(variances).sum())
                likelihood -= count * float(np.log(np.diag(factor)).sum())
                if best is None or likelihood > best[0]:
                    best = (likelihood, length, noise, np.linalg.solve(factor.T, half))
        assert best is not None
        functions = np.concatenate([mean[None], right[:count]])
        self.__init__(keys, best[3], functions, scales, names, best[1])  # type: ignore[misc]  # building anew
        return {"length": best[1], "noise": best[2], "log_likelihood": best[0]}

    @classmethod
    def of(cls, states: Sequence[Array], parameters: Sequence[Mapping[str, Any]], **options: Any) -> PodGaussianProcess:
        """Return one that is fitted to solutions and the parameters that they belong to; `options` as in `fit`."""
        made = cls()
        pairs = zip(states, parameters, strict=True)
        made.fit([Trajectory(np.zeros(1), np.asarray(state)[None], one) for state, one in pairs], **options)
        return made

    def _predict(self, query: Query) -> Prediction:
        if not len(self._keys):
            raise BadInputError("pod_gp has no samples: call `fit` or load a model file")
        wanted = (flat(query.parameters, self.parameters) - self._scales[0]) / self._scales[1]
        near = np.exp(-0.5 * _squares(wanted[None], self._keys)[0] / (self.length**2 * len(wanted)))
        value = np.concatenate([[1.0], near @ self._weights]) @ self._functions
        return Prediction(value.astype(query.state.dtype, copy=False))

    def tensors(self) -> Mapping[str, Array]:
        """Return all arrays."""
        return {"keys": self._keys, "weights": self._weights, "functions": self._functions, "scales": self._scales}

    def settings(self) -> Mapping[str, Any]:
        """Return the names of the parameters and the length scale."""
        return {"parameters": list(self.parameters), "length": self.length}

    @classmethod
    def from_file(cls, tensors: Mapping[str, Array], settings: Mapping[str, Any]) -> PodGaussianProcess:
        """Build it again from arrays, names and length scale."""
        for name in ("keys", "weights", "functions", "scales"):
            if name not in tensors or tensors[name].ndim != 2:
                raise BadInputError(f"tensor {name!r} of {cls.name!r} is missing or is not of two dimensions")
        keys, weights, functions, scales = (tensors[name] for name in ("keys", "weights", "functions", "scales"))
        names = tuple(str(name) for name in settings["parameters"])
        return cls(keys, weights, functions, scales, names, float(settings["length"]))


def _squares(one: Array, other: Array) -> Array:
    distances: Array = np.sum(one**2, axis=1)[:, None] + np.sum(other**2, axis=1) - 2.0 * one @ other.T
    return np.maximum(distances, 0.0)
