"""Classical rivals: exact on the polynomials they claim, least residuals, steps that follow the error."""

import math

import numpy as np
import pytest
from cosolve.core.communicator import SerialCommunicator
from cosolve.core.coupling import CouplingContext
from cosolve.core.errors import BadInputError, PluginError
from cosolve.core.query import Query, Snapshot
from cosolve.core.result import Status
from cosolve.core.solver import ResidualMeasure, Solver, SolveResult
from cosolve.core.trajectory import Trajectory
from cosolve.plugins.baselines.adaptive import AdaptiveStepping
from cosolve.plugins.baselines.extrapolation import (
    LinearExtrapolation,
    Previous,
    QuadraticExtrapolation,
    lagrange_weights,
)
from cosolve.plugins.baselines.nearest_snapshot import NearestSnapshot
from cosolve.plugins.baselines.options import AdaptiveOptions
from cosolve.plugins.baselines.projection import Projection
from cosolve.plugins.baselines.step_control import run_adaptively
from cosolve.testing import SolverContract, StoredSurrogateContract, SurrogateContract
from hypothesis import given, settings
from hypothesis import strategies as st

N = 20


class Decay(Solver):
    """u' = -A u + f(t) with a full symmetric A, by backward Euler or Crank-Nicolson, with a direct solve."""

    name = "decay"

    def __init__(self, order=1, rates=(0.5, 1.0, 40.0), fails_above=math.inf, kick=None):
        self.comm = SerialCommunicator()
        basis = np.linalg.qr(np.random.default_rng(1).standard_normal((N, N)))[0]
        self.a = basis @ np.diag(np.resize(rates, N)) @ basis.T
        self.theta = 1.0 if order == 1 else 0.5
        self.fails_above, self.kick = fails_above, kick
        self.start = np.random.default_rng(2).standard_normal(N)

    @property
    def n_owned(self):
        return N

    def initial_state(self):
        return self.start.copy()

    def rate(self, t):
        return np.zeros(N) if self.kick is None or t <= self.kick else np.full(N, 5.0)

    def right(self, query):
        explicit = (1.0 - self.theta) * query.dt * (self.rate(query.t) - self.a @ query.state)
        return query.state + explicit + self.theta * query.dt * self.rate(query.t_end)

    def matrix(self, query):
        return np.eye(N) + self.theta * query.dt * self.a

    def _step(self, query, x0):
        good = query.dt <= self.fails_above
        x0 = query.state if x0 is None else x0
        done = self.measure(query, x0).ratio <= 1.0
        value = x0.copy() if done else np.linalg.solve(self.matrix(query), self.right(query))
        return SolveResult(value, good, "" if good else "step too large", iterations=0 if done else 1)

    def residual(self, query, candidate):
        return self.matrix(query) @ candidate - self.right(query)

    def measure(self, query, candidate):
        b = np.linalg.norm(self.right(query))
        return ResidualMeasure(
            {"residual": float(np.linalg.norm(self.residual(query, candidate)))}, {"residual": 1e-10 * b}
        )


class TestDecay(SolverContract):
    def make(self):
        return Decay()

    def query(self, solver):
        return Query(solver.initial_state(), 0.0, 0.1)


def polynomial(coefficients, t):
    return sum(np.outer(np.atleast_1d(t) ** k, c) for k, c in enumerate(coefficients))


@given(
    st.integers(0, 2),
    st.lists(st.floats(0.05, 2.0), min_size=4, max_size=4),
    st.integers(0, 2**32 - 1),
)
@settings(max_examples=60, deadline=None)
def test_extrapolation_is_exact_on_polynomials_of_its_degree_with_variable_steps(degree, gaps, seed):
    proposer = (Previous, LinearExtrapolation, QuadraticExtrapolation)[degree]()
    coefficients = np.random.default_rng(seed).standard_normal((degree + 1, 3))
    times = np.cumsum(gaps)
    states = polynomial(coefficients, times)
    history = tuple(Snapshot(times[i], states[i]) for i in (1, 0))
    query = Query(states[2], times[2], times[3] - times[2], history=history)
    proposal = proposer.predict(query)
    assert proposal.source == proposer.name
    assert proposer.is_baseline
    scale = max(1.0, float(np.abs(states).max())) * (1.0 + max(map(abs, lagrange_weights(times[:3], times[3]))))
    assert np.allclose(proposal.value, states[3] if degree else states[2], atol=1e-11 * scale)


