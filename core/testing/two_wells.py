"""A toy with several solutions: independent values in a double well, x^3 - x = force, spread over the ranks.

At rest all values sit in the left well, x = -1. Up to the turning point, a force of 0.385, the path from rest stays
there. Right of x = 0.577 lies another stable branch, between the wells an unstable one.
"""

from __future__ import annotations

import math
from typing import Any, ClassVar

import numpy as np
from cosolve.core.arrays import Array
from cosolve.core.communicator import Communicator, SerialCommunicator
from cosolve.core.consensus import FaultAwareCommunicator
from cosolve.core.query import Query
from cosolve.core.solver import ResidualMeasure, Solver, SolveResult

SIZE, ATOL = 12, 1e-10


class TwoWells(Solver):
    """Newton's method for `size` values in double wells; `Query.parameters["force"]` pushes them to the right.

    Args:
        comm: The communicator, duplicated; None for a serial run.
        size: Number of values over all ranks.
        pinned: A boundary condition: the first value; None for none.

    Attributes:
        solves: Calls of `step`.
        iterations: Newton iterations so far.
    """

    name: ClassVar[str] = "two_wells"

    def __init__(self, comm: Communicator | None = None, *, size: int = SIZE, pinned: float | None = None) -> None:
        self.comm = FaultAwareCommunicator((SerialCommunicator() if comm is None else comm).Dup())
        self.mine = np.array_split(np.arange(size), self.comm.size)[self.comm.rank]
        self.shape = 1.0 - 0.2 * self.mine / max(size - 1, 1)
        self.pinned = pinned
        self.solves = self.iterations = 0
        self._closed = False

    @property
    def n_owned(self) -> int:
        """Number of values of this rank."""
        return len(self.mine)

    def initial_state(self) -> Array:
        """Return the state at rest: all in the left well."""
        return np.full(self.n_owned, -1.0)

    def coordinates(self) -> Array:
        """Return the global number of each value as its place."""
        numbers: Array = self.mine[:, None].astype(np.float64)
        return numbers

    def conditioned(self, query: Query, candidate: Array) -> Array:
        """Return `candidate` with the pinned value."""
        if self.pinned is None:
            return candidate
        value: Array = np.where(self.mine == 0, self.pinned, candidate)
        return value

    def residual(self, query: Query, candidate: Array) -> Array:
        """Return the owned values of the residual."""
        force = float(query.parameters.get("force", 0.0))
        value: Array = candidate**3 - candidate - force * self.shape
        if self.pinned is not None:
            value = np.where(self.mine == 0, 100.0 * (candidate - self.pinned), value)
        return value

    def measure(self, query: Query, candidate: Array) -> ResidualMeasure:
        """Measure the Euclidean norm of the residual over all ranks (collective)."""
        tolerance = ATOL * float(query.context.get("tolerance_factor", 1.0))
        return ResidualMeasure({"residual": self._norm(self.residual(query, candidate))}, {"residual": tolerance})

    def negative_directions(self, query: Query, state: Array) -> int:
        """Count the values on the hill between the wells (collective)."""
        return round(self._sum(float(np.count_nonzero(3.0 * state**2 - 1.0 < 0.0))))

    def quantities(self, state: Array) -> dict[str, float]:
        """Return the energy without the work of the force (collective)."""
        return {"energy": self._sum(float(np.sum(state**4 / 4.0 - state**2 / 2.0)))}

    def _step(self, query: Query, x0: Array | None) -> SolveResult:
        self.solves += 1
        return self._newton(query, query.state if x0 is None else x0, 30)

    def _correct(self, query: Query, x0: Array, max_iterations: int) -> SolveResult:
        return self._newton(query, x0, max_iterations)

    def _newton(self, query: Query, start: Array, limit: int) -> SolveResult:
        x = start.copy()
        for iteration in range(limit + 1):
            ratio = self.measure(query, x).ratio
            if ratio <= 1.0 or not math.isfinite(ratio):
                return SolveResult(x, ratio <= 1.0, "residual", iteration, residual=ratio)
            if iteration < limit:
                slope = 3.0 * x**2 - 1.0
                if self.pinned is not None:
                    slope = np.where(self.mine == 0, 100.0, slope)
                self.iterations += 1
                x = x - self.residual(query, x) / slope
        return SolveResult(x, False, "too many iterations", limit, residual=ratio)

    def _norm(self, values: Array) -> float:
        return math.sqrt(self._sum(float(values @ values)))

    def _sum(self, value: float) -> float:
        total: Any = np.zeros(())
        self.comm.Allreduce(np.array(value), total)
        return float(total)

    def close(self) -> None:
        """Free the duplicated communicator (collective). Idempotent."""
        if not self._closed:
            self.comm.Free()
        self._closed = True


def left(solver: TwoWells, force: float) -> Array:
    """Return the solution in the left well, without communication."""
    x = np.full(solver.n_owned, -1.0)
    for _ in range(60):
        x = x - (x**3 - x - force * solver.shape) / (3.0 * x**2 - 1.0)
    return x
