"""The slow surrogate: POD bases times a small network, for the slow log-rate and for the periodic temperature.

Over many periods the curing is slow. With tau the time since the last change of load, the surrogate answers

* `rate`: g = log(phi(tau + 1/2) - phi(tau - 1/2)), the log-rate of the slow variable at the middle of a period, and
* `lift`: theta at the start of a period,

each as mean + modes . network(features). Features: the load, the load before, their decaying difference, and POD
coefficients of alpha. The modes live on a regular grid and are interpolated to whatever nodes a rank owns, so that one
model serves any mesh and any partition: local rows of the basis times a replicated network. Inference is plain numpy.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
import numpy.typing as npt
from cosolve.core.errors import BadInputError
from cosolve.core.solver import Solver
from cosolve.couplings.cycle_surrogate import SlowSurrogate
from cosolve.couplings.cyclic import CyclicBlock
from cosolve.examples.curing.process import RANGES, FloatArray, Load

DECAYS = (0.2, 0.35, 0.8)
"""Decay rates of the temperature's memory of the last load: h, the slowest diffusing mode, and a local one."""

LOAD_NAMES = ("power", "radius", "centre_x")
"""Names of the parts of a load, as in `Load`."""

N_LOAD_FEATURES = 3 + 3 + len(DECAYS) + 3 * len(DECAYS)


def load_features(load: Load, before: Load | None, tau: float) -> FloatArray:
    """Return what the network sees of loads and time, shape `(N_LOAD_FEATURES,)`.

    Args:
        load: The load of the block.
        before: The load of the block before; None when the block starts cold.
        tau: Time since the load changed, in periods.
    """
    new = load.as_array()
    old = np.array([0.0, load.radius, load.centre_x]) if before is None else before.as_array()
    decays = np.exp(-np.array(DECAYS) * tau)
    return np.concatenate([new, decays[0] * old, decays, np.outer(decays, old - new).ravel()])


@dataclass(slots=True)
class Network:
    """A linear map plus a perceptron with two hidden layers of tanh units, of normalised inputs.

    Attributes:
        tensors: `mean, scale` of the inputs, shape `(n_in,)`; `linear (n_out, n_in)`, and `w0, b0, w1, b1, w2, b2`.
    """

    tensors: dict[str, FloatArray]

    def __call__(self, inputs: FloatArray) -> FloatArray:
        """Return the outputs for one input vector of shape `(n_in,)`; shape `(n_out,)`."""
        t = self.tensors
        x = (inputs - t["mean"]) / t["scale"]
        hidden = np.tanh(t["w1"] @ np.tanh(t["w0"] @ x + t["b0"]) + t["b1"])
        outputs: FloatArray = t["linear"] @ x + t["w2"] @ hidden + t["b2"]
        return outputs


def at_points(grid: npt.NDArray[np.floating[Any]], points: FloatArray) -> FloatArray:
    """Interpolate fields on the regular grid of the unit square bilinearly to `points`.

    Args:
        grid: Shape `(k, m, m)`, index `[field, y, x]`.
        points: Shape `(n, 2)`.

    Returns:
        Shape `(n, k)`, float64 and contiguous: sums over the modes do not depend on how nodes are split over ranks.
    """
    m = grid.shape[-1] - 1
    scaled = np.clip(points, 0.0, 1.0) * m
    low = np.minimum(scaled.astype(np.int64), m - 1)
    fx, fy = (scaled - low).T
    ix, iy = low.T
    values = (
        (1 - fx) * (1 - fy) * grid[:, iy, ix]
        + fx * (1 - fy) * grid[:, iy, ix + 1]
        + (1 - fx) * fy * grid[:, iy + 1, ix]
        + fx * fy * grid[:, iy + 1, ix + 1]
    )
    return np.ascontiguousarray(values.T, dtype=np.float64)


class BoundSurrogate:
    """The surrogate on the nodes of one rank.

    `moments` returns this rank's part of the POD coefficients of alpha, which the caller sums over the ranks:
    surrogates never communicate.
    """

    def __init__(self, model: CuringSurrogate, points: FloatArray, weights: FloatArray) -> None:
        """Interpolate the bases to `points` (shape `(n, 2)`); `weights` are the nodes' shares of the area."""
        t = model.arrays
        self._rate_network, self._lift_network = model.networks
        self._rate_modes = at_points(t["rate_modes"], points)
        self._rate_mean = at_points(t["rate_mean"][None], points)[:, 0]
        self._lift_modes = at_points(t["lift_modes"], points)
        self._lift_mean = at_points(t["lift_mean"][None], points)[:, 0]
        # Columns of modes times weights, and the mean's own moments, so that one product gives the coefficients.
        self._moments = np.ascontiguousarray((at_points(t["alpha_modes"], points) * weights[:, None]).T)
        self._alpha_mean = at_points(t["alpha_mean"][None], points)[:, 0]

    def moments(self, alpha: FloatArray) -> FloatArray:
        """Return this rank's part of the POD coefficients of `alpha` (shape `(n,)`); shape `(n_alpha,)`."""
        part: FloatArray = np.dot(self._moments, alpha - self._alpha_mean)
        return part

    def rate(self, load: Load, before: Load | None, tau: float, coefficients: FloatArray) -> FloatArray:
        """Return the log-rate in mid period at `tau`, shape `(n,)`; `coefficients` of alpha summed over the ranks."""
        out = self._rate_network(np.concatenate([load_features(load, before, tau), coefficients]))
        return self._rate_mean + self._rate_modes @ out

    def lift(self, load: Load, before: Load | None, tau: float, coefficients: FloatArray) -> FloatArray:
        """Return theta at the start of the period at `tau`, shape `(n,)`; arguments as in `rate`."""
        out = self._lift_network(np.concatenate([load_features(load, before, tau), coefficients]))
        return self._lift_mean + self._lift_modes @ out


