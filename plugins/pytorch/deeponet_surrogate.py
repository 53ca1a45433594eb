"""A DeepONet as a surrogate: the state at sensors and the query's features in, the answer at this rank's points out."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, ClassVar, Self

import numpy as np
import numpy.typing as npt
import torch
from cosolve.core.arrays import Array
from cosolve.core.communicator import Communicator, SerialCommunicator
from cosolve.core.copies import CopyCount
from cosolve.core.errors import BadInputError, ModelMismatchError, PluginError
from cosolve.core.prediction import Prediction
from cosolve.core.query import Query
from cosolve.core.solver import Solver
from cosolve.core.surrogate import StoredSurrogate
from cosolve.plugins.pytorch.bridge import DTYPES, to_numpy, to_torch
from cosolve.plugins.pytorch.deeponet import DeepONet, PointNetwork
from cosolve.plugins.pytorch.features import FeatureMap
from cosolve.plugins.pytorch.placement import SharedInference, default_device, limit_threads
from cosolve.plugins.pytorch.stored import above, check_sizes, load_exactly
from torch import Tensor


class DeepONetSurrogate(SharedInference, StoredSurrogate):
    """Proposes `state + G(state at sensors, features)(y)` (or `G` alone) at the points y that this rank owns.

    A sensor reads the nearest value of the whole mesh: exact where the sensors are nodes, of first order else, and
    refused where no value lies within `reach`. The trunk is evaluated once, when the surrogate is bound; in each step
    the ranks add up the sensors' values, one short vector.

    Args:
        model: The network; it takes `len(sensors) + features.size` values.
        sensors: Where the state is read, shape `(m, d)`.
        features: What the network sees beside the state.
        residual: Whether the network answers the change of the state.
        reach: Largest distance from a sensor to the value it reads.
        device: `cpu`, `cuda` (this rank's own device on its node) or `auto`.
    """

    name: ClassVar[str] = "deeponet"
    collective = True
    model_type: ClassVar[Callable[..., PointNetwork]] = DeepONet

    def __init__(
        self,
        model: PointNetwork,
        sensors: Array,
        features: FeatureMap,
        *,
        residual: bool = True,
        reach: float = 1e-6,
        device: str = "cpu",
    ) -> None:
        self.sensors = np.asarray(sensors, dtype=np.float64)
        if model.sizes["sensors"] != len(self.sensors) + features.size:
            raise BadInputError(
                f"the {self.name} takes {model.sizes['sensors']} values, {len(self.sensors)} sensors and "
                f"{features.size} features are given"
            )
        limit_threads()
        SharedInference.__init__(self, device)
        self.model, self.features = model.to(self.device).eval(), features
        self.residual, self.reach = residual, reach
        self.dtype = model.bias.dtype
        self._comm: Communicator = SerialCommunicator()
        self._mine: npt.NDArray[np.intp] = np.zeros(0, dtype=np.intp)
        self._read: npt.NDArray[np.intp] = np.zeros(0, dtype=np.intp)
        self._trunk: Tensor | None = None

    def bind(self, solver: Solver) -> None:
        """Find the sensors among the values of all ranks, and evaluate the trunk at this rank's points (collective).

        Raises:
            ModelMismatchError: No value lies within reach of a sensor, or the solver does not say where values live.
        """
        try:
            coordinates = solver.coordinates()
        except NotImplementedError as error:
            raise ModelMismatchError(f"{error}, and a {self.name} model needs to know that") from error
        self.place(coordinates, solver.comm)

    def place(self, coordinates: Array, comm: Communicator | None = None) -> None:
        """Do the same for `coordinates` of shape `(n_owned, d)` (collective over `comm`)."""
        self._comm = comm or SerialCommunicator()
        self.lead(self._comm, self.model)
        points = np.asarray(coordinates, dtype=np.float64).reshape(-1, self.sensors.shape[1])
        nearest = np.zeros(len(self.sensors), dtype=np.intp)
        distance = np.full(len(self.sensors), np.inf)
        if len(points):
            for index, sensor in enumerate(self.sensors):
                squares = np.sum((points - sensor) ** 2, axis=1)
                nearest[index] = int(np.argmin(squares))
                distance[index] = float(np.sqrt(squares[nearest[index]]))
        everyone = np.array(self._comm.allgather(distance))
        best = everyone.min(axis=0)
        if np.any(best > self.reach):
            worst = int(np.argmax(best))
            raise ModelMismatchError(
                f"the {self.name} model reads the state at {self.sensors[worst].tolist()}, the nearest value "
                f"is {best[worst]:.3g} away, its reach is {self.reach:.3g}. Train on this mesh, or raise `reach`."
            )
        # Of equally near values the one of the lowest rank is read, by that rank alone.
        owner = np.argmax(everyone <= best * (1.0 + 1e-12), axis=0)
        self._mine = np.flatnonzero(owner == self._comm.Get_rank())
        self._read = nearest[self._mine]
        with torch.inference_mode():
            self._trunk = self.model.trunk_at(torch.as_tensor(points, dtype=self.dtype).to(self.device)).clone()

    def _placed(self) -> Tensor:
        if self._trunk is None:
            raise PluginError(f"surrogate {self.name!r} was asked before `bind(solver)` or `place(coordinates, comm)`")
        return self._trunk

    def _sum(self, local: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
        if self._comm.Get_size() == 1:
            return local
        total = np.empty_like(local)
        self._comm.Allreduce(local, total)
        return total

    def _at_sensors(self, values: Array) -> npt.NDArray[np.float64]:
        local = np.zeros(len(self.sensors))
        local[self._mine] = values[self._read]
        return self._sum(local)

    def _seen(self, query: Query) -> npt.NDArray[np.float64]:
        """Return what the branch sees, the same on every rank (collective)."""
        features = self.features(query.parameters, query.t_end, query.dt, (), ())
        return np.concatenate([self._at_sensors(query.state), features])

    def _inputs(self, query: Query, count: CopyCount) -> Tensor:
        return to_torch(self._seen(query), self.dtype, self.device, count)[None]

    def _branch(self, seen: npt.NDArray[np.float64], count: CopyCount) -> Tensor:
        inputs = to_torch(seen, self.dtype, self.device, count)[None]
        return self.model.branch_at(inputs)

    def _predict(self, query: Query) -> Prediction:
        count = CopyCount()
        trunk = self._placed()
        seen = self._seen(query)
        with torch.inference_mode():
            branch = self.inferred(lambda: self._branch(seen, count)).to(self.device)
            answer = to_numpy(self.model.combine(branch, trunk)[0], query.state.dtype, count)
        return Prediction(query.state + answer if self.residual else answer.copy(), notes=count.notes())

    def _from_inputs(self, inputs: Tensor) -> Tensor:
        return self.model.combine(self.model.branch_at(inputs), self._placed().clone())[0]

    def jvp(self, query: Query, tangent: Array) -> Array:
        """Return the derivative of the proposal by the state times `tangent` (collective)."""
        count = CopyCount()
        inputs = self._inputs(query, count)
        along = np.concatenate([self._at_sensors(tangent), np.zeros(self.features.size)])
        direction = to_torch(along, self.dtype, self.device, count)[None]
        moved: Tensor = torch.func.jvp(self._from_inputs, (inputs,), (direction,))[1]
        result = to_numpy(moved, query.state.dtype, count)
        return result + tangent if self.residual else result

    def vjp(self, query: Query, cotangent: Array) -> Array:
        """Return the transposed derivative of the proposal by the state times `cotangent` (collective)."""
        count = CopyCount()
        inputs = self._inputs(query, count)
        pull = torch.func.vjp(self._from_inputs, inputs)[1]
        back: Tensor = pull(to_torch(cotangent, self.dtype, self.device, count))[0][0]
        # Each rank pulls back its own points only; the sensors belong to all of them.
        at_sensors = self._sum(to_numpy(back, np.dtype(np.float64), count)[: len(self.sensors)].copy())
        result = cotangent.copy() if self.residual else np.zeros_like(cotangent)
        np.add.at(result, self._read, at_sensors[self._mine].astype(result.dtype))
        return result

    def tensors(self) -> Mapping[str, Array]:
        """Return weights and sensors."""
        return {"sensors": self.sensors, **above("model.", self.model)}

    def settings(self) -> Mapping[str, Any]:
        """Return what builds the surrogate again beside the arrays."""
        return {
            "sizes": dict(self.model.sizes),
            "activation": self.model.activation,
            "features": self.features.settings(),
            "dtype": str(self.dtype).removeprefix("torch."),
            "residual": self.residual,
            "reach": self.reach,
        }

    @classmethod
    def from_file(cls, tensors: Mapping[str, Array], settings: Mapping[str, Any]) -> Self:
        """Build the surrogate again from what `tensors` and `settings` returned.

        Raises:
            BadInputError: A tensor is missing or has another shape; names it.
        """
        sizes = {str(name): int(size) for name, size in settings["sizes"].items()}
        check_sizes(tensors, list(sizes.values()))
        if settings["dtype"] not in DTYPES:
            raise BadInputError(f"unknown precision {settings['dtype']!r}. Known: float32, float64.")
        model = cls.model_type(**sizes, dtype=DTYPES[settings["dtype"]], activation=str(settings["activation"]))
        load_exactly(model, tensors, "model.")
        return cls(
            model,
            tensors["sensors"],
            FeatureMap.from_settings(settings["features"]),
            residual=bool(settings["residual"]),
            reach=float(settings["reach"]),
            device=default_device(),
        )
