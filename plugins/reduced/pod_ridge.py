"""POD x ridge: the next state as POD modes times polynomials of state coefficients, parameters and schedules."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
from cosolve.core.arrays import Array
from cosolve.core.errors import BadInputError, ModelMismatchError
from cosolve.core.prediction import Prediction
from cosolve.core.query import Query
from cosolve.core.surrogate import StoredSurrogate
from cosolve.core.trajectory import Trajectory
from cosolve.plugins.reduced.options import PodRidgeFit
from cosolve.plugins.reduced.pod import pod
from cosolve.plugins.reduced.polynomials import Polynomials
from cosolve.plugins.reduced.transforms import Cosine, Transform, transform_from


@dataclass(frozen=True, slots=True)
class Inputs:
    """What the regression reads beside the state.

    Attributes:
        parameters: Names of scalar parameters.
        schedules: Names of arrays of shape `(n_intervals, m)`, constant on each interval, and the number of columns.
        interval: Length of an interval of all schedules, in the problem's unit of time.
    """

    parameters: tuple[str, ...] = ()
    schedules: tuple[tuple[str, int], ...] = ()
    interval: float = 1.0

    @property
    def count(self) -> int:
        """Number of values."""
        return len(self.parameters) + sum(columns for _, columns in self.schedules)

    def read(self, parameters: Mapping[str, Any], middle: float) -> Array:
        """Return the values in the interval around the time `middle`.

        Raises:
            BadInputError: A parameter is missing or a schedule has another number of columns.
        """
        values: list[float] = []
        try:
            values.extend(float(parameters[name]) for name in self.parameters)
            for name, columns in self.schedules:
                table = np.asarray(parameters[name], dtype=np.float64).reshape(-1, columns)
                row = min(max(int(middle / self.interval), 0), len(table) - 1)
                values.extend(table[row])
        except KeyError as error:
            known = ", ".join(sorted(parameters)) or "none"
            raise BadInputError(f"pod_ridge reads the parameter {error}, the query has {known}") from error
        return np.array(values)


class PodRidge(StoredSurrogate):
    """Proposes mean + modes times W polynomials(inputs, input modes times (state - mean)).

    A query with another step than in training gets the straight line towards the proposal of the trained step.

    Args:
        inputs: What is read beside the state.
        transform: Where the modes live.
        dt: The step of the training runs, in the problem's unit of time.
        leading: Counts of leading inputs, see `Polynomials`.
        tensors: `mean (m,)`, `modes_in (r, m)`, `modes_out (q, m)`, `centre` and `spread` of the inputs, `weights
            (n_features, q)`; None before `fit`.
    """

    name: ClassVar[str] = "pod_ridge"

    def __init__(
        self,
        inputs: Inputs,
        transform: Transform,
        dt: float,
        leading: Sequence[int] = (),
        tensors: Mapping[str, Array] | None = None,
    ) -> None:
        self.inputs, self.transform, self.dt, self.leading = inputs, transform, float(dt), tuple(leading)
        if not self.dt > 0.0:
            raise BadInputError(f"pod_ridge needs a positive step of its training runs, found {dt}")
        self._tensors: dict[str, Array] = {}
        if tensors is not None:
            self._take(tensors)

    def fit(self, data: Sequence[Trajectory], **options: Any) -> Mapping[str, float]:
        """Fit modes and weights to runs with the step `dt`.

        Args:
            data: The runs, parameters included.
            options: See `PodRidgeFit`.

        Returns:
            `rms_relative_error` on the training pairs, `modes_in`, `modes_out`, `features`, `pairs`.
        """
        fit = PodRidgeFit.model_validate(options)
        before, after, read = self._pairs(data, fit.skip)
        mean = np.mean(np.concatenate([before, after[-1:]]), axis=0)
        modes_in, _ = pod(before - mean, fit.modes_in)
        weight = np.ones(len(mean))
        if fit.stiffness > 0.0:
            if not isinstance(self.transform, Cosine):
                raise BadInputError("the option `stiffness` needs the cosine transform: it weighs by wave number")
            weight += fit.stiffness * np.pi**2 * self.transform.wave_numbers_squared()
        weighted_modes, _ = pod((after - mean) * weight, fit.modes_out)
        targets = ((after - mean) * weight) @ weighted_modes.T
        coefficients = (before - mean) @ modes_in.T
        # Parameters by their range; all coefficients by one scale, so that small modes stay small features.
        low, high = read.min(axis=0), read.max(axis=0)
        scale = max(float(np.std(coefficients[:, 0])), 1e-300)
        centre = np.concatenate([0.5 * (low + high), np.zeros(len(modes_in))])
        spread = np.concatenate([np.where(high > low, 0.5 * (high - low), 1.0), np.full(len(modes_in), scale)])
        x = (np.concatenate([read, coefficients], axis=1) - centre) / spread
        self.leading = tuple(min(count, x.shape[1]) for count in fit.leading)
        features = Polynomials(x.shape[1], self.leading).evaluate(x)
        size = np.sqrt(np.mean(features**2, axis=0))
        size[size == 0.0] = 1.0
        features /= size
        normal = features.T @ features / len(features) + fit.ridge * np.eye(features.shape[1])
        weights = np.linalg.solve(normal, features.T @ targets / len(features))
        misfit = float(np.linalg.norm((features @ weights - targets) @ (weighted_modes / weight)))
        tensors = {
            "mean": mean,
            "modes_in": modes_in,
            "modes_out": weighted_modes / weight,
            "centre": centre,
            "spread": spread,
            "weights": weights / size[:, None],
        }
        self._take({name: tensor.astype(np.float32) for name, tensor in tensors.items()})
        return {
            "rms_relative_error": misfit / float(np.linalg.norm(after)),
            "modes_in": float(len(modes_in)),
            "modes_out": float(len(weighted_modes)),
            "features": float(features.shape[1]),
            "pairs": float(len(x)),
        }

    def _predict(self, query: Query) -> Prediction:
        n = query.state.shape[0]
        x = self._input(query)
        features = self._polynomials.evaluate(x)
        value = self.transform.backward(self._mean + (features @ self._weights) @ self._modes_out, n)
        share = self._share(query)
        if share != 1.0:
            value = query.state + share * (value - query.state)
        return Prediction(value.astype(query.state.dtype, copy=False), notes={"trained_step": share == 1.0})

    def jvp(self, query: Query, tangent: Array) -> Array:
        """Return the derivative by the state times `tangent`, shape `(n_owned,)`."""
        inner = np.zeros(len(self._centre))
        inner[self.inputs.count :] = self._modes_in @ self.transform.forward(tangent)
        x = self._input(query)
        features = self._polynomials.jvp(x, inner / self._spread)
        value = self.transform.backward((features @ self._weights) @ self._modes_out, len(tangent))
        share = self._share(query)
        return value if share == 1.0 else tangent + share * (value - tangent)

    def vjp(self, query: Query, cotangent: Array) -> Array:
        """Return the transposed derivative by the state times `cotangent`, shape `(n_owned,)`."""
        x = self._input(query)
        features = self._weights @ (self._modes_out @ self.transform.backward_transposed(cotangent))
        inner = self._polynomials.vjp(x, features) / self._spread
        value = self.transform.forward_transposed(inner[self.inputs.count :] @ self._modes_in, len(cotangent))
        share = self._share(query)
        return value if share == 1.0 else cotangent + share * (value - cotangent)

    def tensors(self) -> Mapping[str, Array]:
        """Return mean, modes, normaliser and weights, in float32."""
        if not self._tensors:
            raise BadInputError("pod_ridge is not trained yet: call `fit` first")
        return self._tensors

    def settings(self) -> Mapping[str, Any]:
        """Return inputs, transform, step and degrees."""
        return {
            "parameters": list(self.inputs.parameters),
            "schedules": [list(item) for item in self.inputs.schedules],
            "interval": self.inputs.interval,
            "transform": self.transform.settings(),
            "dt": self.dt,
            "leading": list(self.leading),
        }

    @classmethod
    def from_file(cls, tensors: Mapping[str, Array], settings: Mapping[str, Any]) -> PodRidge:
        """Build it again; names the tensor that is missing or has another shape."""
        inputs = Inputs(
            tuple(str(name) for name in settings["parameters"]),
            tuple((str(name), int(columns)) for name, columns in settings["schedules"]),
            float(settings["interval"]),
        )
        transform = transform_from(settings["transform"])
        return cls(inputs, transform, settings["dt"], tuple(int(n) for n in settings["leading"]), tensors)

    def _take(self, tensors: Mapping[str, Array]) -> None:
        for name in ("mean", "modes_in", "modes_out", "centre", "spread", "weights"):
            if name not in tensors:
                raise BadInputError(f"tensor {name!r} of pod_ridge is missing")
        width, n_in, n_out = tensors["mean"].size, len(tensors["modes_in"]), len(tensors["modes_out"])
        self._polynomials = Polynomials(self.inputs.count + n_in, self.leading)
        expected = {
            "mean": (width,),
            "modes_in": (n_in, width),
            "modes_out": (n_out, width),
            "centre": (self.inputs.count + n_in,),
            "spread": (self.inputs.count + n_in,),
            "weights": (self._polynomials.n_features, n_out),
        }
        for name, shape in expected.items():
            if tensors[name].shape != shape:
                raise BadInputError(f"tensor {name!r} of pod_ridge has shape {tensors[name].shape}, expected {shape}")
        self._tensors = {name: np.asarray(tensors[name]) for name in expected}
        # Stored in float32, used in float64: the sum over hundreds of features must not lose digits.
        used = {name: tensor.astype(np.float64) for name, tensor in self._tensors.items()}
        self._mean, self._modes_in, self._modes_out = used["mean"], used["modes_in"], used["modes_out"]
        self._centre, self._spread, self._weights = used["centre"], used["spread"], used["weights"]
        self._mean_in = self._modes_in @ self._mean

    def _input(self, query: Query) -> Array:
        if not self._tensors:
            raise BadInputError("pod_ridge is not trained yet: call `fit` or load a model file")
        read = self.inputs.read(query.parameters, query.t + 0.5 * query.dt)
        values = self.transform.forward(query.state)
        if values.shape != self._mean.shape:
            raise ModelMismatchError(
                f"the modes have {self._mean.size} values, the state has {values.size}: train anew"
            )
        coefficients = self._modes_in @ values - self._mean_in
        scaled: Array = (np.concatenate([read, coefficients]) - self._centre) / self._spread
        return scaled

    def _share(self, query: Query) -> float:
        share = query.dt / self.dt
        return 1.0 if abs(share - 1.0) < 1e-9 else share

    def _pairs(self, data: Sequence[Trajectory], skip: int) -> tuple[Array, Array, Array]:
        """Return coefficients before and after each step, and what is read in it."""
        before: list[Array] = []
        after: list[Array] = []
        read: list[Array] = []
        for run in data:
            steps = np.diff(run.times)
            if not np.allclose(steps, self.dt, rtol=1e-6):
                raise BadInputError(f"a run has steps from {steps.min():g} to {steps.max():g}, expected {self.dt:g}")
            coefficients = self.transform.forward(run.states)
            before.append(coefficients[skip:-1])
            after.append(coefficients[skip + 1 :])
            read.extend(self.inputs.read(run.parameters, t + 0.5 * self.dt) for t in run.times[skip:-1])
        if not read:
            raise BadInputError("pod_ridge has no pairs of states to learn from: give runs, or skip fewer steps")
        return np.concatenate(before), np.concatenate(after), np.array(read).reshape(len(read), -1)
