"""Defect correction converges with a coarse solver, never spoils a residual, and ends where a correction is useless."""

from __future__ import annotations

import cosolve
import numpy as np
import pytest
import scipy.sparse as sp
import scipy.sparse.linalg as spla
from cosolve.core.arrays import Array
from cosolve.core.communicator import SerialCommunicator
from cosolve.core.errors import BadInputError
from cosolve.core.governor import Governor
from cosolve.core.query import Query
from cosolve.core.solver import ResidualMeasure, Solver, SolveResult
from cosolve.couplings.defect_correction import DefectCorrected, refine
from hypothesis import given, settings
from hypothesis import strategies as st

N = 31


class Poisson(Solver):
    """-u'' + b u^3 = f on a line, u = 0 at both ends."""

    name = "poisson"

    def __init__(self, cubic: float = 0.0) -> None:
        self.comm = SerialCommunicator()
        self.matrix = (sp.diags([-1.0, 2.0, -1.0], [-1, 0, 1], shape=(N, N)) * (N + 1) ** 2).tocsc()
        self.cubic = cubic
        self.f = np.ones(N)

    @property
    def n_owned(self) -> int:
        return N

    def initial_state(self) -> Array:
        return np.zeros(N)

    def residual(self, query: Query, candidate: Array) -> Array:
        return self.matrix @ candidate + self.cubic * candidate**3 - self.f

    def measure(self, query: Query, candidate: Array) -> ResidualMeasure:
        norm = float(np.linalg.norm(self.residual(query, candidate)))
        return ResidualMeasure({"u": norm}, {"u": 1e-8 * float(np.linalg.norm(self.f))})

    def _step(self, query: Query, x0: Array | None) -> SolveResult:
        u, iterations = (query.state if x0 is None else x0).copy(), 0
        while self.measure(query, u).ratio > 1.0 and iterations < 30:
            jacobian = self.matrix + sp.diags(3.0 * self.cubic * u**2)
            u = u - spla.spsolve(jacobian.tocsc(), self.residual(query, u))
            iterations += 1
        return SolveResult(u, iterations < 30, "", iterations, iterations)


QUERY = Query(np.zeros(N), transaction="solve")


def coarse(query: Query, residual: Array) -> Array:
    """Half as many points and one damped Jacobi step: a two-grid method without its smoothing."""
    m = (N - 1) // 2
    line = sp.lil_matrix((N, m))
    for j in range(m):
        line[2 * j, j], line[2 * j + 1, j], line[2 * j + 2, j] = 0.5, 1.0, 0.5
    matrix = Poisson().matrix
    below = spla.spsolve((line.T @ matrix @ line).tocsc(), -(line.T @ residual))
    return line @ below - 0.5 * residual / matrix.diagonal()


def test_with_a_coarse_solver_it_converges_to_the_solvers_tolerance() -> None:
    solver = Poisson()
    found = refine(solver, QUERY, np.zeros(N), coarse, rounds=40)
    assert found.stopped_by == "tolerance"
    assert solver.measure(QUERY, found.value).ratio <= 1.0
    assert found.factor < 0.5
    assert all(after < before for before, after in zip(found.residuals, found.residuals[1:], strict=False))
    more = refine(solver, QUERY, np.zeros(N), coarse, rounds=4, directions=4)
    one = refine(solver, QUERY, np.zeros(N), coarse, rounds=4, directions=1)
    assert more.residuals[-1] <= one.residuals[-1] * (1.0 + 1e-12)


@settings(max_examples=40, deadline=None)
@given(seed=st.integers(0, 10**6), size=st.sampled_from([1e-9, 1.0, 1e6]))
def test_whatever_the_correction_says_the_residual_never_grows(seed: int, size: float) -> None:
    random, solver = np.random.default_rng(seed), Poisson()
    start = random.standard_normal(N)
    found = refine(solver, QUERY, start, lambda query, residual: size * random.standard_normal(N), rounds=6)
    assert found.residuals[-1] <= found.residuals[0]
    assert found.residuals[-1] == pytest.approx(np.linalg.norm(solver.residual(QUERY, found.value)), rel=1e-9)


@pytest.mark.parametrize("answer", [0.0, np.nan, np.inf])
def test_a_useless_correction_ends_the_refinement_at_its_start(answer: float) -> None:
    start = np.linspace(0.0, 1.0, N)
    found = refine(Poisson(), QUERY, start, lambda query, residual: np.full(N, answer))
    assert found.stopped_by == "standstill"
    assert np.array_equal(found.value, start)
    assert found.factor == 1.0
    with pytest.raises(BadInputError, match="directions >= 1"):
        refine(Poisson(), QUERY, start, coarse, directions=0)


def test_of_a_nonlinear_problem_only_steps_that_lower_the_residual_are_kept() -> None:
    solver = Poisson(cubic=5.0)
    start = np.full(N, 0.5)
    found = refine(solver, QUERY, start, coarse, rounds=30)
    assert found.residuals[-1] < 0.1 * found.residuals[0]
    assert all(after < before for before, after in zip(found.residuals, found.residuals[1:], strict=False))


def test_as_a_proposer_it_saves_the_solvers_iterations() -> None:
    with cosolve.initial_guess(
        Poisson(cubic=40.0), DefectCorrected(None, coarse, rounds=12), governor=Governor("off")
    ) as guess:
        outcome = guess.solve()
    own = Poisson(cubic=40.0).step(QUERY)
    assert outcome.source.startswith("state_refined")
    assert outcome.solve is not None
    assert outcome.solve.iterations < own.iterations
    assert np.allclose(outcome.value, own.value, rtol=1e-6)
