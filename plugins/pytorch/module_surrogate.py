"""A user's own trained `nn.Module` as a surrogate."""

from __future__ import annotations

import importlib
import importlib.util
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, TypeAlias

import torch
from cosolve.core.arrays import Array
from cosolve.core.copies import CopyCount
from cosolve.core.errors import BadInputError, PluginError
from cosolve.core.inference import NodeLeader, checked_inference
from cosolve.core.prediction import Prediction
from cosolve.core.query import Query
from cosolve.core.restart import fingerprint_of
from cosolve.core.solver import Solver
from cosolve.core.surrogate import Surrogate
from cosolve.plugins.pytorch.bridge import to_numpy, to_torch
from cosolve.plugins.pytorch.placement import limit_threads, place, planned
from cosolve.plugins.pytorch.weights import load_weights

Encode: TypeAlias = Callable[[torch.Tensor, Query], Any]
"""`encode(state, query)` -> the module's input: a tensor, or a tuple of its arguments."""

Decode: TypeAlias = Callable[[torch.Tensor, Query], torch.Tensor]
"""`decode(output, query)` -> values of shape `(n_owned,)`."""


def _encode(state: torch.Tensor, query: Query) -> torch.Tensor:
    return state[None, :]


def _decode(output: torch.Tensor, query: Query) -> torch.Tensor:
    return output.reshape(-1)


class TorchSurrogate(Surrogate):
    """A user's own trained module, asked at each step. It sees the values of this rank and does not communicate.

    The state is handed over without a copy where its precision is the module's; a float32 module may answer for
    float64 states, its two copies are counted in the prediction's notes.

    Args:
        module: The trained module; put into evaluation mode.
        encode: Makes its input of the state (a tensor of shape `(n_owned,)` in the module's precision and on its
            device) and the query (parameters, times, history); by default a batch of one, `(1, n_owned)`.
        decode: Makes the proposal of its output; by default it is flattened.
        residual: Whether the module answers the change of the state, which is added in the state's own precision.
        device: `cpu`, `cuda` (this rank's own device on its node) or `auto`.
        name: Name in the ledger.
        inference: `per_rank`, or `node_leader`: one rank of each node holds the device and answers for all of them.

    Raises:
        BadInputError: `module` is no module, or the device is not there.
    """

    name = "torch_module"

    def __init__(
        self,
        module: torch.nn.Module,
        encode: Encode = _encode,
        decode: Decode = _decode,
        *,
        residual: bool = False,
        device: str = "cpu",
        name: str = "",
        inference: str = "per_rank",
    ) -> None:
        if not isinstance(module, torch.nn.Module):
            raise BadInputError(f"TorchSurrogate needs a torch.nn.Module, found {type(module).__name__}")
        limit_threads()
        self.inference = checked_inference(inference)
        self._wanted = device
        self._leader: NodeLeader | None = None
        # The leader of a node is known when the surrogate is bound: until then nobody takes a device.
        self.device = place("cpu" if self.inference == "node_leader" else device)
        self.module = module.to(self.device).eval()
        if self.inference == "node_leader":
            self.collective = True  # type: ignore[misc]  # of this object: it communicates, the class does not
        self.encode, self.decode, self.residual = encode, decode, residual
        tensors = [*module.parameters(), *module.buffers()]
        self.dtype = next((t.dtype for t in tensors if t.is_floating_point()), torch.float64)
        if name:
            # The ledger tells several modules of one run apart by their names.
            self.name = name  # type: ignore[misc]  # a class variable by default, one object's own by request

    def bind(self, solver: Solver) -> None:
        """Find the leader of the node where one infers for all (collective)."""
        if self.inference == "node_leader" and self._leader is None:
            self._leader = NodeLeader(solver.comm)
            if self._leader.leads:
                self.device = place(self._wanted)
                self.module = self.module.to(self.device)

    def placement(self) -> Mapping[str, Any]:
        """Return where this rank infers, for the ledger."""
        return planned(self.inference, self._wanted).as_record()

    def fingerprint(self) -> str:
        """Return the SHA-256 of the module's weights."""
        weights = {name: tensor.detach().cpu().numpy() for name, tensor in self.module.state_dict().items()}
        return fingerprint_of({"residual": self.residual}, weights)

    def close(self) -> None:
        """Free the node's communicator (collective)."""
        if self._leader is not None:
            self._leader.close()

    def _predict(self, query: Query) -> Prediction:
        return self._infer(query) if self._leader is None else self._leader.ask(self._infer, query)

    def _infer(self, query: Query) -> Prediction:
        count = CopyCount()
        with torch.inference_mode():
            output = self._map(to_torch(query.state, self.dtype, self.device, count), query)
            value = to_numpy(output, query.state.dtype, count)
        if self.residual and value.shape == query.state.shape:
            value = query.state + value
        elif value.base is not None:
            # The output may be a view of the state or of the module's own buffers, and a proposal is written to.
            value = value.copy()
            count.add(value.nbytes)
        return Prediction(value, notes=count.notes())

    def _map(self, state: torch.Tensor, query: Query) -> torch.Tensor:
        inputs = self.encode(state, query)
        output = self.module(*inputs) if isinstance(inputs, tuple) else self.module(inputs)
        return self.decode(output, query)

    def jvp(self, query: Query, tangent: Array) -> Array:
        """Return the derivative of the proposal by the state times `tangent`; `encode` and `decode` must be torch."""
        count = CopyCount()
        state, direction = (to_torch(array, self.dtype, self.device, count) for array in (query.state, tangent))
        forward: torch.Tensor = torch.func.jvp(lambda values: self._map(values, query), (state,), (direction,))[1]
        result = to_numpy(forward, query.state.dtype, count)
        return result + tangent if self.residual else result

    def vjp(self, query: Query, cotangent: Array) -> Array:
        """Return the transposed derivative of the proposal by the state times `cotangent`."""
        count = CopyCount()
        state, direction = (to_torch(array, self.dtype, self.device, count) for array in (query.state, cotangent))
        pull = torch.func.vjp(lambda values: self._map(values, query), state)[1]
        result = to_numpy(pull(direction)[0], query.state.dtype, count)
        return result + cotangent if self.residual else result


