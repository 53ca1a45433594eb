"""A network on a regular grid as a surrogate: each rank puts its values into the whole field and reads its own back."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
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
from cosolve.plugins.pytorch.basis import distinct
from cosolve.plugins.pytorch.bridge import DTYPES, to_numpy, to_torch
from cosolve.plugins.pytorch.features import FeatureMap
from cosolve.plugins.pytorch.layers import Normaliser
from cosolve.plugins.pytorch.operators.grid_operator import GridOperator
from cosolve.plugins.pytorch.placement import SharedInference, default_device, limit_threads
from cosolve.plugins.pytorch.stored import above, check_sizes, check_tensors, load_exactly
from torch import Tensor, nn


class GridModel(nn.Module):
    """Normalisers round a grid operator: the state is channel 0, each feature a constant channel.

    Args:
        operator: Takes `1 + n_features` channels, answers one.
        n_features: Number of features of a query.
    """

    def __init__(self, operator: GridOperator, n_features: int, dtype: torch.dtype) -> None:
        super().__init__()
        self.operator = operator
        self.inputs = Normaliser(1 + n_features, axis=1, dtype=dtype)
        self.outputs = Normaliser(1, axis=1, dtype=dtype)

    def forward(self, state: Tensor, features: Tensor) -> Tensor:
        """Return the answer, shape `(batch, *spatial)`, from states `(batch, *spatial)` and features `(batch, k)`."""
        constant = features.reshape(*features.shape, *[1] * (state.ndim - 1)).expand(-1, -1, *state.shape[1:])
        channels = self.inputs(torch.cat([state[:, None], constant], dim=1))
        answer: Tensor = self.outputs.inverse(self.operator(channels))[:, 0]
        return answer


class GridSurrogate(SharedInference, StoredSurrogate):
    """Proposes `state + G(state, features)` (or `G` alone) with a network on a tensor grid.

    Each system derives its own surrogate, which names the network; see `cosolve.plugins.pytorch.operators`.

    The problem's values must live on the nodes of a regular grid, of any resolution. Under MPI the ranks add their
    values into the whole field in one sum, and each computes the whole answer: right for fields that fit on a rank.

    Args:
        model: The network with its normalisers.
        features: What it sees beside the state.
        low: Lowest coordinates of the training grid, shape `(d,)`.
        high: Highest coordinates.
        residual: Whether the network answers the change of the state.
        device: `cpu`, `cuda` (this rank's own device on its node) or `auto`.

    Attributes:
        operator_type: The network that `from_file` and `build` make.
    """

    operator_type: ClassVar[type[GridOperator]]
    collective = True

    def __init__(
        self,
        model: GridModel,
        features: FeatureMap,
        low: Array,
        high: Array,
        *,
        residual: bool = True,
        device: str = "cpu",
    ) -> None:
        limit_threads()
        SharedInference.__init__(self, device)
        self.model, self.features, self.residual = model.to(self.device).eval(), features, residual
        self.low, self.high = np.asarray(low, dtype=np.float64), np.asarray(high, dtype=np.float64)
        self.dtype = model.inputs.shift.dtype
        self._comm: Communicator = SerialCommunicator()
        self._shape: tuple[int, ...] = ()
        self._mine: npt.NDArray[np.intp] | None = None

    def bind(self, solver: Solver) -> None:
        """Find the grid and the nodes that this rank owns (collective).

        Raises:
            ModelMismatchError: The values do not live on a regular grid over the domain of training.
        """
        try:
            coordinates = solver.coordinates()
        except NotImplementedError as error:
            raise ModelMismatchError(f"{error}, and an {self.name} model needs to know that") from error
        self.place(coordinates, solver.comm)

    def place(self, coordinates: Array, comm: Communicator | None = None) -> None:
        """Find the grid of `coordinates`, shape `(n_owned, d)` on each rank (collective over `comm`)."""
        self._comm = comm or SerialCommunicator()
        self.lead(self._comm, self.model)
        coordinates = np.asarray(coordinates, dtype=np.float64)
        everyone = np.concatenate(self._comm.allgather(coordinates.reshape(-1, len(self.low))))
        axes = [distinct(everyone[:, k]) for k in range(everyone.shape[1])]
        self._check(axes, len(everyone))
        index = [
            np.clip(np.rint((coordinates[:, k] - axis[0]) / (axis[1] - axis[0])), 0, len(axis) - 1).astype(np.intp)
            for k, axis in enumerate(axes)
        ]
        self._shape = tuple(len(axis) for axis in axes)
        self._mine = np.ravel_multi_index(index, self._shape)

    def _check(self, axes: Sequence[npt.NDArray[np.float64]], count: int) -> None:
        if math.prod(len(axis) for axis in axes) != count or min(len(axis) for axis in axes) < 2:
            raise ModelMismatchError(
                f"the {self.name} model needs a regular grid, the problem's {count} values live on "
                f"{' x '.join(str(len(axis)) for axis in axes)} distinct coordinates"
            )
        extent = self.high - self.low
        for number, axis in enumerate(axes):
            steps = np.diff(axis)
            if np.ptp(steps) > 1e-6 * steps.mean():
                raise ModelMismatchError(
                    f"the {self.name} model needs an even grid, coordinate {number} is not evenly spaced"
                )
            # A periodic grid ends one step before its period: half a coarse step of difference is the same domain.
            if (
                abs(axis[0] - self.low[number]) > 1e-6 * extent[number]
                or abs(axis[-1] - self.high[number]) > 0.2 * extent[number]
            ):
                raise ModelMismatchError(
                    f"the {self.name} model was trained on [{self.low[number]:.6g}, {self.high[number]:.6g}] in "
                    f"coordinate {number}, the problem has [{axis[0]:.6g}, {axis[-1]:.6g}]"
                )

    def _predict(self, query: Query) -> Prediction:
        count = CopyCount()
        field = self._whole(query.state)
        change = self.inferred(lambda: self._answer(field, query, count))[self._mine]
        return Prediction(query.state + change if self.residual else change, notes=count.notes())

    def _answer(self, field: npt.NDArray[np.float64], query: Query, count: CopyCount) -> Array:
        """Return the network's answer at all points of the grid, the same on every rank."""
        with torch.inference_mode():
            return to_numpy(self.model(*self._inputs(field, query, count)), query.state.dtype, count).reshape(-1)

    def _whole(self, local: Array) -> npt.NDArray[np.float64]:
        if self._mine is None:
            raise PluginError(f"surrogate {self.name!r} was asked before `bind(solver)` or `place(coordinates, comm)`")
        field = np.zeros(math.prod(self._shape))
        field[self._mine] = local
        if self._comm.Get_size() > 1:
            total = np.empty_like(field)
            self._comm.Allreduce(field, total)
            field = total
        return field.reshape(self._shape)

    def _inputs(self, field: npt.NDArray[np.float64], query: Query, count: CopyCount) -> tuple[Tensor, Tensor]:
        state = to_torch(field, self.dtype, self.device, count)[None]
        features = torch.as_tensor(self.features(query.parameters, query.t_end, query.dt, (), ()), dtype=self.dtype)
        return state, features[None].to(self.device)

    def jvp(self, query: Query, tangent: Array) -> Array:
        """Return the derivative of the proposal by the state times `tangent` (collective)."""
        count = CopyCount()
        state, features = self._inputs(self._whole(query.state), query, count)
        direction = to_torch(self._whole(tangent), self.dtype, self.device, count)[None]
        moved: Tensor = torch.func.jvp(lambda field: self.model(field, features), (state,), (direction,))[1]
        result = to_numpy(moved, query.state.dtype, count).reshape(-1)[self._mine]
        return result + tangent if self.residual else result

    def vjp(self, query: Query, cotangent: Array) -> Array:
        """Return the transposed derivative of the proposal by the state times `cotangent` (collective)."""
        count = CopyCount()
        state, features = self._inputs(self._whole(query.state), query, count)
        direction = to_torch(self._whole(cotangent), self.dtype, self.device, count)[None]
        pull = torch.func.vjp(lambda field: self.model(field, features), state)[1]
        result = to_numpy(pull(direction)[0], query.state.dtype, count).reshape(-1)[self._mine]
        return result + cotangent if self.residual else result

    def tensors(self) -> Mapping[str, Array]:
        """Return the weights and the domain."""
        return {"low": self.low, "high": self.high, **above("model.", self.model)}

    def settings(self) -> Mapping[str, Any]:
        """Return what builds the surrogate again beside the arrays."""
        return {
            "features": self.features.settings(),
            "operator": dict(self.model.operator.settings()),
            "dtype": str(self.dtype).removeprefix("torch."),
            "residual": self.residual,
        }

    @classmethod
    def build(
        cls,
        features: FeatureMap,
        low: Array,
        high: Array,
        *,
        dtype: torch.dtype = torch.float32,
        residual: bool = True,
        device: str = "cpu",
        **settings: Any,
    ) -> Self:
        """Return an untrained surrogate; `settings` are those of the network."""
        operator = cls.operator_type(1 + features.size, 1, **settings, dtype=dtype)
        return cls(GridModel(operator, features.size, dtype), features, low, high, residual=residual, device=device)

    @classmethod
    def from_file(cls, tensors: Mapping[str, Array], settings: Mapping[str, Any]) -> Self:
        """Build the surrogate again from what `tensors` and `settings` returned.

        Raises:
            BadInputError: A tensor is missing or has another shape; names it.
        """
        features = FeatureMap.from_settings(settings["features"])
        if settings["dtype"] not in DTYPES:
            raise BadInputError(f"unknown precision {settings['dtype']!r}. Known: float32, float64.")
        options, dtype = settings["operator"], DTYPES[settings["dtype"]]
        check_sizes(tensors, [1 + features.size, *_counts(options)])
        # On the meta device a network has shapes and no memory: settings that lie cannot fill it.
        with torch.device("meta"):
            shapes = GridModel(cls.operator_type(1 + features.size, 1, **options, dtype=dtype), features.size, dtype)
        check_tensors(shapes, tensors, "model.")
        surrogate = cls.build(
            features,
            tensors["low"],
            tensors["high"],
            dtype=dtype,
            residual=bool(settings["residual"]),
            device=default_device(),
            **options,
        )
        load_exactly(surrogate.model, tensors, "model.")
        return surrogate


def _counts(value: Any) -> list[int]:
    """Return all positive whole numbers in JSON-like settings."""
    if isinstance(value, Mapping):
        return [count for item in value.values() for count in _counts(item)]
    if isinstance(value, list | tuple):
        return [count for item in value for count in _counts(item)]
    return [value] if isinstance(value, int) and not isinstance(value, bool) and value > 0 else []
