"""The integrators: Crank-Nicolson with Adams-Bashforth, and extrapolated BDF of order 2 and 3."""

from __future__ import annotations

from typing import Any, ClassVar

import numpy as np
from cosolve.examples.curing.discretisation import Discretisation, Factorised
from cosolve.examples.curing.process import CONSTANTS, Constants, FloatArray, Load
from cosolve.examples.curing.stepping import Integrator, ThermalState


class CrankNicolson(Integrator):
    """Crank-Nicolson for the implicit part, Adams-Bashforth of order 2 for the rest."""

    name: ClassVar[str] = "cn-ab2"
    levels: ClassVar[int] = 1
    reference_factor: ClassVar[float] = 2.6

    def __init__(self, discretisation: Discretisation, steps: int, constants: Constants = CONSTANTS,
                 reference_factor: float | None = None) -> None:  # fmt: skip
        super().__init__(discretisation, steps, constants, reference_factor)
        self._factor = Factorised(discretisation, steps + 0.5 * constants.loss, 0.5 * self.reference)

    def _run(self, state: ThermalState, indices: list[int]) -> tuple[ThermalState, list[FloatArray]]:
        c = self.constants
        phi = state.phi.copy()
        theta, right, slope = self._theta_values, self._right_values, self._slope.array
        increment: FloatArray = self._increment.array
        previous = self._past_slopes(state, 1)[0] if state.past else None
        theta[:] = state.theta
        gain = 0.5 * self.dt * c.rate * np.exp(-c.activation)
        heat = np.exp(c.activation * theta)
        newer, buffer, level, older = (np.empty_like(heat) for _ in range(4))
        known = len(state.past) if state.spacing == self.dt else 0
        if known:
            level[:] = state.past[0]
        for index in indices:
            self._explicit_slope(self._theta, theta, phi, self._slope)
            self._operator.multAdd(self._theta, self._sources[index], self._right)
            level, older = older, level
            level[:] = theta
            if previous is None:
                previous = slope.copy()
                self._first_step(phi, level)
            else:
                np.multiply(slope, 1.5, out=buffer)
                right += buffer
                previous *= 0.5
                right -= previous
                previous[:] = slope
                self._factor.solve(self._right, self._increment)
                self.steps_taken += 1
                theta += increment
            np.multiply(theta, c.activation, out=newer)
            np.exp(newer, out=newer)
            heat += newer
            heat *= gain
            phi += heat
            heat, newer = newer, heat
        end = ThermalState(phi, theta.copy(), (level, older)[: known + len(indices)], self.dt)
        return end, [] if previous is None else [previous]

    def single_step(self, state: ThermalState, load: Load, index: int) -> ThermalState:
        """Take step number `index` of the period without any past level (collective): how BDF starts."""
        self._set_load(load)
        self._theta_values[:] = state.theta
        self._explicit_slope(self._theta, self._theta_values, state.phi, self._slope)
        self._operator.multAdd(self._theta, self._sources[index], self._right)
        self._first_step(state.phi, state.theta)
        c, theta = self.constants, self._theta_values.copy()
        heat = np.exp(c.activation * (state.theta - 1.0)) + np.exp(c.activation * (theta - 1.0))
        return ThermalState(state.phi + (0.5 * self.dt * c.rate) * heat, theta, (state.theta,), self.dt)

    def _first_step(self, phi: FloatArray, level: FloatArray) -> None:
        """Take a step without a past level: a fixed-point pass on the mean of the slopes at both ends."""
        start: FloatArray = self._slope.array.copy()
        base = self._right_values.copy()
        for passes in range(2):
            # The first pass is explicit in the slope, the second averages it over the step.
            if passes:
                self._explicit_slope(self._theta, self._theta_values, phi, self._slope)
            self._right_values[:] = base + 0.5 * (start + self._slope.array)
            self._factor.solve(self._right, self._increment)
            self.steps_taken += 1
            self._theta_values[:] = level + self._increment.array

    def close(self) -> None:
        """Free the PETSc objects (collective)."""
        self._factor.close()
        super().close()