def from_options(
    module: str,
    arguments: Mapping[str, Any] | None = None,
    weights: str = "",
    residual: bool = False,
    device: str = "cpu",
    inference: str = "per_rank",
) -> TorchSurrogate:
    """Build a `TorchSurrogate` from the table of a case, see `ModuleOptions`.

    Raises:
        BadInputError: The file or class is not there, does not take the arguments, or the weights do not fit.
        PluginError: The user's code raised while it was imported.
    """
    where, _, name = module.rpartition(":")
    found = getattr(_import(where), name, None)
    if found is None:
        raise BadInputError(f"module = {module!r}: {where} has no {name!r}")
    try:
        network = found(**dict(arguments or {}))
    except TypeError as error:
        raise BadInputError(
            f"module = {module!r} cannot be built from arguments = {dict(arguments or {})}: {error}"
        ) from error
    if not isinstance(network, torch.nn.Module):
        raise BadInputError(f"module = {module!r} is {type(network).__name__}, expected a torch.nn.Module")
    if weights:
        load_weights(network, weights)
    # A module may bring its own `encode` and `decode` methods: a case has no place for functions.
    encode, decode = getattr(network, "encode", _encode), getattr(network, "decode", _decode)
    return TorchSurrogate(network, encode, decode, residual=residual, device=device, name=name, inference=inference)


def _import(where: str) -> Any:
    try:
        if not where.endswith(".py"):
            return importlib.import_module(where)
        path = Path(where).resolve()
        if not path.is_file():
            raise BadInputError(f"the file {path} of the module does not exist")
        spec = importlib.util.spec_from_file_location(path.stem, path)
        if spec is None or spec.loader is None:
            raise BadInputError(f"{path} cannot be imported as Python")
        found = importlib.util.module_from_spec(spec)
        # Dataclasses and type hints in the user's file look their module up by name.
        sys.modules.setdefault(path.stem, found)
        spec.loader.exec_module(found)
        return found
    except (BadInputError, KeyboardInterrupt):
        raise
    except ImportError as error:
        raise BadInputError(f"the module {where!r} cannot be imported: {error}") from error
    except Exception as error:  # whatever the user's code raises, with its cause
        raise PluginError(
            f"the module {where!r} raised while it was imported: {type(error).__name__}: {error}"
        ) from error
