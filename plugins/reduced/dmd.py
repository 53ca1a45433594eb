"""Dynamic mode decomposition: the best linear map from one state to the next, on POD modes.

P. J. Schmid, J. Fluid Mech. 656 (2010) 5, doi:10.1017/S0022112010001217; J. H. Tu et al., J. Comput. Dyn. 1 (2014) 391,
doi:10.3934/jcd.2014.1.391.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

import numpy as np
from cosolve.core.arrays import Array
from cosolve.core.errors import BadInputError, ModelMismatchError
from cosolve.core.prediction import Prediction
from cosolve.core.query import Query
from cosolve.core.surrogate import StoredSurrogate
from cosolve.core.trajectory import Trajectory
from cosolve.plugins.reduced.options import DmdFit
from cosolve.plugins.reduced.pod import pod
from cosolve.plugins.reduced.transforms import Transform, transform_from


class Dmd(StoredSurrogate):
    """Proposes mean + modes A^(dt / trained dt) modes^T (state - mean).

    Another step than the trained one takes a power of the map, by its eigenvalues.

    Args:
        transform: Where the modes live.
        dt: The step of the training runs, in the problem's unit of time.
        tensors: `mean (m,)`, `modes (r, m)`, `map (r, r)`, `shift (r,)`; None before `fit`.
    """

    name: ClassVar[str] = "dmd"

    def __init__(self, transform: Transform, dt: float, tensors: Mapping[str, Array] | None = None) -> None:
        self.transform, self.dt = transform, float(dt)
        if not self.dt > 0.0:
            raise BadInputError(f"dmd needs a positive step of its training runs, found {dt}")
        self._tensors: dict[str, Array] = {}
        if tensors is not None:
            self._take(tensors)

    def fit(self, data: Sequence[Trajectory], **options: Any) -> Mapping[str, float]:
        """Fit modes and the affine map to runs with the step `dt`.

        Args:
            data: The runs.
            options: See `DmdFit`.

        Returns:
            `rms_relative_error` on the training pairs, `modes`, `spectral_radius`.
        """
        fit = DmdFit.model_validate(options)
        before, after = [], []
        for run in data:
            steps = np.diff(run.times)
            if not np.allclose(steps, self.dt, rtol=1e-6):
                raise BadInputError(f"a run has steps from {steps.min():g} to {steps.max():g}, expected {self.dt:g}")
            coefficients = self.transform.forward(run.states)
            before.append(coefficients[fit.skip : -1])
            after.append(coefficients[fit.skip + 1 :])
        x, y = np.concatenate(before), np.concatenate(after)
        mean = np.mean(x, axis=0)
        modes, _ = pod(x - mean, fit.modes)
        inner, outer = (x - mean) @ modes.T, (y - mean) @ modes.T
        solution = np.linalg.lstsq(np.column_stack([inner, np.ones(len(inner))]), outer, rcond=1e-12)[0]
        self._take({"mean": mean, "modes": modes, "map": solution[:-1].T, "shift": solution[-1]})
        misfit = (inner @ solution[:-1] + solution[-1] - outer) @ modes
        return {
            "rms_relative_error": float(np.linalg.norm(misfit) / np.linalg.norm(y)),
            "modes": float(len(modes)),
            "spectral_radius": float(np.max(np.abs(np.linalg.eigvals(solution[:-1])))),
        }

    def _predict(self, query: Query) -> Prediction:
        power, shift = self._power(query)
        values = self.transform.forward(query.state)
        if values.shape != self._mean.shape:
            raise ModelMismatchError(
                f"the modes have {self._mean.size} values, the state has {values.size}: train anew"
            )
        coefficients = self._modes @ (values - self._mean)
        value = self.transform.backward(self._mean + (power @ coefficients + shift) @ self._modes, len(query.state))
        return Prediction(value.astype(query.state.dtype, copy=False))

    def jvp(self, query: Query, tangent: Array) -> Array:
        """Return the map times `tangent`, shape `(n_owned,)`."""
        power, _ = self._power(query)
        inner = power @ (self._modes @ self.transform.forward(tangent))
        return self.transform.backward(inner @ self._modes, len(tangent))

    def vjp(self, query: Query, cotangent: Array) -> Array:
        """Return the transposed map times `cotangent`, shape `(n_owned,)`."""
        power, _ = self._power(query)
        inner = power.T @ (self._modes @ self.transform.backward_transposed(cotangent))
        return self.transform.forward_transposed(inner @ self._modes, len(cotangent))

    def tensors(self) -> Mapping[str, Array]:
        """Return mean, modes, map and shift."""
        if not self._tensors:
            raise BadInputError("dmd is not trained yet: call `fit` first")
        return self._tensors

    def settings(self) -> Mapping[str, Any]:
        """Return transform and step."""
        return {"transform": self.transform.settings(), "dt": self.dt}

    @classmethod
    def from_file(cls, tensors: Mapping[str, Array], settings: Mapping[str, Any]) -> Dmd:
        """Build it again; names the tensor that is missing or has another shape."""
        return cls(transform_from(settings["transform"]), settings["dt"], tensors)

    def _take(self, tensors: Mapping[str, Array]) -> None:
        for name in ("mean", "modes", "map", "shift"):
            if name not in tensors:
                raise BadInputError(f"tensor {name!r} of dmd is missing")
        width, count = tensors["mean"].size, len(tensors["modes"])
        expected = {"mean": (width,), "modes": (count, width), "map": (count, count), "shift": (count,)}
        for name, shape in expected.items():
            if tensors[name].shape != shape:
                raise BadInputError(f"tensor {name!r} of dmd has shape {tensors[name].shape}, expected {shape}")
        self._tensors = {name: np.asarray(tensors[name]) for name in expected}
        self._mean, self._modes = tensors["mean"].astype(np.float64), tensors["modes"].astype(np.float64)
        self._powers: dict[float, tuple[Array, Array]] = {}

    def _power(self, query: Query) -> tuple[Array, Array]:
        """Return the affine map of the query's step: a power of the affine map of the trained step."""
        if not self._tensors:
            raise BadInputError("dmd is not trained yet: call `fit` or load a model file")
        share = round(query.dt / self.dt, 9)
        if share not in self._powers:
            count = len(self._modes)
            # Homogeneous coordinates make the affine map linear, so that one power serves both parts.
            affine = np.zeros((count + 1, count + 1))
            affine[:count, :count], affine[:count, count], affine[count, count] = (
                self._tensors["map"],
                self._tensors["shift"],
                1.0,
            )
            if share != 1.0:
                values, vectors = np.linalg.eig(affine)
                powered = (vectors * np.power(values.astype(complex), share)) @ np.linalg.inv(vectors)
                affine = np.real(powered)
            self._powers[share] = (affine[:count, :count], affine[:count, count])
        return self._powers[share]