def test_extrapolation_falls_to_the_degree_that_the_history_allows():
    state = np.ones(3)
    assert np.array_equal(QuadraticExtrapolation().predict(Query(state, 1.0, 1.0)).value, state)
    one = Query(state, 1.0, 1.0, history=(Snapshot(0.0, np.zeros(3)),))
    assert np.array_equal(QuadraticExtrapolation().predict(one).value, 2.0 * state)
    # A snapshot with the time of a newer state has no place in a polynomial in time.
    twice = Query(state, 1.0, 1.0, history=(Snapshot(1.0, 9.0 * state), Snapshot(0.0, np.zeros(3))))
    assert np.array_equal(LinearExtrapolation().predict(twice).value, 2.0 * state)


class TestQuadratic(SurrogateContract):
    differentiable = True

    def make(self):
        return QuadraticExtrapolation()

    def query(self):
        rng = np.random.default_rng(0)
        history = tuple(Snapshot(t, rng.standard_normal(7).astype(np.float64)) for t in (0.7, 0.2))
        return Query(rng.standard_normal(7), 1.0, 0.4, history=history)


class TestNearest(StoredSurrogateContract):
    differentiable = True

    def make(self):
        surrogate = NearestSnapshot()
        states = np.random.default_rng(0).standard_normal((2, 4, 7))
        times = np.arange(4.0)
        surrogate.fit([Trajectory(times, s, {"k": k}) for k, s in zip((1.0, 100.0), states, strict=True)])
        return surrogate

    def query(self):
        return Query(np.zeros(7), 1.0, 1.0, parameters={"k": 90.0})

    def test_it_finds_the_nearest_in_scaled_parameters_and_time(self):
        expected = np.random.default_rng(0).standard_normal((2, 4, 7))[1, 2]
        prediction = self.make().predict(self.query())
        assert np.array_equal(prediction.value, expected)
        assert prediction.notes["snapshot"] == 6

    def test_it_says_when_it_is_empty(self):
        with pytest.raises(BadInputError, match="no stored states"):
            NearestSnapshot().predict(self.query())


def marched(solver, steps, dt):
    state, history = solver.initial_state(), ()
    for step in range(steps):
        value = solver.step(Query(state, step * dt, dt, step, history=history)).value
        history = (Snapshot(step * dt, state), *history)[:5]
        state = value
    return Query(state, steps * dt, dt, steps, history=history)


@pytest.mark.parametrize("method", ["galerkin", "least_squares"])
def test_projection_solves_a_linear_problem_that_lives_in_its_span(method):
    solver = Decay(rates=(0.5, 1.0, 2.0))
    query = marched(solver, 5, 0.1)
    proposer = Projection(method, window=5)
    proposer.bind(solver)
    prediction = proposer.predict(query)
    # Three rates: the next state lies in the span of three increments and the last state.
    assert solver.measure(query, prediction.value).norms["residual"] <= 1e-6 * prediction.notes["residual_before"]
    before = solver.measure(query, QuadraticExtrapolation().predict(query).value).norms["residual"]
    assert np.isclose(prediction.notes["residual_before"], before)


def test_projection_is_never_worse_than_extrapolation():
    solver = Decay(rates=tuple(np.linspace(0.1, 300.0, N)))
    proposer = Projection("galerkin", window=3)
    proposer.bind(solver)
    for steps in range(6):
        query = marched(solver, steps, 0.05)
        start = solver.measure(query, QuadraticExtrapolation().predict(query).value).ratio
        assert solver.measure(query, proposer.predict(query).value).ratio <= start * (1.0 + 1e-12)


