"""Starts of a sequence of linear solves: classical ones, PETSc's own, and a surrogate that joins a projection."""

from __future__ import annotations

import itertools
import time

import numpy as np
from cosolve.core.arrays import Array
from cosolve.core.governor import Asked, Governor
from cosolve.core.prediction import Prediction
from cosolve.core.query import Query
from cosolve.core.solver import SolveResult
from cosolve.core.surrogate import Surrogate
from cosolve.plugins.petsc import EnergyProjection, KspSolver


class Extrapolation(Surrogate):
    """The polynomial through the last solutions, of equal steps: order 0 is the previous one."""

    name = "extrapolation"
    is_baseline = True

    def __init__(self, order: int) -> None:
        self._weights = ([1.0], [2.0, -1.0], [3.0, -3.0, 1.0])[: order + 1]
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
    """POD modes times coefficients: a ridge regression on products of Legendre polynomials of the parameters.

    Args:
        parameters: Of the training solves, shape `(count, 3)`.
        solutions: Of the training solves, shape `(count, n)`.
        modes: Modes that are kept, at most.
        degree: Total degree of the polynomials.
    """

    name = "basis"
    predict_keeps_memory = True

    def __init__(self, parameters: Array, solutions: Array, modes: int = 30, degree: int = 6) -> None:
        self._powers = [p for p in itertools.product(range(degree + 1), repeat=parameters.shape[1]) if sum(p) <= degree]
        self._degree = degree
        left, sizes, right = np.linalg.svd(solutions, full_matrices=False)
        features = np.array([self._features(p) for p in parameters])
        # Of equal weight for all modes; small against the number of training solves.
        gram = features.T @ features + 1e-6 * len(parameters) * np.eye(features.shape[1])
        self._coefficients = np.linalg.solve(gram, features.T @ (left[:, :modes] * sizes[:modes]))
        self._modes = right[:modes]

    def _features(self, parameters: Array) -> Array:
        table = np.polynomial.legendre.legvander(  # type: ignore[no-untyped-call]  # numpy leaves it so
            parameters, self._degree
        )
        found: Array = np.array([np.prod([table[i, p] for i, p in enumerate(power)]) for power in self._powers])
        return found

    def _predict(self, query: Query) -> Prediction:
        return Prediction((self._features(query.parameters["place"]) @ self._coefficients) @ self._modes)


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


class GovernedProjection(Method):
    """PETSc's own guess, or a projection over history that a surrogate joins while a governor finds that it pays.

    Attributes:
        asked: Solves in which the surrogate was asked.
        above: Starts whose energy error was above that of the projection alone: there must be none.
    """

    def __init__(self, name: str, solver: KspSolver, classical: KspSolver, surrogate: Surrogate, size: int) -> None:
        self._projection = EnergyProjection(size, [surrogate])
        super().__init__(name, solver, self._projection)
        self._governor, self._surrogate, self._classical = Governor(), surrogate, classical
        self._alone = EnergyProjection(size)
        self._alone.bind(solver)
        self.asked = self.above = 0
        self._joined = False
        self._start = solver.initial_state()

    def _solve(self, query: Query) -> SolveResult:
        begin = time.process_time()
        asked = self._surrogate.name in self._governor.plan(query.step, [self._surrogate.name])
        spent = 0.0
        if asked:
            self._start = self._projection.predict(query).value
            spent = time.process_time() - begin
            result = self.solver.step(query, self._start)
        else:
            result = self._classical.step(query)
        self._projection.observe(query, result.value)
        total = time.process_time() - begin
        self._governor.record([Asked(self._surrogate.name, asked, spent)], total)
        self._joined = asked
        self.asked += asked
        return result

    def check(self, query: Query, value: Array) -> None:
        """Compare the energy of the last start with that of the projection alone over the same history (not timed)."""
        if self._joined:
            alone = self._energy(self._alone.predict(query).value)
            self.above += self._energy(self._start) > alone + 1e-10 * abs(alone)
        self._alone.observe(query, value)

    def _energy(self, start: Array) -> float:
        """Return `x A x / 2 - b x`: half the square of the error in the A-norm, less a constant."""
        operator, _ = self.solver.ksp.getOperators()
        x = self.solver.vector()
        x.array[:] = start
        energy = 0.5 * float(x.dot(operator * x)) - float(x.dot(self.solver.b))
        x.destroy()
        return energy
