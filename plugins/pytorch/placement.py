"""Where torch computes: threads of a rank, and the device that a rank has on its own node."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from typing import Any, TypeVar

import torch
from cosolve.core.communicator import Communicator
from cosolve.core.errors import BadInputError
from cosolve.core.inference import Inference, InferencePlan, NodeLeader, checked_inference, plan_of

Answer = TypeVar("Answer")

_LOCAL_RANK = (
    "OMPI_COMM_WORLD_LOCAL_RANK",
    "MPI_LOCALRANKID",
    "MV2_COMM_WORLD_LOCAL_RANK",
    "PALS_LOCAL_RANKID",
    "SLURM_LOCALID",
)
_THREADS = ("COSOLVE_TORCH_THREADS", "OMP_NUM_THREADS")


def local_rank() -> int:
    """Return the number of this rank on its node, from its launcher's environment; 0 without a launcher."""
    for name in _LOCAL_RANK:
        text = os.environ.get(name, "")
        if text.isdigit():
            return int(text)
    return 0


def limit_threads() -> int:
    """Limit torch's threads to `COSOLVE_TORCH_THREADS`, else `OMP_NUM_THREADS`, else 1; return the number.

    Torch would take every core, in each rank.

    Raises:
        BadInputError: The variable does not hold a positive number.
    """
    for name in _THREADS:
        text = os.environ.get(name)
        if text:
            # OMP_NUM_THREADS may be a list, one number for each level of nesting.
            first = text.split(",")[0].strip()
            if not first.isdigit() or int(first) < 1:
                raise BadInputError(f"{name}={text!r}: expected a positive number of threads")
            count = int(first)
            break
    else:
        count = 1
    if torch.get_num_threads() != count:
        torch.set_num_threads(count)
    return count


def planned(mode: Inference, device: str) -> InferencePlan:
    """Return where this rank infers, as it is recorded; `device` as in `place`."""
    gpus = torch.cuda.device_count() if device != "cpu" and torch.cuda.is_available() else 0
    return plan_of(mode, local_rank(), gpus=gpus, threads=torch.get_num_threads())


def default_device() -> str:
    """Return the device of surrogates that are read from model files: `COSOLVE_TORCH_DEVICE`, else `cpu`."""
    return os.environ.get("COSOLVE_TORCH_DEVICE") or "cpu"


def default_inference() -> Inference:
    """Return who infers for surrogates from model files: `COSOLVE_TORCH_INFERENCE`, else `per_rank`.

    Raises:
        BadInputError: The variable holds another word.
    """
    return checked_inference(os.environ.get("COSOLVE_TORCH_INFERENCE") or "per_rank")


class SharedInference:
    """Mixed into a surrogate whose network sees the same on every rank: one rank of each node may answer for all.

    With `inference = "node_leader"` the network of that rank alone goes to the device. What the ranks do with its
    answer, rows of a basis or points of a grid, stays theirs.

    Attributes:
        inference: `per_rank` or `node_leader`; by default what `COSOLVE_TORCH_INFERENCE` says.
    """

    def __init__(self, device: str = "cpu", inference: str = "") -> None:
        self.inference = checked_inference(inference) if inference else default_inference()
        self._wanted = device
        self._leader: NodeLeader | None = None
        # The leader of a node is known when the surrogate is bound: until then nobody takes a device.
        self.device = place("cpu" if self.inference == "node_leader" else device)

    def lead(self, comm: Communicator, network: torch.nn.Module) -> None:
        """Find the leader of the node, and put its network on the device (collective). Idempotent."""
        if self.inference == "node_leader" and self._leader is None:
            self._leader = NodeLeader(comm)
            if self._leader.leads:
                self.device = place(self._wanted)
                network.to(self.device)

    def inferred(self, work: Callable[[], Answer]) -> Answer:
        """Return what `work` returns, done here or by the leader of the node (collective with a leader)."""
        return work() if self._leader is None else self._leader.share(work)

    def placement(self) -> Mapping[str, Any]:
        """Return where this rank infers, for the ledger."""
        return planned(self.inference, self._wanted).as_record()

    def close(self) -> None:
        """Free the node's communicator (collective). Idempotent."""
        if self._leader is not None:
            self._leader.close()


def place(device: str) -> torch.device:
    """Return the torch device for `cpu`, `cuda` or `auto`.

    A rank takes the device of its number on its own node (modulo the devices it sees): never all ranks device 0.

    Raises:
        BadInputError: `cuda` was asked for where torch sees no device, or the name is unknown.
    """
    if device not in ("cpu", "cuda", "auto"):
        raise BadInputError(f"unknown device {device!r}. Known: auto, cpu, cuda.")
    if device == "cpu":
        return torch.device("cpu")
    if torch.cuda.is_available():
        return torch.device("cuda", local_rank() % torch.cuda.device_count())
    if device == "auto":
        return torch.device("cpu")
    build = torch.version.cuda
    raise BadInputError(
        "device 'cuda' was asked for, but torch sees no CUDA device "
        + (f"(built for CUDA {build}; is the driver there?)" if build else f"(torch {torch.__version__} has no CUDA)")
        + ". Use device 'cpu' or 'auto', or install the CUDA build of torch."
    )
