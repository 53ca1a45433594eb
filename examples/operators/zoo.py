"""A family zoo in one dimension: one long implicit step of advection, diffusion, Burgers and Fisher equations.

u_t + (c u + b u^2 / 2)_x = nu u_xx + r u (1 - u) on a periodic line, by central differences and one step of the
implicit Euler method. A network sees the state before the step and the coefficients as constant channels.
"""

from __future__ import annotations

import math
import time
from typing import ClassVar, Final

import numpy as np
from cosolve.core.arrays import Array
from cosolve.core.communicator import SerialCommunicator
from cosolve.core.errors import NotConvergedError
from cosolve.core.query import Query
from cosolve.core.solver import ResidualMeasure, Solver, SolveResult
from cosolve.examples.operators.tasks import Equations, Fields, Task

FAMILIES: Final = ("advection", "diffusion", "Burgers", "Fisher")
DT: Final = 0.1
RTOL: Final = 1e-9


class ImplicitStep(Solver):
    """Newton's method for one step, with a dense Jacobian (serial).

    Args:
        points: Points of the line of length 1.

    Attributes:
        before: State before the step.
        coefficients: c, b, nu, r.
    """

    name: ClassVar[str] = "implicit_step"

    def __init__(self, points: int) -> None:
        self.comm = SerialCommunicator()
        self.points = points
        identity = np.eye(points)
        ahead, behind = np.roll(identity, 1, axis=1), np.roll(identity, -1, axis=1)
        self._slope = (ahead - behind) * (points / 2.0)
        self._curvature = (ahead - 2.0 * identity + behind) * float(points**2)
        self.before = np.zeros(points)
        self.coefficients = np.zeros(4)

    @property
    def n_owned(self) -> int:
        """Number of points."""
        return self.points

    def initial_state(self) -> Array:
        """Return the state before the step."""
        return self.before.copy()

    def coordinates(self) -> Array:
        """Return the points, shape `(n, 1)`."""
        return np.arange(self.points)[:, None] / self.points

    def residual(self, query: Query, candidate: Array) -> Array:
        """Return the residual of the step at `candidate`."""
        c, b, nu, r = self.coefficients
        flux = c * candidate + 0.5 * b * candidate**2
        change = nu * self._curvature @ candidate - self._slope @ flux + r * candidate * (1.0 - candidate)
        residual: Array = candidate - self.before - DT * change
        return residual

    def tolerance(self) -> float:
        """Return the residual norm at which Newton's method stops: relative to the state before the step."""
        return RTOL * max(float(np.linalg.norm(self.before)), 1.0)

    def measure(self, query: Query, candidate: Array) -> ResidualMeasure:
        """Measure the residual."""
        norm = float(np.linalg.norm(self.residual(query, candidate)))
        return ResidualMeasure({"u": norm}, {"u": self.tolerance()})

    def _step(self, query: Query, x0: Array | None) -> SolveResult:
        return self._correct(query, self.before if x0 is None else x0, 50)

    def _correct(self, query: Query, x0: Array, max_iterations: int) -> SolveResult:
        c, b, nu, r = self.coefficients
        u, iterations = np.array(x0, dtype=np.float64), 0
        while True:
            residual = self.residual(query, u)
            norm = float(np.linalg.norm(residual))
            if norm <= self.tolerance() or iterations == max_iterations or not math.isfinite(norm):
                break
            jacobian = -nu * self._curvature + self._slope * (c + b * u)[None, :]
            jacobian -= np.diag(r * (1.0 - 2.0 * u))
            u = u - np.linalg.solve(np.eye(self.points) + DT * jacobian, residual)
            iterations += 1
        converged = norm <= self.tolerance()
        reason = "the residual is small enough" if converged else f"residual {norm:.3g} after {iterations} iterations"
        return SolveResult(u, converged, reason, iterations, iterations, norm / self.tolerance())


class ZooEquations(Equations):
    """One implicit step at a time."""

    def __init__(self, points: int) -> None:
        self.solver: ImplicitStep = ImplicitStep(points)

    def choose(self, sample: Fields) -> None:
        """Set state and coefficients from the channels of an input, shape `(5, points)`."""
        self.solver.before = np.asarray(sample[0], dtype=np.float64)
        self.solver.coefficients = np.asarray(sample[1:, 0], dtype=np.float64)

    def start(self) -> Array:
        """Return the state before the step."""
        return self.solver.initial_state()


def draw(family: str, points: int, random: np.random.Generator) -> Fields:
    """Return the input of one sample, shape `(5, points)`: state, c, b, nu, r."""
    x = np.arange(points) / points
    k = np.arange(1, 7)
    amplitudes = random.standard_normal((2, 6)) / k
    waves = amplitudes[0] @ np.sin(2.0 * np.pi * np.outer(k, x)) + amplitudes[1] @ np.cos(2.0 * np.pi * np.outer(k, x))
    coefficients = {
        "advection": (random.uniform(-2.0, 2.0), 0.0, 1e-3, 0.0),
        "diffusion": (0.0, 0.0, 10.0 ** random.uniform(-3.0, -1.0), 0.0),
        "Burgers": (0.0, random.uniform(0.5, 1.5), 10.0 ** random.uniform(-2.3, -1.5), 0.0),
        "Fisher": (0.0, 0.0, 10.0 ** random.uniform(-3.5, -2.0), random.uniform(2.0, 8.0)),
    }[family]
    # The reaction is stable for states between 0 and 1 only, and r dt < 1 keeps the step's solution unique.
    state = 0.5 * (1.0 + np.tanh(waves)) if family == "Fisher" else waves
    sample = np.empty((5, points), dtype=np.float32)
    sample[0] = state
    sample[1:] = np.array(coefficients)[:, None]
    return sample


def zoo(points: int, training: int, test: int, seed: int) -> Task:
    """Return the task; families take turns, all pairs are solved here."""
    random = np.random.default_rng([seed, 2])
    equations = ZooEquations(points)
    begin, spent = time.process_time(), 0.0
    inputs, outputs, groups = [], [], []
    for index in range(training + test):
        family = FAMILIES[index % len(FAMILIES)]
        sample = draw(family, points, random)
        equations.choose(sample)
        result = equations.solver.step(Query(equations.start(), dt=DT))
        if not result.converged:
            raise NotConvergedError(f"an implicit step of {family} failed: {result.reason}", reason=result.reason)
        inputs.append(sample)
        outputs.append(result.value[None].astype(np.float32))
        groups.append(family)
        if index == training - 1:
            spent = time.process_time() - begin
    x, y = np.array(inputs), np.array(outputs)
    return Task(
        f"1D zoo, {points} points",
        x[:training],
        y[:training],
        x[training:],
        y[training:],
        equations,
        tuple(groups[training:]),
        spent,
    )
