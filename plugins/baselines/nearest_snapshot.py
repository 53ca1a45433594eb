"""The stored state with the nearest parameters and time: the table look-up that a network has to beat."""

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


class NearestSnapshot(StoredSurrogate):
    """Proposes the stored state whose time and parameters are nearest, each scaled by its spread in the data.

    The states are those of one rank: on several ranks give each the columns it owns.

    Args:
        keys: Time and parameters of the stored states, shape `(n_stored, 1 + n_parameters)`.
        states: The stored states, shape `(n_stored, n_owned)`.
        parameters: Names of the parameters, in the order of the columns of `keys`.
        sizes: Number of entries of each parameter; by default all are scalars.
    """

    name: ClassVar[str] = "nearest_snapshot"
    is_baseline: ClassVar[bool] = True

    def __init__(
        self,
        keys: Array | None = None,
        states: Array | None = None,
        parameters: Sequence[str] = (),
        sizes: Sequence[int] | None = None,
    ) -> None:
        self.parameters = tuple(parameters)
        self.sizes = (1,) * len(self.parameters) if sizes is None else tuple(sizes)
        width = 1 + sum(self.sizes)
        self._keys = np.zeros((0, width)) if keys is None else keys
        self._states = np.zeros((0, 0)) if states is None else states
        if self._keys.shape != (len(self._states), width):
            raise BadInputError(
                f"tensor 'keys' of {self.name!r} has shape {self._keys.shape}, expected {(len(self._states), width)}"
            )
        spread = np.ptp(self._keys, axis=0) if len(self._keys) else np.ones(1 + len(self.parameters))
        self._scale = np.where(spread > 0.0, spread, 1.0)

    def fit(self, data: Sequence[Trajectory], **options: Any) -> Mapping[str, float]:
        """Store the states of `data`; parameters that all runs have, with as many entries, become the key.

        Args:
            data: The runs.
            options: `every`: keep each `every`-th state only (default 1).

        Returns:
            `stored`: the number of states.
        """
        every = int(options.get("every", 1))
        names = shared_parameters(data)
        sizes = [int(np.size(data[0].parameters[name])) for name in names]
        keys = [np.append(float(t), flat(run.parameters, names)) for run in data for t in run.times[::every]]
        states = [state for run in data for state in run.states[::every]]
        self.__init__(np.array(keys), np.array(states), names, sizes)  # type: ignore[misc]  # refilling is building anew
        return {"stored": float(len(states))}

    def _predict(self, query: Query) -> Prediction:
        if not len(self._states):
            raise BadInputError("nearest_snapshot has no stored states: call `fit` or load a model file")
        if query.state.size != self._states.shape[1]:
            raise ModelMismatchError(
                f"the stored states have {self._states.shape[1]} values, the state has {query.state.size}: store others"
            )
        # A solve in a sequence has a place in it, not a time.
        time = float(self._keys[0, 0]) if query.transaction == "solve" else query.t_end
        wanted = np.append(time, flat(query.parameters, self.parameters))
        distances = np.linalg.norm((self._keys - wanted) / self._scale, axis=1)
        best = int(np.argmin(distances))
        value = self._states[best].astype(query.state.dtype, copy=True)
        return Prediction(value, notes={"distance": float(distances[best]), "snapshot": best})

    def jvp(self, query: Query, tangent: Array) -> Array:
        """Return zero: the proposal does not depend on the state."""
        return np.zeros_like(tangent)

    def vjp(self, query: Query, cotangent: Array) -> Array:
        """Return zero: the proposal does not depend on the state."""
        return np.zeros_like(cotangent)

    def tensors(self) -> Mapping[str, Array]:
        """Return keys and states."""
        return {"keys": self._keys, "states": self._states}

    def settings(self) -> Mapping[str, Any]:
        """Return the names of the parameters."""
        return {"parameters": list(self.parameters), "sizes": list(self.sizes)}

    @classmethod
    def from_file(cls, tensors: Mapping[str, Array], settings: Mapping[str, Any]) -> NearestSnapshot:
        """Build it again from keys, states and names."""
        for name in ("keys", "states"):
            if name not in tensors or tensors[name].ndim != 2:
                raise BadInputError(f"tensor {name!r} of {cls.name!r} is missing or is not of two dimensions")
        names = tuple(str(name) for name in settings.get("parameters", ()))
        sizes = tuple(int(size) for size in settings.get("sizes", (1,) * len(names)))
        return cls(tensors["keys"], tensors["states"], names, sizes)


def shared_parameters(runs: Sequence[Trajectory]) -> tuple[str, ...]:
    """Return the names of the parameters that all runs have with the same number of entries, sorted."""
    if not runs:
        return ()
    shared = set.intersection(*(set(run.parameters) for run in runs))
    return tuple(sorted(name for name in shared if len({np.size(run.parameters[name]) for run in runs}) == 1))


def flat(parameters: Mapping[str, Any], names: Sequence[str]) -> Array:
    """Return the entries of the named parameters, one after the other."""
    parts = [np.asarray(parameters[name], dtype=np.float64).reshape(-1) for name in names]
    joined: Array = np.concatenate(parts) if parts else np.zeros(0)
    return joined