class CuringSurrogate(SlowSurrogate):
    """The trained model: bases on a regular grid and the networks of their coefficients.

    Attributes:
        arrays: Tensors by name: `rate_mean, lift_mean, alpha_mean (m, m)`, `rate_modes, lift_modes, alpha_modes
            (k, m, m)`, and those of the networks, prefixed by `rate.` and `lift.`.
        networks: The networks for rate and lift.
        ranges: Ranges of the loads in training.
    """

    name: ClassVar[str] = "curing_slow"
    required: ClassVar[tuple[str, ...]] = (
        "rate_mean", "lift_mean", "alpha_mean", "rate_modes", "lift_modes", "alpha_modes",
    )  # fmt: skip
    network_parts: ClassVar[tuple[str, ...]] = ("mean", "scale", "linear", "w0", "b0", "w1", "b1", "w2", "b2")

    def __init__(
        self, arrays: Mapping[str, npt.NDArray[np.floating[Any]]], ranges: Mapping[str, Sequence[float]] | None = None
    ) -> None:
        """Take the tensors and the ranges of the loads in training.

        Raises:
            BadInputError: A tensor is missing or has a wrong number of dimensions; names it.
        """
        for name in self.required:
            if name not in arrays or arrays[name].ndim != (2 if name.endswith("mean") else 3):
                raise BadInputError(f"the model lacks a proper tensor {name!r}; train it again with `cosolve train`")
        self.arrays = dict(arrays)
        self.networks = tuple(self._network(prefix) for prefix in ("rate", "lift"))
        default = {name: getattr(RANGES, name) for name in LOAD_NAMES}
        self.ranges = {name: (float(low), float(high)) for name, (low, high) in (ranges or default).items()}
        self._bound: BoundSurrogate | None = None
        self._bound_cyclic: Any = None

    def _network(self, prefix: str) -> Network:
        tensors = {}
        for part in self.network_parts:
            name = f"{prefix}.{part}"
            if name not in self.arrays:
                raise BadInputError(f"the model lacks the tensor {name!r}; train it again with `cosolve train`")
            tensors[part] = np.asarray(self.arrays[name], dtype=np.float64)
        return Network(tensors)

    def tensors(self) -> Mapping[str, npt.NDArray[np.floating[Any]]]:
        """Return all arrays, in single precision."""
        return {name: np.ascontiguousarray(array, dtype=np.float32) for name, array in self.arrays.items()}

    def settings(self) -> Mapping[str, Any]:
        """Return the ranges of the loads."""
        return {"ranges": {name: list(limits) for name, limits in self.ranges.items()}}

    @classmethod
    def from_file(
        cls, tensors: Mapping[str, npt.NDArray[np.floating[Any]]], settings: Mapping[str, Any]
    ) -> CuringSurrogate:
        """Build the surrogate from a model file."""
        return cls(tensors, settings.get("ranges"))

    def bind(self, solver: Solver) -> None:
        """Interpolate the bases to the nodes of this rank (collective)."""
        super().bind(solver)
        assert self._solver is not None
        cyclic: Any = self._solver.cyclic
        if cyclic is not self._bound_cyclic:
            self.bind_to(cyclic.points, cyclic.node_areas)
            self._bound_cyclic = cyclic

    def bind_to(self, points: FloatArray, areas: FloatArray) -> None:
        """Interpolate the bases to nodes at `points` (shape `(n, 2)`); `areas` are their shares of the area."""
        self._bound = BoundSurrogate(self, points, areas)

    @property
    def bound(self) -> BoundSurrogate:
        """The surrogate on this rank's nodes."""
        if self._bound is None:
            raise BadInputError(f"surrogate {self.name!r} was not bound to a solver; call `bind(solver)`")
        return self._bound

    def moments(self, slow: FloatArray) -> FloatArray:
        """Return this rank's part of the POD coefficients of alpha."""
        return self.bound.moments(-np.expm1(-slow))

    def rate(self, block: CyclicBlock, tau: float, coefficients: FloatArray) -> FloatArray:
        """Return the log-rate of phi in the period around `tau`."""
        return self.bound.rate(block.load, block.before, tau, coefficients)

    def lift(self, block: CyclicBlock, tau: float, coefficients: FloatArray) -> FloatArray:
        """Return theta at `tau`."""
        return self.bound.lift(block.load, block.before, tau, coefficients)

    def refusal(self, block: CyclicBlock) -> str:
        """Say which part of the load, or of the load before, lies outside the ranges of training."""
        for which, load in (("load", block.load), ("load before", block.before)):
            if load is None:
                continue
            for name, (low, high) in self.ranges.items():
                value = float(getattr(load, name))
                # NaN is outside, too.
                if not low <= value <= high:
                    return f"the {which} has {name} = {value:.4g}, trained on [{low:.4g}, {high:.4g}]"
        return ""
