"""Strang splitting as a proposer: it knows both halves of the equation exactly, and not their sum."""

import numpy as np
from cosolve import Domain, Prediction, Surrogate
from cosolve.core.space import Grid
from scipy.fft import dct, idct

from cosolve_fisher.solver import CELLS, LOWER, UPPER


def react(u, dt):
    """The exact flow of u' = u (1 - u)."""
    return u / (u + (1.0 - u) * np.exp(-dt))


def slope(u, dt):
    """The derivative of `react` by u."""
    return np.exp(-dt) / (u + (1.0 - u) * np.exp(-dt)) ** 2


class Strang(Surrogate):
    """Half a step of reaction, a step of diffusion, half a step of reaction."""

    name = "strang"
    domain = Domain(space=Grid((CELLS,), (LOWER,), (UPPER,)), low=-0.1, high=1.5, dt=(0.0, 0.5), history=0)

    def _predict(self, query):
        half = query.dt / 2
        u = react(self._diffuse(react(query.state, half), query.dt), half)
        return Prediction(u.astype(query.state.dtype, copy=False))

    def jvp(self, query, tangent):
        """The derivative times a tangent."""
        half = query.dt / 2
        middle = self._diffuse(react(query.state, half), query.dt)
        return slope(middle, half) * self._diffuse(slope(query.state, half) * tangent, query.dt)

    def vjp(self, query, cotangent):
        """The transposed derivative: diffusion is symmetric."""
        half = query.dt / 2
        middle = self._diffuse(react(query.state, half), query.dt)
        return slope(query.state, half) * self._diffuse(slope(middle, half) * cotangent, query.dt)

    def _diffuse(self, u, dt):
        wave_numbers = np.pi * np.arange(CELLS) / (UPPER - LOWER)
        decay = np.exp(-dt * wave_numbers**2).astype(u.dtype)
        return idct(decay * dct(u, norm="ortho"), norm="ortho")
