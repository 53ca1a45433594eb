"""The Fisher-KPP equation u_t = u_xx + u (1 - u) on an interval with closed ends."""

import numpy as np
from cosolve import ResidualMeasure, Solver, SolveResult
from cosolve.core.communicator import SerialCommunicator
from scipy.linalg import solve_banded

LOWER, UPPER, CELLS = -20.0, 40.0, 600


def wave(x, t):
    """The travelling wave of Ablowitz and Zeppetella (1979, doi 10.1007/BF02462380), of speed 5 / sqrt(6)."""
    return (1.0 + np.exp((x - 5.0 / np.sqrt(6.0) * t) / np.sqrt(6.0))) ** -2


class Fisher(Solver):
    """Implicit Euler on cell centres; Newton's tridiagonal matrices go to scipy.

    Args:
        rtol: Tolerance of the residual, relative to the norm of what drives the step.
        max_iterations: Most Newton iterations of a step.
    """

    name = "fisher"

    def __init__(self, rtol=1e-3, max_iterations=20):
        self.comm = SerialCommunicator()
        self.rtol, self.max_iterations = rtol, max_iterations
        self.h = (UPPER - LOWER) / CELLS
        self.x = LOWER + self.h * (np.arange(CELLS) + 0.5)

    @property
    def n_owned(self):
        """Number of cells."""
        return CELLS

    def initial_state(self):
        """The travelling wave at time 0."""
        return wave(self.x, 0.0)

    def coordinates(self):
        """Cell centres."""
        return self.x[:, None]

    def residual(self, query, u):
        """The equation of one step."""
        padded = np.pad(u, 1, mode="edge")
        diffusion = (padded[2:] - 2.0 * u + padded[:-2]) / self.h**2
        return u - query.state - query.dt * (diffusion + u * (1.0 - u))

    def tolerance(self, query):
        """From the state alone, so that no candidate changes what it is measured against."""
        return self.rtol * float(np.linalg.norm(query.state)) + 1e-300

    def measure(self, query, candidate):
        """Euclidean norm of the residual."""
        norm = float(np.linalg.norm(self.residual(query, candidate)))
        return ResidualMeasure({"residual": norm}, {"residual": self.tolerance(query)})

    def _step(self, query, x0):
        return self._newton(query, query.state if x0 is None else x0, self.max_iterations)

    def _correct(self, query, x0, max_iterations):
        return self._newton(query, x0, max_iterations)

    def _newton(self, query, start, max_iterations):
        u, c = start.copy(), query.dt / self.h**2
        bands = np.full((3, CELLS), -c)
        for iteration in range(max_iterations + 1):
            residual = self.residual(query, u)
            ratio = float(np.linalg.norm(residual)) / self.tolerance(query)
            if not ratio > 1.0 or iteration == max_iterations:
                break
            bands[1] = 1.0 + 2.0 * c - query.dt * (1.0 - 2.0 * u)
            bands[1, [0, -1]] -= c
            u -= solve_banded((1, 1), bands, residual)
        reason = "residual" if ratio <= 1.0 else f"residual {ratio:.3g} of the tolerance"
        return SolveResult(u, converged=ratio <= 1.0, reason=reason, iterations=iteration, residual=ratio)
