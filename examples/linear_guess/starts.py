"""Starts of a sequence of linear solves: classical ones, a surrogate that joins a projection, and the coupling."""

from __future__ import annotations

import time
from typing import Any, Final

import cosolve
import numpy as np
from cosolve.core.arrays import Array
from cosolve.core.prediction import Prediction
from cosolve.core.query import Query
from cosolve.core.solver import Solver, SolveResult
from cosolve.core.surrogate import Surrogate
from cosolve.plugins.petsc import AdaptiveStart, EnergyProjection, KspSolver

_LENGTHS: Final = (0.15, 0.25, 0.4, 0.7, 1.2, 2.0, 4.0, 8.0, 16.0)
_NUGGET: Final = 1e-8


class Extrapolation(Surrogate):
    """The polynomial through the last solutions, of equal steps: order 0 is the previous one."""

    name = "extrapolation"
    is_baseline = True

    def __init__(self, order: int) -> None:
        self._weights = ([1.0], [2.0, -1.0], [3.0, -3.0, 1.0], [4.0, -6.0, 4.0, -1.0])[: order + 1]
        self._last: list[Array] = []

    def _predict(self, query: Query) -> Prediction:
        if not self._last:
            return Prediction(np.zeros_like(query.state))
        weights = self._weights[min(len(self._last), len(self._weights)) - 1]
        return Prediction(np.sum([w * x for w, x in zip(weights, self._last, strict=False)], axis=0))

    def observe(self, query: Query, value: Array) -> None:
        """Keep as many solutions as the order needs."""
        self._last = [value, *self._last][: len(self._weights)]


class BasisSurrogate(Surrogate):
    """POD modes times coefficients, which a Gaussian kernel gives from the parameters or from the load.

    The length of the kernel is that of the least error when each training solve is left out in turn.

    Args:
        parameters: Of the training solves, shape `(count, d)`.
        solutions: Of the training solves, shape `(count, n)`.
        modes: Modes that are kept, at most.
        load: Modes of the right-hand side, shape `(d, n)`: then the parameters are the products with these, which the
            surrogate computes itself. None where queries have the parameters as `place`.
    """

    name = "basis"
    predict_keeps_memory = True

    def __init__(self, parameters: Array, solutions: Array, modes: int = 64, load: Array | None = None) -> None:
        self._load = load
        self._solver: Any = None
        self._shift, self._scale = parameters.mean(axis=0), np.maximum(parameters.std(axis=0), 1e-300)
        self._places = (parameters - self._shift) / self._scale
        left, sizes, right = np.linalg.svd(solutions, full_matrices=False)
        coefficients = left[:, :modes] * sizes[:modes]
        distances = _squares(self._places[:, None], self._places[None])
        least = np.inf
        for length in _LENGTHS:
            inverse = np.linalg.inv(np.exp(-0.5 * distances / length**2) + _NUGGET * np.eye(len(parameters)))
            weights = inverse @ coefficients
            error = float(np.sum((weights / np.diag(inverse)[:, None]) ** 2))
            if error < least:
                least, self._weights, self._length = error, weights, length
        # In single precision: the rounding is far below the error, and reading the modes is what an answer costs.
        self._modes = right[:modes].astype(np.float32)

    def bind(self, solver: Solver) -> None:
        """Keep the solver, for its right-hand side."""
        self._solver = solver

    def _predict(self, query: Query) -> Prediction:
        place = query.parameters["place"] if self._load is None else self._load @ self._solver.b.array_r
        kernel = np.exp(-0.5 / self._length**2 * _squares(self._places, (place - self._shift) / self._scale))
        said = (kernel @ self._weights).astype(np.float32) @ self._modes
        return Prediction(said.astype(np.float64))


def _squares(one: Array, other: Array) -> Array:
    found: Array = ((one - other) ** 2).sum(axis=-1)
    return found


class Method:
    """One way of starting each solve; its time is that of the start, the solve and what is learnt from it.

    Args:
        name: As in the tables.
        solver: Solves from the start.
        proposer: Makes the start; None starts from zero, or leaves it to PETSc's guess of the KSP.
    """

    def __init__(self, name: str, solver: KspSolver, proposer: Surrogate | None = None) -> None:
        self.name, self.solver, self.proposer = name, solver, proposer
        self.seconds: list[float] = []
        self.iterations: list[int] = []
        if proposer is not None:
            proposer.bind(solver)

    def solve(self, query: Query) -> SolveResult:
        """Solve and keep time (CPU seconds) and iterations."""
        begin = time.process_time()
        result = self._solve(query)
        self.seconds.append(time.process_time() - begin)
        self.iterations.append(result.linear_iterations)
        return result

    def _solve(self, query: Query) -> SolveResult:
        start = None if self.proposer is None else self.proposer.predict(query).value
        result = self.solver.step(query, start)
        if self.proposer is not None:
            self.proposer.observe(query, result.value)
        return result


class JoinedMethod(Method):
    """A method whose surrogate may join a projection; knows whether that made the energy error larger.

    Attributes:
        above: Starts whose energy error was above that of the same base without the surrogate: there must be none.
    """

    def __init__(self, name: str, solver: KspSolver, proposer: EnergyProjection | AdaptiveStart) -> None:
        super().__init__(name, solver, proposer)
        self.start = proposer
        self.above = 0

    @property
    def asked(self) -> int:
        """Solves for which the surrogate was asked."""
        return self.start.asked

    def check(self) -> None:
        """Compare the energy of the last start with that of its base alone (not timed)."""
        if self.start.alone is not None:
            alone, joined = (self._energy(start) for start in (self.start.alone, self.start.last))
            self.above += joined > alone + 1e-10 * abs(alone)

    def _energy(self, start: Array) -> float:
        """Return `x A x / 2 - b x`: half the square of the error in the A-norm, less a constant."""
        operator, _ = self.solver.ksp.getOperators()
        x, y = self.solver.vector(), self.solver.vector()
        x.array[:] = start
        operator.mult(x, y)
        energy = 0.5 * float(x.dot(y)) - float(x.dot(self.solver.b))
        x.destroy()
        y.destroy()
        return energy


class CoupledMethod(Method):
    """The same by the coupling `initial_guess`, as a user's script has it: with transaction, agreement and record.

    Args:
        name: As in the tables.
        solver: Solves from the start.
        surrogate: Joins as the coupling decides.
    """

    def __init__(self, name: str, solver: KspSolver, surrogate: Surrogate) -> None:
        super().__init__(name, solver)
        self._guess = cosolve.initial_guess(solver, surrogate)

    def _solve(self, query: Query) -> SolveResult:
        solve = self._guess.solve(query.parameters).solve
        assert solve is not None
        return solve

    @property
    def asked(self) -> int:
        """Solves for which the surrogate was asked."""
        (start,) = self._guess.proposers
        assert isinstance(start, AdaptiveStart)
        return start.asked

    def close(self) -> None:
        """Close the coupling."""
        self._guess.close()