def test_projection_needs_the_values_of_residuals():
    class NormOnly(Decay):
        residual = Solver.residual

    with pytest.raises(PluginError, match="needs the residual's values"):
        Projection().bind(NormOnly())
    with pytest.raises(PluginError, match="before `bind"):
        Projection().predict(Query(np.zeros(N)))
    with pytest.raises(ValueError, match="least_squares"):
        Projection("petrov")


def exact(solver, t):
    values, vectors = np.linalg.eigh(solver.a)
    return vectors @ (np.exp(-values * t) * (vectors.T @ solver.start))


@pytest.mark.parametrize("order", [1, 2])
@pytest.mark.parametrize("estimate", ["embedded", "doubling"])
def test_the_error_follows_the_tolerance(order, estimate):
    solver = Decay(order, rates=(0.5, 1.0, 3.0))
    errors, solves = [], []
    for rtol in (1e-3, 1e-5):
        options = AdaptiveOptions(rtol=rtol, order=order, estimate=estimate)
        run = run_adaptively(solver, solver.initial_state(), (0.0, 2.0, 0.01), options)
        assert run.reached_end
        assert run.t == 2.0
        assert max(run.errors) <= 1.0
        errors.append(solver.norm(run.state - exact(solver, 2.0)))
        solves.append(run.solves)
    # A local error of order p + 1 gives a global one of tolerance^(p / (p + 1)).
    gain = math.log(errors[0] / errors[1]) / math.log(100.0)
    assert 0.6 * order / (order + 1) < gain < 1.6 * order / (order + 1)
    assert solves[1] > 2 * solves[0]


def test_steps_grow_when_the_solution_calms_down_and_shrink_at_a_kick():
    solver = Decay(1, rates=(1.0, 30.0), kick=1.5)
    times = []
    run = run_adaptively(
        solver,
        solver.initial_state(),
        (0.0, 2.0, 1e-3),
        AdaptiveOptions(rtol=1e-3),
        committed=lambda query, value: times.append((query.t, query.dt)),
    )
    assert run.reached_end
    assert run.rejected >= 1
    before = [dt for t, dt in times if 1.0 < t + dt < 1.5]
    after = [dt for t, dt in times if 1.5 <= t < 1.55]
    assert max(before) > 10 * times[0][1]
    assert min(after) < 0.5 * max(before)
    assert len(run.times) == run.steps == len(times)


def test_a_solver_that_fails_on_large_steps_gets_small_ones():
    solver = Decay(1, fails_above=0.05)
    run = run_adaptively(solver, solver.initial_state(), (0.0, 1.0, 0.5), AdaptiveOptions(rtol=0.5))
    assert run.reached_end
    assert run.rejected >= 1


def test_a_run_that_cannot_go_on_says_why():
    solver = Decay(1, fails_above=0.0)
    run = run_adaptively(solver, solver.initial_state(), (0.0, 1.0, 0.5), AdaptiveOptions(dt_min=0.1))
    assert not run.reached_end
    assert "the solver did not converge with the smallest step 0.1" in run.message
    tight = AdaptiveOptions(rtol=1e-9, dt_min=0.5, estimate="doubling")
    assert "the local error is" in run_adaptively(Decay(), Decay().initial_state(), (0.0, 1.0, 0.5), tight).message
    few = run_adaptively(Decay(), Decay().initial_state(), (0.0, 1.0, 1e-3), AdaptiveOptions(max_steps=3))
    assert "used all 3 steps" in few.message


def test_the_coupling_returns_a_result_and_never_raises():
    solver = Decay(1)
    context = CouplingContext(None, solver, (), None, settings=AdaptiveOptions(rtol=1e-2))
    with pytest.raises(BadInputError, match="needs a problem with a time span"):
        AdaptiveStepping(context)
    result = AdaptiveStepping(context, span=(0.0, 1.0, 0.1)).run()
    assert result.ok
    assert result.t == 1.0
    assert result.stats["solves"] >= result.stats["steps"] > 1
    bad = CouplingContext(None, Decay(fails_above=0.0), (), None)
    assert AdaptiveStepping(bad, span=(0.0, 1.0, 0.1)).run().status is Status.NOT_CONVERGED