class _Bdf(Integrator):
    """Extrapolated BDF: all of the implicit part at the new level, the rest extrapolated to it."""

    reference_factor: ClassVar[float] = 2.1
    _implicit: ClassVar[tuple[float, ...]]
    _extrapolation: ClassVar[tuple[float, ...]]

    def __init__(self, discretisation: Discretisation, steps: int, constants: Constants = CONSTANTS,
                 reference_factor: float | None = None) -> None:  # fmt: skip
        super().__init__(discretisation, steps, constants, reference_factor)
        self._factor = Factorised(discretisation, self._implicit[0] * steps + constants.loss, self.reference)
        self._starter = CrankNicolson(discretisation, steps, constants)
        self._point_sources: list[Any] = [discretisation.node_vector() for _ in range(steps)]

    def _set_load(self, load: Load) -> None:
        """Compute M times the source at the end of each step: BDF collocates there."""
        if load == self._source_load:
            return
        for index, source in enumerate(self._sources):
            self._node_values[:] = load.source(self.discretisation.points, (index + 1) * self.dt, self.constants)
            self.discretisation.mass.mult(self._node, source)
        self._source_load = load

    def _run(self, state: ThermalState, indices: list[int]) -> tuple[ThermalState, list[FloatArray]]:
        first = 0
        if len(state.past) < self.levels or state.spacing != self.dt:
            # Too few levels, or levels of another spacing: interpolated levels would cost an order, so start afresh.
            state = self._start(state, indices[: self.levels])
            first = self.levels
        c, order = self.constants, self.levels + 1
        phi = state.phi.copy()
        theta, right, slope = self._theta_values, self._right_values, self._slope.array
        increment: FloatArray = self._increment.array
        slopes = self._past_slopes(state, self.levels)
        levels = list(state.past[: self.levels])
        theta[:] = state.theta
        gain = 0.5 * self.dt * c.rate * np.exp(-c.activation)
        heat = np.exp(c.activation * theta)
        newer, node = np.empty_like(heat), self._node_values
        for index in indices[first:]:
            self._explicit_slope(self._theta, theta, phi, self._slope)
            # The increment solves (a0 n + h) M + k_ref K; the levels enter as differences to the newest one.
            node[:] = 0.0
            for weight, level in zip(self._implicit[2:], levels, strict=True):
                node -= (self.steps * weight) * (level - theta)
            self.discretisation.mass.multAdd(self._node, self._sources[index], self._right)
            self._operator.multAdd(self._theta, self._right, self._right)
            right += self._extrapolation[0] * slope
            for weight, old in zip(self._extrapolation[1:], slopes, strict=True):
                right += weight * old
            slopes = [slope.copy(), *slopes][: order - 1]
            levels = [theta.copy(), *levels][: order - 1]
            self._factor.solve(self._right, self._increment)
            self.steps_taken += 1
            theta += increment
            np.multiply(theta, c.activation, out=newer)
            np.exp(newer, out=newer)
            heat += newer
            heat *= gain
            phi += heat
            heat, newer = newer, heat
        return ThermalState(phi, theta.copy(), tuple(levels), self.dt), slopes

    def _start(self, state: ThermalState, indices: list[int]) -> ThermalState:
        """Take the first steps of the period by a one-step scheme and keep the levels (collective)."""
        before = self._starter.steps_taken
        past: tuple[FloatArray, ...] = ()
        for index in indices:
            past = (state.theta, *past)
            state = self._starter.single_step(state, self._load, index)
        self.steps_taken += self._starter.steps_taken - before
        return ThermalState(state.phi, state.theta, past, self.dt)

    def close(self) -> None:
        """Free the PETSc objects (collective)."""
        self._factor.close()
        self._starter.close()
        super().close()


class Bdf2(_Bdf):
    """Extrapolated BDF of order 2."""

    name: ClassVar[str] = "bdf2"
    levels: ClassVar[int] = 1
    _implicit = (1.5, -2.0, 0.5)
    _extrapolation = (2.0, -1.0)


class Bdf3(_Bdf):
    """Extrapolated BDF of order 3; the best full stepping where errors below 0.2 % are asked for."""

    name: ClassVar[str] = "bdf3"
    levels: ClassVar[int] = 2
    _implicit = (11.0 / 6.0, -3.0, 1.5, -1.0 / 3.0)
    _extrapolation = (3.0, -3.0, 1.0)
