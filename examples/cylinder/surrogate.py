"""The flow's surrogate: POD modes of the change of velocity, increment and pressure jointly, times a small network.

The modes are stored at the nodes of the mesh that `cosolve.examples.cylinder.mesh` builds, which need not be stored
themselves, in half precision: a proposal errs by far more. They serve any numbering and partition of that mesh.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, ClassVar

import numpy as np
import numpy.typing as npt
import torch
from cosolve.core.arrays import Array
from cosolve.core.communicator import Communicator, SerialCommunicator
from cosolve.core.domain import Domain
from cosolve.core.errors import ModelMismatchError, PluginError
from cosolve.core.prediction import Prediction
from cosolve.core.query import Query
from cosolve.core.solver import Solver
from cosolve.core.surrogate import StoredSurrogate
from cosolve.examples.cylinder.mesh import FloatArray, Resolution, triangles
from cosolve.examples.cylinder.options import acceleration, mean_speed
from cosolve.examples.cylinder.solver import ChannelSolver
from cosolve.examples.cylinder.state import Layout
from cosolve.plugins.pytorch.coefficient_network import CoefficientNetwork
from cosolve.plugins.pytorch.placement import SharedInference, limit_threads
from cosolve.plugins.pytorch.stored import above, check_sizes, compact, load_exactly

_MATCH = 1e-7
"""Nodes nearer than this, in metres, are the same node."""


def nodes_of(side: int) -> tuple[FloatArray, FloatArray]:
    """Return the nodes of the velocities and of the pressures, each of shape `(n, 2)`, in the order of a model."""
    nodes, cells = triangles(Resolution.of(side))
    return nodes, nodes[np.unique(cells[:, :3])]


def order_at(nodes: FloatArray, points: FloatArray) -> npt.NDArray[np.intp]:
    """Return for each point the number of its node.

    Raises:
        ModelMismatchError: A point is no node: the mesh is another one.
    """
    # Imported here: scipy's trees take a tenth of a second to load.
    from scipy.spatial import cKDTree

    distance, index = cKDTree(nodes).query(points)
    if len(points) and float(np.max(distance)) > _MATCH:
        raise ModelMismatchError(
            f"{int(np.count_nonzero(distance > _MATCH))} of {len(points)} points of this mesh are no nodes of the mesh "
            "that the model was trained on; take the same `side`, or train another: `cosolve train`."
        )
    return np.asarray(index, dtype=np.intp)


def drive(parameters: Mapping[str, Any], t_end: float) -> FloatArray:
    """Return what the network sees of the inflow at the end of a step, shape `(2,)`."""
    return np.array([mean_speed(parameters, t_end), acceleration(parameters, t_end)])


class CylinderSurrogate(SharedInference, StoredSurrogate):
    """Proposes the next state from the inflow and from the coefficients of the last velocity and of its last change.

    What the network sees of both are least-squares coefficients, for which the ranks add one short vector:
    `collective`. What it answers is the change that a step makes; what a step only moves back is copied.

    Args:
        side: Cells across the channel of the training mesh.
        modes: Of the change, shape `(1 + k, 2 (n_u + n_p))`, the mean first; two components, increment and pressure, in
            the order of `nodes_of(side)`, each field divided by its scale.
        scales: Scale of velocity, increment and pressure.
        network: Features to coefficients.
    """

    name = "cylinder_pod"
    collective = True
    predict_keeps_memory: ClassVar[bool] = True
    domain = Domain(dtypes=("float64",))

    def __init__(self, side: int, modes: Array, scales: Array, network: CoefficientNetwork) -> None:
        limit_threads()
        SharedInference.__init__(self)
        self.side, self.modes, self.scales = side, modes, np.asarray(scales, dtype=np.float64)
        self.network = network.eval()
        self._comm: Communicator = SerialCommunicator()
        self._layout: Layout | None = None

    # Where the answer lives
    def bind(self, solver: Solver) -> None:
        """Take the rows of the modes that this rank owns (collective).

        Raises:
            ModelMismatchError: The solver is another one, or its mesh is.
        """
        if not isinstance(solver, ChannelSolver):
            raise ModelMismatchError(f"{self.name!r} proposes states of the cylinder problem, not of {solver.name!r}")
        self.place(solver.layout, solver.space.points, solver.space.pressure_points, solver.comm)

    def place(
        self,
        layout: Layout,
        points: FloatArray,
        pressure_points: FloatArray,
        comm: Communicator | None = None,
    ) -> None:
        """Take the rows of the modes at the owned points (collective over `comm`)."""
        self._comm = comm or SerialCommunicator()
        self.lead(self._comm, self.network)
        nodes, pressure_nodes = nodes_of(self.side)
        at, pressure_at = order_at(nodes, points), order_at(pressure_nodes, pressure_points)
        n, m = len(nodes), len(pressure_nodes)
        columns = np.concatenate([at, n + at, 2 * n + pressure_at, 2 * n + m + pressure_at])
        rows = np.ascontiguousarray(self.modes[:, columns], dtype=np.float64)
        ends = np.cumsum([2 * layout.n_u, layout.n_p, layout.n_p])
        for first, last, scale in zip([0, *ends], ends, self.scales, strict=False):
            rows[:, first:last] *= scale
        self._rows, self._layout = rows, layout
        self._velocity_rows = np.ascontiguousarray(rows[1:, : ends[0]])
        self._mean = rows[0, : ends[0]]
        gram: FloatArray = self._sum(np.asarray(self._velocity_rows @ self._velocity_rows.T, dtype=np.float64))
        self._projector = np.linalg.pinv(gram, rcond=1e-12, hermitian=True)

    def _sum(self, local: FloatArray) -> FloatArray:
        if self._comm.Get_size() == 1:
            return local
        local = np.ascontiguousarray(local)
        total = np.empty_like(local)
        self._comm.Allreduce(local, total)
        return total

    # What it proposes
    def _predict(self, query: Query) -> Prediction:
        if self._layout is None:
            raise PluginError(f"surrogate {self.name!r} was asked before `bind(solver)`")
        if len(query.state) != self._layout.size:
            raise ModelMismatchError(
                f"{self.name!r} was bound to states of {self._layout.size} values, the query has {len(query.state)}"
            )
        features = self.features(query)
        coefficients = self.inferred(lambda: self._coefficients(features))
        new = self._layout.new(query.state) + self._rows[0] + coefficients @ self._rows[1:]
        return Prediction(self._layout.after(query.state, new))

    def _coefficients(self, features: FloatArray) -> FloatArray:
        with torch.inference_mode():
            return np.asarray(self.network(torch.from_numpy(features)).numpy(), dtype=np.float64)

    def features(self, query: Query) -> FloatArray:
        """Return what the network sees (collective): inflow, coefficients of velocity and of its last change."""
        assert self._layout is not None
        velocities = self._layout.velocities(query.state)
        newest, before = velocities[0].ravel(), velocities[1].ravel()
        seen = np.stack([newest, newest - before - self._mean])
        found = self._sum(seen @ self._velocity_rows.T) @ self._projector
        return np.concatenate([drive(query.parameters, query.t_end), *found])

    def projector(self) -> Callable[[FloatArray], FloatArray]:
        """Return a function from the change in a step to its coefficients, by least squares over scaled fields.

        Serial: for training.
        """
        assert self._layout is not None
        sizes = (2 * self._layout.n_u, self._layout.n_p, self._layout.n_p)
        weights = np.repeat(1.0 / self.scales, sizes)
        scaled = self._rows[1:] * weights
        inverse = np.linalg.pinv(scaled @ scaled.T, hermitian=True)
        return lambda change: inverse @ (scaled @ ((change - self._rows[0]) * weights))

    # On disk
    def tensors(self) -> Mapping[str, Array]:
        """Return modes, scales and weights by name."""
        weights = {name: compact(array) for name, array in above("network.", self.network).items()}
        return {"modes": self.modes, "scales": self.scales, **weights}

    def settings(self) -> Mapping[str, Any]:
        """Return what builds the surrogate again beside the arrays."""
        network = self.network
        return {
            "side": self.side,
            "width": network.width,
            "depth": network.depth,
            "members": len(network.networks),
            "quadratic": list(network.quadratic),
        }

    @classmethod
    def from_file(cls, tensors: Mapping[str, Array], settings: Mapping[str, Any]) -> CylinderSurrogate:
        """Build the surrogate again from what `tensors` and `settings` returned.

        Raises:
            BadInputError: A tensor is missing or has another shape; names it.
        """
        modes, scales = tensors["modes"], tensors["scales"]
        side, width, depth, members = (int(settings[key]) for key in ("side", "width", "depth", "members"))
        nodes, pressure_nodes = nodes_of(side)
        size = 2 * (len(nodes) + len(pressure_nodes))
        if modes.ndim != 2 or modes.shape[1] != size or scales.shape != (3,):
            raise ModelMismatchError(
                f"the model's modes have shape {modes.shape} and its scales {scales.shape}; expected (1 + k, {size}) "
                f"and (3,) for side = {side}"
            )
        count = modes.shape[0] - 1
        first, quadratic = (int(number) for number in settings["quadratic"])
        check_sizes(tensors, [side, width, depth, members, count])
        network = CoefficientNetwork(2 + 2 * count, count, width, depth, members, (first, quadratic))
        weights = {
            name: np.asarray(array, np.float64) for name, array in tensors.items() if name.startswith("network.")
        }
        load_exactly(network, weights, "network.")
        return cls(side, modes, scales, network)
