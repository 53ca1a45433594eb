"""The state of the flow: all that a step needs, as one flat array of the values that a rank owns."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from cosolve.examples.cylinder.mesh import FloatArray

LEVELS = 3
"""Velocities, and increments of the pressure, that third-order backward differences look back at."""


@dataclass(frozen=True, slots=True)
class Layout:
    """Where what stands in a state: velocities of three steps, newest first, increments likewise, the pressure.

    Attributes:
        n_u: Values of one component of the velocity.
        n_p: Values of the pressure.
    """

    n_u: int
    n_p: int

    @property
    def size(self) -> int:
        """Number of values of a state."""
        return LEVELS * (2 * self.n_u + self.n_p) + self.n_p

    @property
    def new_size(self) -> int:
        """Number of values that a step computes: two components, increment, pressure."""
        return 2 * (self.n_u + self.n_p)

    def velocities(self, state: FloatArray) -> FloatArray:
        """Return a view of shape `(3, 2, n_u)`."""
        return state[: 2 * LEVELS * self.n_u].reshape(LEVELS, 2, self.n_u)

    def increments(self, state: FloatArray) -> FloatArray:
        """Return a view of shape `(3, n_p)`."""
        return state[2 * LEVELS * self.n_u : -self.n_p].reshape(LEVELS, self.n_p)

    def pressure(self, state: FloatArray) -> FloatArray:
        """Return a view of shape `(n_p,)`."""
        return state[-self.n_p :] if self.n_p else state[:0]

    def new(self, state: FloatArray) -> FloatArray:
        """Return a copy of what the last step computed, shape `(new_size,)`."""
        return np.concatenate([self.velocities(state)[0].ravel(), self.increments(state)[0], self.pressure(state)])

    def after(self, state: FloatArray, new: FloatArray) -> FloatArray:
        """Return the state after `state` when a step computes `new`: the older levels move back by one."""
        result = np.empty(self.size)
        velocities, increments = self.velocities(result), self.increments(result)
        velocities[0] = new[: 2 * self.n_u].reshape(2, self.n_u)
        velocities[1:] = self.velocities(state)[:-1]
        increments[0] = new[2 * self.n_u : 2 * self.n_u + self.n_p]
        increments[1:] = self.increments(state)[:-1]
        self.pressure(result)[:] = new[2 * self.n_u + self.n_p :]
        return result
