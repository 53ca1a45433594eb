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
        kicks: What was added to each state but the last before the next step was taken from it, shape
            `(n_times - 1, n)`; None for an undisturbed run. Small random kicks show a surrogate how errors evolve,
            which an undisturbed run never does.
    """

    times: Array
    states: Array
    parameters: Mapping[str, Any] = field(default_factory=dict)
    kicks: Array | None = None

    def __post_init__(self) -> None:
        if self.times.ndim != 1 or self.states.ndim != 2 or len(self.times) != len(self.states):
            raise BadInputError(
                "a trajectory needs times of shape (n_times,) and states of shape (n_times, n); "
                f"found {self.times.shape} and {self.states.shape}"
            )
        if len(self.times) > 1 and not bool(np.all(np.diff(self.times) > 0.0)):
            raise BadInputError("the times of a trajectory must increase from state to state")
        if self.kicks is not None and self.kicks.shape != (len(self.times) - 1, self.states.shape[1]):
            raise BadInputError(
                f"kicks need the shape {(len(self.times) - 1, self.states.shape[1])}, found {self.kicks.shape}"
            )

    @property
    def starts(self) -> Array:
        """The states from which the steps were taken, shape `(n_times - 1, n)`."""
        before = self.states[:-1]
        return before if self.kicks is None else before + self.kicks


def fingerprint(trajectories: Iterable[Trajectory]) -> str:
    """Return the SHA-256 of times, states and parameters, for `ModelCard.data_sha256`."""
    digest = hashlib.sha256()
    for trajectory in trajectories:
        digest.update(np.ascontiguousarray(trajectory.times, dtype=np.float64).tobytes())
        digest.update(np.ascontiguousarray(trajectory.states).tobytes())
        if trajectory.kicks is not None:
            digest.update(np.ascontiguousarray(trajectory.kicks).tobytes())
        for name in sorted(trajectory.parameters):
            digest.update(name.encode())
            digest.update(np.asarray(trajectory.parameters[name], dtype=np.float64).tobytes())
    return digest.hexdigest()
