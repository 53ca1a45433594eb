"""Training data of time loops: one accepted run as parameters, times and states."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from cosolve.core.arrays import Array
from cosolve.core.errors import BadInputError


@dataclass(frozen=True, slots=True)
class Trajectory:
    """The states of one run.

    Attributes:
        times: Increasing times of the states, shape `(n_times,)`, in the problem's unit of time.
        states: States, shape `(n_times, n)`.
        parameters: What `Query.parameters` holds in this run.
    """

    times: Array
    states: Array
    parameters: Mapping[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if self.times.ndim != 1 or self.states.ndim != 2 or len(self.times) != len(self.states):
            raise BadInputError(
                "a trajectory needs times of shape (n_times,) and states of shape (n_times, n); "
                f"found {self.times.shape} and {self.states.shape}"
            )
        if len(self.times) > 1 and not bool(np.all(np.diff(self.times) > 0.0)):
            raise BadInputError("the times of a trajectory must increase from state to state")


def fingerprint(trajectories: Iterable[Trajectory]) -> str:
    """Return the SHA-256 of times, states and parameters, for `ModelCard.data_sha256`."""
    digest = hashlib.sha256()
    for trajectory in trajectories:
        digest.update(np.ascontiguousarray(trajectory.times, dtype=np.float64).tobytes())
        digest.update(np.ascontiguousarray(trajectory.states).tobytes())
        for name in sorted(trajectory.parameters):
            digest.update(name.encode())
            digest.update(np.asarray(trajectory.parameters[name], dtype=np.float64).tobytes())
    return digest.hexdigest()
