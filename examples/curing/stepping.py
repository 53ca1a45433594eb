"""The time step of the curing process, shared by the hybrid, by its classical rivals and by the training data.

Semi-implicit: k_ref K + h M is implicit, with k_ref the conductivity of the cured, hot material, so that its factor is
made once and never again; the rest of the diffusion is extrapolated from past levels. Stability asks for k_ref not much
below the largest conductivity; a k_ref far above it costs accuracy. The heat source enters by its mean over each step
and phi by the trapezoidal rule, which is far more accurate over a closed cycle than midpoint values (at 16 steps a
period the error of alpha falls from 1.0 to 0.37 %, measured).
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass, replace
from typing import Any, ClassVar

import numpy as np
from cosolve.examples.curing.discretisation import Discretisation
from cosolve.examples.curing.process import CONSTANTS, Constants, FloatArray, Load

_GAUSS = ((0.5 - 0.5 / np.sqrt(3.0), 0.5), (0.5 + 0.5 / np.sqrt(3.0), 0.5))


@dataclass(slots=True)
class ThermalState:
    """The state at a whole number of periods. All arrays hold owned values, shape `(n_owned,)`, and are never changed.

    Attributes:
        phi: Slow variable, alpha = 1 - exp(-phi).
        theta: Temperature.
        past: Temperature of earlier levels, newest first, `spacing` apart; empty after a cold start.
        spacing: Distance of the past levels in periods.
    """

    phi: FloatArray
    theta: FloatArray
    past: tuple[FloatArray, ...] = ()
    spacing: float = 0.0

    @property
    def alpha(self) -> FloatArray:
        """Degree of cure, shape `(n_owned,)`."""
        alpha: FloatArray = 1.0 - np.exp(-self.phi)
        return alpha

    def shifted(self, shift: FloatArray) -> ThermalState:
        """Return the state with `shift` added to the temperature of this and of every past level."""
        return replace(self, theta=self.theta + shift, past=tuple(level + shift for level in self.past))


class Integrator(ABC):
    """Advances whole periods with a fixed number of steps (collective). One object for each number of steps.

    Attributes:
        name: Name of the scheme.
        levels: Past levels that the scheme needs.
        reference_factor: k_ref / k0. Crank-Nicolson needs k_ref above the largest conductivity (2.6 k0 within the
            ranges) but for BDF3 it may be neither far below nor far above any.
        steps: Steps in a period.
        steps_taken: Time steps since the object was made, restarts included; one step is one linear solve.
    """

    name: ClassVar[str]
    levels: ClassVar[int]
    reference_factor: ClassVar[float]

    def __init__(self, discretisation: Discretisation, steps: int, constants: Constants = CONSTANTS,
                 reference_factor: float | None = None) -> None:  # fmt: skip
        """Allocate and factor for `steps` steps a period (collective)."""
        self.discretisation = discretisation
        self.constants = constants
        self.steps = steps
        self.steps_taken = 0
        self.reference = constants.conductivity * (reference_factor or self.reference_factor)
        d = discretisation
        # minus (h M + k_ref K): what the increment form of an implicit step has on its right
        self._operator = d.mass.copy()
        self._operator.scale(-constants.loss)
        self._operator.axpy(-self.reference, d.stiffness)
        self._theta, self._right, self._increment, self._node = (d.node_vector() for _ in range(4))
        self._slope = d.node_vector()
        self._gx, self._gy, self._weight, self._base = (d.cell_vector() for _ in range(4))
        self._base.array[:] = self.reference * d.inverse_area
        # Views of the vectors' own memory, taken once: asking a Vec for its array costs as much as a small product.
        self._theta_values: FloatArray = self._theta.array
        self._right_values: FloatArray = self._right.array
        self._node_values: FloatArray = self._node.array
        self._gx_values: FloatArray = self._gx.array
        self._gy_values: FloatArray = self._gy.array
        self._weight_values: FloatArray = self._weight.array
        self._buffer = np.empty(d.n_owned)
        self._sources: list[Any] = [d.node_vector() for _ in range(steps)]
        self._source_load: Load | None = None
        self._load: Load
        self._carried: tuple[ThermalState | None, list[FloatArray]] = (None, [])

    @property
    def dt(self) -> float:
        """Length of a step, in periods."""
        return 1.0 / self.steps

    def advance(self, state: ThermalState, load: Load, periods: int = 1) -> ThermalState:
        """Advance `state` by whole periods under `load` (collective). The given state is left as it is.

        Returns:
            The state at the end; its values are NaN or infinite where the scheme was unstable, nothing is raised.
        """
        return self.run(state, load, range(self.steps * periods))

    def run(self, state: ThermalState, load: Load, indices: range) -> ThermalState:
        """Take the steps `indices` under `load` (collective); index 0 starts a period, and index `steps` the next.

        Parts of a period can be run one after the other: slopes are carried over when `state` is what the last call
        returned.
        """
        self._load = load
        self._set_load(load)
        with np.errstate(over="ignore", invalid="ignore"):
            end, slopes = self._run(state, [index % self.steps for index in indices])
        self._carried = (end, slopes)
        return end

    @abstractmethod
    def _run(self, state: ThermalState, indices: list[int]) -> tuple[ThermalState, list[FloatArray]]:
        """Take the steps under the load that is set; return the end and the explicit slopes of its past levels."""

    def _set_load(self, load: Load) -> None:
        """Compute M times the mean source of each step of the period, once for a load."""
        if load == self._source_load:
            return
        values, axes = self._node_values, self.discretisation.axes
        if axes is not None:
            x, y, place = axes
            times = np.array([(index + abscissa) * self.dt for index in range(self.steps) for abscissa, _ in _GAUSS])
            along_x, along_y = load.source_on_axes(x, y, times, self.constants)
            along_x *= np.tile([weight for _, weight in _GAUSS], self.steps)[:, None]
        for index, source in enumerate(self._sources):
            if axes is not None:
                # On a grid the two Gaussians of a step are one small matrix product.
                both = slice(len(_GAUSS) * index, len(_GAUSS) * (index + 1))
                np.take(along_y[both].T @ along_x[both], place, out=values)
            else:
                values[:] = 0.0
                for abscissa, weight in _GAUSS:
                    term = load.source(self.discretisation.points, (index + abscissa) * self.dt, self.constants)
                    values += weight * term
            self.discretisation.mass.mult(self._node, source)
        self._source_load = load

    def _explicit_slope(self, theta: Any, values: FloatArray, phi: FloatArray, out: Any) -> None:
        """Compute (k_ref K - K(c)) theta into `out` (collective); `values` is the view of the Vec `theta`."""
        c, d = self.constants, self.discretisation
        node, buffer = self._node_values, self._buffer
        np.negative(phi, out=buffer)
        np.exp(buffer, out=buffer)
        buffer *= -c.conductivity * c.cure_gain
        buffer += c.conductivity * (1.0 + c.cure_gain)
        np.multiply(values, c.heat_gain, out=node)
        node += 1.0
        node *= buffer
        d.mean.multAdd(self._node, self._base, self._weight)
        d.gradient[0].mult(theta, self._gx)
        d.gradient[1].mult(theta, self._gy)
        self._gx_values *= self._weight_values
        self._gy_values *= self._weight_values
        d.gradient[0].multTranspose(self._gx, out)
        d.gradient[1].multTransposeAdd(self._gy, out, out)

    def _past_slopes(self, state: ThermalState, count: int) -> list[FloatArray]:
        """Return the explicit slopes at `count` past levels, newest first, at this scheme's own spacing (collective).

        Where the levels were stored at another spacing they are interpolated linearly; phi of now stands in for phi
        then: both enter one extrapolated term only, for one step.
        """
        if self._carried[0] is state and len(self._carried[1]) == count:
            return self._carried[1]
        slopes = []
        for index in range(count):
            level = state.past[min(index, len(state.past) - 1)]
            ratio = (index + 1) * self.dt / (min(index + 1, len(state.past)) * state.spacing)
            self._theta_values[:] = state.theta + ratio * (level - state.theta)
            self._explicit_slope(self._theta, self._theta_values, state.phi, self._slope)
            slopes.append(self._slope.array.copy())
        return slopes

    def close(self) -> None:
        """Free the PETSc objects (collective)."""
        for item in (self._operator, self._theta, self._right, self._increment, self._node, self._slope,
                     self._gx, self._gy, self._weight, self._base, *self._sources):  # fmt: skip
            item.destroy()
