"""The curing process as a `CyclicSolver`: phi is slow, theta is fast, alpha is what errors are measured in."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
from cosolve.couplings.cycle_solver import CycleSettings
from cosolve.couplings.cyclic import CyclicBlock, CyclicSolver, TruePeriod
from cosolve.examples.curing.discretisation import Discretisation, Factorised
from cosolve.examples.curing.integrators import Bdf2, Bdf3, CrankNicolson
from cosolve.examples.curing.process import CONSTANTS, Constants, FloatArray, Load, Schedule
from cosolve.examples.curing.stepping import Integrator, ThermalState

INTEGRATORS: dict[str, type[Integrator]] = {scheme.name: scheme for scheme in (CrankNicolson, Bdf2, Bdf3)}

SETTINGS = CycleSettings(classical_factor=0.035)
"""Classical settings of this problem; the factor covers the errors of 14 validation runs, and of loads out of range."""

_RESPONSE_CONDUCTIVITY = 1.4
"""Conductivity of the linear response over k0: between raw and cured, at theta of about 0.7."""

_WINDOW = 0.25
"""Where the window of a true period starts: by then the heat spot has left what a guessed start spoils."""


class CuringSolver(CyclicSolver[ThermalState]):
    """Runs the curing process with any integrator and number of steps (collective to build).

    Attributes:
        node_areas: Shares of the area of the owned nodes, shape `(n_owned,)`: the row sums of the mass matrix.
    """

    def __init__(
        self, discretisation: Discretisation, scheme: str = "cn-ab2", constants: Constants = CONSTANTS
    ) -> None:
        """Factor the operators of the linear response; integrators are made when they are first asked for."""
        self.discretisation = discretisation
        self.comm = discretisation.comm
        self.scheme = scheme
        self.constants = constants
        conductivity = constants.conductivity * _RESPONSE_CONDUCTIVITY
        self._response = Factorised(discretisation, constants.loss, conductivity)
        self._fast_response = Factorised(discretisation, constants.loss + 6.0, conductivity)
        self._right, self._product, self._solution = (discretisation.node_vector() for _ in range(3))
        self._integrators: dict[int, Integrator] = {}
        self._extra_work = 0
        one = discretisation.node_vector()
        one.set(1.0)
        discretisation.mass.mult(one, self._product)
        self.node_areas: FloatArray = self._product.array.copy()
        one.destroy()

    def integrator(self, steps: int) -> Integrator:
        """Return the integrator with `steps` steps a period, made and factored once (collective)."""
        if steps not in self._integrators:
            self._integrators[steps] = INTEGRATORS[self.scheme](self.discretisation, steps, self.constants)
        return self._integrators[steps]

    @property
    def points(self) -> FloatArray:
        """Coordinates of the owned nodes, shape `(n_owned, 2)`."""
        return self.discretisation.points

    @property
    def work(self) -> int:  # type: ignore[override]  # counted, not stored
        """Linear solves so far."""
        return self._extra_work + sum(integrator.steps_taken for integrator in self._integrators.values())

    def slow(self, state: ThermalState) -> FloatArray:
        """Return phi."""
        return state.phi

    def fast(self, state: ThermalState) -> FloatArray:
        """Return theta."""
        return state.theta

    def state(self, slow: FloatArray, fast: FloatArray) -> ThermalState:
        """Return a state without past levels."""
        return ThermalState(slow, fast)

    def shifted(self, state: ThermalState, shift: FloatArray) -> ThermalState:
        """Return the state with `shift` added to theta and its past levels."""
        return state.shifted(shift)

    def with_slow(self, state: ThermalState, slow: FloatArray) -> ThermalState:
        """Return the state with another phi."""
        return replace(state, phi=slow)

    def advance(self, state: ThermalState, load: Load, periods: int, steps: int) -> ThermalState:
        """Run whole periods (collective)."""
        return self.integrator(steps).advance(state, load, periods)

    def true_period(self, state: ThermalState, load: Load, steps: int) -> TruePeriod[ThermalState]:
        """Run one period and a quarter (collective)."""
        integrator = self.integrator(steps)
        first = round(_WINDOW * steps)
        opening = integrator.run(state, load, range(first))
        end = integrator.run(opening, load, range(first, steps))
        beyond = integrator.run(end, load, range(first))
        growth = beyond.phi - opening.phi
        return TruePeriod(end, growth, (beyond.phi - end.phi) / growth, state)

    def mean_response(self, change: FloatArray) -> FloatArray:
        """Return (h M + k K)^-1 M change (collective)."""
        return self._solve(self._response, change)

    def settled_shift(self, change: FloatArray) -> FloatArray:
        """Return change + L^-1 change - 3 (L + 6)^-1 change (collective).

        This rational function meets 1 / (1 - exp(-L)) at 0 to third order and at infinity: short waves count, too.
        """
        return change + self._solve(self._response, change) - 3.0 * self._solve(self._fast_response, change)

    def _solve(self, factor: Factorised, values: FloatArray) -> FloatArray:
        self._right.array[:] = values
        self.discretisation.mass.mult(self._right, self._product)
        factor.solve(self._product, self._solution)
        self._extra_work += 1
        solution: FloatArray = self._solution.array.copy()
        return solution

    def rate_response(self, shift: FloatArray) -> FloatArray:
        """Return E times `shift`."""
        return self.constants.activation * shift

    def quantity(self, slow: FloatArray) -> FloatArray:
        """Return alpha."""
        alpha: FloatArray = -np.expm1(-slow)
        return alpha

    def norm(self, values: FloatArray) -> float:
        """Return the L2 norm (collective)."""
        return self.discretisation.norm(values)

    def initial(self, schedule: Schedule) -> ThermalState:
        """Return the cold start of `schedule`."""
        return ThermalState(schedule.bump.values(self.discretisation.points), np.zeros(self.discretisation.n_owned))

    def close(self) -> None:
        """Free the PETSc objects (collective)."""
        for integrator in self._integrators.values():
            integrator.close()
        self._integrators.clear()
        self._response.close()
        self._fast_response.close()
        for vector in (self._right, self._product, self._solution):
            vector.destroy()


def blocks_of(schedule: Schedule) -> list[CyclicBlock]:
    """Return the blocks of a schedule with the load before each; the first starts cold."""
    before: Any = None
    blocks = []
    for block in schedule.blocks:
        blocks.append(CyclicBlock(block.load, block.periods, before))
        before = block.load
    return blocks
