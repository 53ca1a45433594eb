"""Basis x coefficients: each rank holds its rows of the basis, and a small network that is the same on all ranks."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from cosolve.core.arrays import Array
from cosolve.core.communicator import Communicator, SerialCommunicator
from cosolve.core.errors import BadInputError, ModelMismatchError, PluginError
from cosolve.core.prediction import Prediction
from cosolve.core.query import Query
from cosolve.core.solver import Solver
from cosolve.core.surrogate import StoredSurrogate
from cosolve.plugins.pytorch.basis import Basis, basis_from
from cosolve.plugins.pytorch.coefficient_network import CoefficientNetwork
from cosolve.plugins.pytorch.extrapolation import BASES, extrapolated, order_of, weights
from cosolve.plugins.pytorch.features import FeatureMap
from cosolve.plugins.pytorch.placement import SharedInference, limit_threads
from cosolve.plugins.pytorch.stored import above, below, check_sizes, compact, load_exactly

Float64 = npt.NDArray[np.float64]


class BasisSurrogate(SharedInference, StoredSurrogate):
    """Proposes `base + sum_k c_k(features) phi_k` with a POD or trunk basis phi and a small network for c.

    The basis is known on a reference grid, on points or everywhere (see `basis`), and is evaluated once at the values
    that this rank owns, so that neither mesh nor partition is part of the model. What the network sees of the state
    are its least-squares coefficients, for which the ranks add one short vector in each step: `collective`. A model
    without such features communicates only while it is bound.

    Args:
        basis: Functions in this order: mean of the states, state modes, modes of the answer.
        shared: Whether the state modes are the modes of the answer, too, and so stand there once.
        network: Features to coefficients.
        features: What the network sees.
        base: What the correction is added to: `mean`, the state's projection (`projected`), or an extrapolation of
            accepted states; where the history is too short, the extrapolation of the highest possible order alone is
            proposed.
        scale: Root mean square over the training of the Euclidean norm of a state, for the uncertainty.

    Raises:
        BadInputError: Numbers of functions, features and coefficients do not fit.
    """

    name = "pod_mlp"
    collective = True

    def __init__(
        self,
        basis: Basis,
        network: CoefficientNetwork,
        features: FeatureMap,
        *,
        base: str,
        shared: bool = False,
        scale: float = 1.0,
    ) -> None:
        if base not in BASES:
            raise BadInputError(f"unknown base {base!r}. Known: {', '.join(BASES)}.")
        if base == "projected" and not features.state_modes:
            raise BadInputError("base 'projected' needs coefficients of the state: give `state_modes`")
        self.seen = max(features.state_modes, features.history_modes)
        self.n_modes = network.linear.out_features
        expected = 1 + (max(self.seen, self.n_modes) if shared else self.seen + self.n_modes)
        if basis.size != expected or network.n_features != features.size:
            raise BadInputError(
                f"the basis has {basis.size} functions, expected {expected} for {self.seen} state modes and "
                f"{self.n_modes} modes of the answer; the network sees {network.n_features} features, "
                f"the query gives {features.size}"
            )
        limit_threads()
        SharedInference.__init__(self)
        self.basis, self.network, self.features = basis, network.eval(), features
        self.base, self.scale, self.shared = base, scale, shared
        first = 1 if shared else 1 + self.seen
        self._state_rows, self._answer_rows = slice(1, 1 + self.seen), slice(first, first + self.n_modes)
        self._order = order_of(base)
        self._comm: Communicator = SerialCommunicator()
        self._rows: Float64 | None = None
        self._answer = self.network.frozen()
        self._projector: Float64 = np.zeros((0, 0))

    # Where the answer lives
    def bind(self, solver: Solver) -> None:
        """Evaluate the basis at the values that this rank owns (collective).

        Raises:
            ModelMismatchError: The solver does not say where its values live, or the basis is not known there.
        """
        try:
            coordinates = solver.coordinates()
        except NotImplementedError as error:
            raise ModelMismatchError(
                f"{error}, and a {self.name} model needs to know that. Implement `coordinates` in the solver, or call "
                "`place(coordinates, comm)` on the surrogate."
            ) from error
        self.place(coordinates, solver.comm)

    def place(self, coordinates: Array, comm: Communicator | None = None) -> None:
        """Evaluate the basis at `coordinates` of shape `(n_owned, d)` (collective over `comm`)."""
        self._comm = comm or SerialCommunicator()
        self.lead(self._comm, self.network)
        self._rows = self.basis.at(coordinates)
        # Anew, for the case that the weights were moved to other memory since.
        self._answer = self.network.frozen()
        seen = self._rows[self._state_rows]
        gram = self._sum(seen @ seen.T)
        # On a mesh with fewer points than modes the coefficients are those of least norm.
        self._projector = np.linalg.pinv(gram, rcond=1e-12, hermitian=True) if self.seen else gram

    def _sum(self, local: Float64) -> Float64:
        if self._comm.Get_size() == 1 or not local.size:
            return local
        local = np.ascontiguousarray(local)
        total = np.empty_like(local)
        self._comm.Allreduce(local, total)
        return total

    # What it proposes
    def _predict(self, query: Query) -> Prediction:
        rows = self._placed(query.state)
        if not self._has_history(query):
            return Prediction(extrapolated(query, self._order).astype(query.state.dtype), notes={"base_only": True})
        state, change = self._coefficients(query, rows)
        features = self._features(query, state, change)
        members = self.inferred(lambda: self._answer(features))
        # One product with all rows: it reads the basis once, which is what a proposal costs.
        weight = np.zeros(self.basis.size)
        weight[self._answer_rows] = members.mean(axis=0)
        if self.base in ("mean", "projected"):
            weight[0] = 1.0
        if self.base == "projected":
            weight[self._state_rows] += state
        value = weight @ rows
        if self.base not in ("mean", "projected"):
            value += extrapolated(query, self._order)
        uncertainty = None
        if len(members) > 1:
            uncertainty = float(np.linalg.norm(members.std(axis=0, ddof=1))) / self.scale
        return Prediction(value.astype(query.state.dtype, copy=False), uncertainty=uncertainty)

    def _has_history(self, query: Query) -> bool:
        return len(query.history) >= max(self._order, 1 if self.features.history_modes else 0)

    def _placed(self, state: Array) -> Float64:
        if self._rows is None:
            raise PluginError(f"surrogate {self.name!r} was asked before `bind(solver)` or `place(coordinates, comm)`")
        if self._rows.shape[1] != len(state):
            raise ModelMismatchError(
                f"{self.name!r} was bound to {self._rows.shape[1]} values of this rank, the state has {len(state)}"
            )
        return self._rows

    def _coefficients(self, query: Query, rows: Float64) -> tuple[Float64, Float64]:
        """Return those of the state and of its last change: the one place where ranks communicate, in one sum."""
        n_state, n_change = self.features.state_modes, self.features.history_modes
        wanted = []
        if n_state:
            wanted.append(query.state - rows[0])
        if n_change:
            wanted.append(query.state - query.history[0].state)
        products = np.array([rows[self._state_rows] @ vector for vector in wanted]).reshape(len(wanted), self.seen)
        found = self._sum(products) @ self._projector
        nothing = np.zeros(0)
        return (found[0] if n_state else nothing), (found[-1] if n_change else nothing)

    def _features(self, query: Query, state: Float64, change: Float64) -> Float64:
        return self.features(query.parameters, query.t_end, query.dt, list(state), list(change))

    # Derivatives by the state
    def jvp(self, query: Query, tangent: Array) -> Array:
        """Return the derivative of the proposal by the state times `tangent` (collective)."""
        rows = self._placed(query.state)
        result = np.asarray(self._state_weight(query) * tangent, dtype=np.float64)
        n_state, n_change = self.features.state_modes, self.features.history_modes
        if self._has_history(query) and n_state + n_change:
            along = self._sum(rows[self._state_rows] @ tangent) @ self._projector
            direction = np.zeros(self.features.size)
            direction[self.features.size - n_state - n_change :] = np.concatenate([along[:n_state], along[:n_change]])
            at = torch.from_numpy(self._features(query, *self._coefficients(query, rows)))
            moved: torch.Tensor = torch.func.jvp(self.network, (at,), (torch.from_numpy(direction),))[1]
            result = result + moved.detach().numpy() @ rows[self._answer_rows]
            if self.base == "projected":
                result = result + along @ rows[self._state_rows]
        return result.astype(query.state.dtype, copy=False)

    def vjp(self, query: Query, cotangent: Array) -> Array:
        """Return the transposed derivative of the proposal by the state times `cotangent` (collective)."""
        rows = self._placed(query.state)
        result = np.asarray(self._state_weight(query) * cotangent, dtype=np.float64)
        n_state, n_change = self.features.state_modes, self.features.history_modes
        if self._has_history(query) and n_state + n_change:
            at = torch.from_numpy(self._features(query, *self._coefficients(query, rows)))
            pull = torch.func.vjp(self.network, at)[1]
            back = pull(torch.from_numpy(self._sum(rows[self._answer_rows] @ cotangent)))[0].detach().numpy()
            along = np.zeros(self.seen)
            tail = back[self.features.size - n_state - n_change :]
            along[:n_state] += tail[:n_state]
            along[:n_change] += tail[n_state:]
            if self.base == "projected":
                along += self._sum(rows[self._state_rows] @ cotangent)
            result = result + (self._projector @ along) @ rows[self._state_rows]
        return result.astype(query.state.dtype, copy=False)

    def _state_weight(self, query: Query) -> float:
        return 0.0 if self.base in ("mean", "projected") else weights(query, self._order)[0]

    # On disk
    def tensors(self) -> Mapping[str, Array]:
        """Return basis and weights by name, in single precision where that holds them exactly."""
        basis = {f"basis.{name}": array for name, array in self.basis.tensors().items()}
        return {**basis, **{name: compact(array) for name, array in above("network.", self.network).items()}}

    def settings(self) -> Mapping[str, Any]:
        """Return what builds the surrogate again beside the arrays."""
        return {
            "basis": self.basis.settings(),
            "features": self.features.settings(),
            "base": self.base,
            "scale": self.scale,
            "shared": self.shared,
            "width": self.network.width,
            "depth": self.network.depth,
            "quadratic": list(self.network.quadratic),
            "members": len(self.network.networks),
            "modes": self.n_modes,
        }

    @classmethod
    def from_file(cls, tensors: Mapping[str, Array], settings: Mapping[str, Any]) -> BasisSurrogate:
        """Build the surrogate again from what `tensors` and `settings` returned.

        Raises:
            BadInputError: A tensor is missing or has another shape; names it.
        """
        features = FeatureMap.from_settings(settings["features"])
        width, depth, members, modes = (int(settings[key]) for key in ("width", "depth", "members", "modes"))
        first, count = (int(number) for number in settings["quadratic"])
        check_sizes(tensors, [width, depth, members, modes, features.size, count * (count + 1) // 2 + 1])
        if not 0 <= first <= first + count <= features.size:
            raise BadInputError(f"the settings name features {first} to {first + count} of {features.size}")
        network = CoefficientNetwork(features.size, modes, width, depth, members, (first, count))
        weights = {name: np.asarray(array, dtype=np.float64) for name, array in tensors.items()}
        load_exactly(network, weights, "network.")
        basis = basis_from(below(tensors, "basis."), settings["basis"])
        return cls(
            basis,
            network,
            features,
            base=str(settings["base"]),
            shared=bool(settings["shared"]),
            scale=float(settings["scale"]),
        )
