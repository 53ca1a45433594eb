"""A small solver with everything a real one has: nonlinear, coupled over the ranks, distributed, in numpy alone.

Values relax and are drawn to their mean over all ranks, `u' = -c u^3 + k (mean(u) - u) + f`, by the implicit Euler
rule.
Newton's matrix is diagonal plus rank one, so one reduction an iteration solves it exactly, and the answer does not
depend on how the values are spread over the ranks, which may own none at all.
"""

from __future__ import annotations

import math
from typing import ClassVar

import numpy as np
from cosolve.core.arrays import Array
from cosolve.core.communicator import Communicator, SerialCommunicator
from cosolve.core.consensus import FaultAwareCommunicator
from cosolve.core.prediction import Prediction
from cosolve.core.query import Query
from cosolve.core.solver import ResidualMeasure, Solver, SolveResult
from cosolve.core.verdict import Decision, Grade, Verdict
from cosolve.core.verifier import Verifier


class MeanFieldSolver(Solver):
    """Implicit Euler for `size` values that are spread over the ranks of `comm`.

    Args:
        size: Number of values over all ranks; may be smaller than the number of ranks.
        comm: The communicator, duplicated; None for a serial run. The constructor is collective.
        coupling: Strength `k` of the pull towards the mean.
        cubic: Strength `c` of the nonlinear decay; 0 for a linear problem, whose steps need one iteration.
        atol: Absolute tolerance of the Euclidean norm of the residual over all ranks.
        max_iterations: Newton iterations of a step.
        empty_rank: A rank that owns nothing; its values go to the others. None spreads them evenly.
    """

    name: ClassVar[str] = "mean_field"

    def __init__(
        self,
        size: int = 40,
        comm: Communicator | None = None,
        *,
        coupling: float = 5.0,
        cubic: float = 1.0,
        atol: float = 1e-11,
        max_iterations: int = 30,
        empty_rank: int | None = None,
    ) -> None:
        self.comm = FaultAwareCommunicator((SerialCommunicator() if comm is None else comm).Dup())
        self.size = size
        self.atol = atol
        self._coupling = coupling
        self._cubic = cubic
        self._max_iterations = max_iterations
        rank, ranks = self.comm.rank, self.comm.size
        owners = [other for other in range(ranks) if other != empty_rank or ranks == 1]
        shares = dict(zip(owners, np.array_split(np.arange(size), len(owners)), strict=True))
        self._mine = shares.get(rank, np.arange(0))
        self._forcing = np.cos(0.7 * self._mine)
        self._closed = False

    @property
    def n_owned(self) -> int:
        """Number of values of this rank."""
        return int(self._mine.size)

    def initial_state(self) -> Array:
        """Return a smooth start, the same for every number of ranks."""
        state: Array = 1.0 + 0.5 * np.sin(1.3 * self._mine)
        return state

    def coordinates(self) -> Array:
        """Return the global number of each value as its place, shape `(n_owned, 1)`."""
        numbers: Array = self._mine[:, None].astype(np.float64)
        return numbers

    def measure(self, query: Query, candidate: Array) -> ResidualMeasure:
        """Measure the Euclidean norm of the residual over all ranks (collective)."""
        return ResidualMeasure({"residual": self._norm(self.residual(query, candidate))}, {"residual": self.atol})

    def residual(self, query: Query, candidate: Array) -> Array:
        """Return the owned values of the implicit Euler residual (collective)."""
        mean = self._sum(float(candidate.sum())) / self.size
        rate = -self._cubic * candidate**3 + self._coupling * (mean - candidate) + self._forcing
        residual: Array = candidate - query.state - query.dt * rate
        return residual

    def _step(self, query: Query, x0: Array | None) -> SolveResult:
        return self._newton(query, query.state if x0 is None else x0, self._max_iterations)

    def _correct(self, query: Query, x0: Array, max_iterations: int) -> SolveResult:
        return self._newton(query, x0, max_iterations)

    def _newton(self, query: Query, start: Array, max_iterations: int) -> SolveResult:
        value = start.copy()
        pull = query.dt * self._coupling / self.size
        for iteration in range(max_iterations + 1):
            residual = self.residual(query, value)
            norm = self._norm(residual)
            if norm <= self.atol or not math.isfinite(norm):
                return SolveResult(value, norm <= self.atol, "residual", iteration, residual=norm / self.atol)
            if iteration < max_iterations:
                diagonal = 1.0 + query.dt * (3.0 * self._cubic * value**2 + self._coupling)
                # Sherman and Morrison: (D - pull 1 1^T)^-1 r, the sums in one reduction.
                sums = self._sums(float((residual / diagonal).sum()), float((1.0 / diagonal).sum()))
                value -= (residual + pull * sums[0] / (1.0 - pull * sums[1])) / diagonal
        return SolveResult(value, False, "too many iterations", max_iterations, residual=norm / self.atol)

    def _norm(self, values: Array) -> float:
        return math.sqrt(self._sum(float(values @ values)))

    def _sum(self, value: float) -> float:
        return float(self._sums(value, 0.0)[0])

    def _sums(self, first: float, second: float) -> Array:
        mine = np.array([first, second])
        ours = np.empty(2)
        self.comm.Allreduce(mine, ours)
        return ours

    def close(self) -> None:
        """Free the duplicated communicator (collective). Idempotent."""
        if not self._closed:
            self.comm.Free()
        self._closed = True


class RatioVerifier(Verifier):
    """Accepts when the solver's residual is below `fraction` of its tolerance, corrects below `correct_below` of it.

    Args:
        fraction: Fraction of the tolerance below which a proposal is accepted.
        correct_below: Multiple of the tolerance below which a proposal is corrected.
        grade: What its verdicts claim to be.
    """

    name: ClassVar[str] = "ratio"
    grade: ClassVar[Grade] = Grade.CERTIFIED
    guarantees: ClassVar[str] = "The residual of the step's own equations is below a fraction of the tolerance."
    does_not_guarantee: ClassVar[str] = "A residual is not an error."

    def __init__(self, fraction: float = 0.5, correct_below: float = 0.0, *, grade: Grade = Grade.CERTIFIED) -> None:
        self._fraction = fraction
        self._correct_below = correct_below
        self._grade = grade

    def _judge(self, solver: Solver, query: Query, prediction: Prediction) -> Verdict:
        ratio = solver.measure(query, prediction.value).ratio
        if ratio <= self._fraction:
            decision = Decision.ACCEPT
        elif ratio <= self._correct_below:
            decision = Decision.CORRECT
        else:
            decision = Decision.REJECT
        return Verdict(
            decision,
            self._grade,
            ratio,
            self._fraction,
            f"residual {ratio:.3g} of the tolerance against {self._fraction:.3g}",
        )
