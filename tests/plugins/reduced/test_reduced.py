"""Reduced surrogates: exact where the data are in their class, exact derivatives, one model for every grid."""

import numpy as np
import pytest
from cosolve.core.errors import BadInputError, ModelMismatchError
from cosolve.core.query import Query
from cosolve.core.trajectory import Trajectory
from cosolve.plugins.reduced.dmd import Dmd
from cosolve.plugins.reduced.options import PodRidgeFit
from cosolve.plugins.reduced.pod import pod
from cosolve.plugins.reduced.pod_ridge import Inputs, PodRidge
from cosolve.plugins.reduced.polynomials import Polynomials
from cosolve.plugins.reduced.transforms import Cosine, Identity, transform_from
from cosolve.testing import StoredSurrogateContract

N, DT = 12, 0.1


def quadratic_runs(count=30, steps=6, seed=0):
    """Runs of a quadratic map on three modes, with a parameter and a schedule."""
    rng = np.random.default_rng(seed)
    modes = np.linalg.qr(np.random.default_rng(1).standard_normal((N, 3)))[0].T
    runs = []
    for _ in range(count):
        k, q = rng.uniform(0.5, 1.5), rng.uniform(-1.0, 1.0, (steps, 2))
        a = rng.standard_normal(3)
        states = [a @ modes]
        for step in range(steps):
            a = np.array([0.8 * a[0] + 0.1 * k * a[1], 0.7 * a[1] + q[step, 0], 0.5 * a[2] + 0.2 * a[0] * q[step, 1]])
            states.append(a @ modes)
        runs.append(Trajectory(DT * np.arange(steps + 1), np.array(states), {"k": k, "q": q}))
    return runs


def fitted(**options):
    surrogate = PodRidge(Inputs(("k",), (("q", 2),), DT), Identity(), DT)
    values = {"modes_in": 3, "modes_out": 3, "leading": (6,), "ridge": 1e-14} | options
    return surrogate, surrogate.fit(quadratic_runs(), **values)


def questions(runs):
    for run in runs:
        for step in range(len(run.times) - 1):
            yield Query(run.states[step], run.times[step], DT, step, parameters=run.parameters), run.states[step + 1]


def test_a_quadratic_map_on_three_modes_is_learnt_exactly():
    surrogate, figures = fitted()
    assert figures["rms_relative_error"] < 1e-6
    for query, expected in questions(quadratic_runs(3, seed=9)):
        # float32 weights, so seven digits
        assert np.linalg.norm(surrogate.predict(query).value - expected) <= 1e-5 * max(np.linalg.norm(expected), 1.0)


def test_without_products_it_is_not():
    _, figures = fitted(leading=())
    assert figures["rms_relative_error"] > 1e-2


def test_another_step_takes_its_share_of_the_trained_one():
    surrogate, _ = fitted()
    query, _ = next(questions(quadratic_runs(1, seed=9)))
    whole = surrogate.predict(query).value
    half = surrogate.predict(Query(query.state, query.t, DT / 2, parameters=query.parameters))
    # The middle of the half step lies in the same interval of the schedule.
    assert np.allclose(half.value, 0.5 * (whole + query.state))
    assert half.notes == {"trained_step": False}


def test_one_model_serves_every_grid():
    def smooth(n, phase):
        x = (np.arange(n) + 0.5) / n
        return (np.outer(np.cos(np.pi * x), 1.0 + phase * np.cos(2 * np.pi * x)) + phase).ravel()

    runs = []
    for seed in range(12):
        phases = np.cumprod([1.0 + 0.1 * seed, *([0.9] * 5)])
        runs.append(Trajectory(DT * np.arange(6), np.array([smooth(16, p) for p in phases])))
    surrogate = PodRidge(Inputs(), Cosine(6), DT)
    surrogate.fit(runs, modes_in=2, modes_out=2, leading=(), ridge=1e-14, stiffness=0.1)
    for n in (8, 16, 64):
        proposed = surrogate.predict(Query(smooth(n, 1.3), 0.0, DT)).value
        assert np.allclose(proposed, smooth(n, 1.3 * 0.9), atol=1e-5)
    with pytest.raises(ModelMismatchError, match="needs a square grid, found 63"):
        surrogate.predict(Query(np.zeros(63), 0.0, DT))
    with pytest.raises(ModelMismatchError, match="cannot carry 6 cosines"):
        surrogate.predict(Query(np.zeros(16), 0.0, DT))


def test_cosine_transforms_are_inverse_on_smooth_functions_and_transposed():
    rng, cosine = np.random.default_rng(0), Cosine(5)
    coefficients = rng.standard_normal(25)
    for n in (8, 32):
        assert np.allclose(cosine.forward(cosine.backward(coefficients, n * n)), coefficients)
        u = rng.standard_normal(n * n)
        assert np.isclose(cosine.forward(u) @ coefficients, u @ cosine.forward_transposed(coefficients, n * n))
        assert np.isclose(cosine.backward(coefficients, n * n) @ u, coefficients @ cosine.backward_transposed(u))
    many = rng.standard_normal((3, 64))
    assert np.allclose(cosine.forward(many)[1], cosine.forward(many[1]))


def test_pod_finds_the_modes_and_their_energy():
    rng = np.random.default_rng(0)
    modes = np.linalg.qr(rng.standard_normal((30, 2)))[0].T
    for count in (10, 100):
        snapshots = rng.standard_normal((count, 2)) * [3.0, 0.1] @ modes
        found, shares = pod(snapshots, 5)
        assert found.shape == (2, 30)
        assert np.allclose(found @ found.T, np.eye(2), atol=1e-12)
        assert np.allclose(snapshots @ found.T @ found, snapshots, atol=1e-10)
        assert np.isclose(shares.sum(), 1.0)
        assert shares[0] > 0.9
    with pytest.raises(BadInputError, match="all of them are the same"):
        pod(np.zeros((3, 4)), 2)
    with pytest.raises(BadInputError, match="at least one snapshot"):
        pod(np.zeros((0, 4)), 2)


def test_polynomials_count_and_differentiate():
    features = Polynomials(4, (4, 3, 2))
    x = np.random.default_rng(0).standard_normal(4)
    assert features.n_features == 1 + 4 + 10 + 10 + 5 == len(features.evaluate(x))
    tangent = np.random.default_rng(1).standard_normal(4)
    numeric = (features.evaluate(x + 1e-6 * tangent) - features.evaluate(x - 1e-6 * tangent)) / 2e-6
    assert np.allclose(features.jvp(x, tangent), numeric, atol=1e-7)
    cotangent = np.random.default_rng(2).standard_normal(features.n_features)
    assert np.isclose(cotangent @ features.jvp(x, tangent), features.vjp(x, cotangent) @ tangent)
    with pytest.raises(BadInputError, match="must lie between 0 and the 4 inputs"):
        Polynomials(4, (5,))


@pytest.mark.parametrize("share", [1.0, 0.5, 2.0])
def test_dmd_is_exact_on_linear_dynamics_for_every_step(share):
    # Three decaying modes with a steady part: the affine map is linear in homogeneous coordinates.
    rng = np.random.default_rng(0)
    modes = np.linalg.qr(rng.standard_normal((N, 3)))[0].T
    rates, steady = np.array([0.5, 1.0, 2.0]), rng.standard_normal(N)
    times = DT * np.arange(8)
    runs = [
        Trajectory(times, (a * np.exp(-np.outer(times, rates))) @ modes + steady) for a in rng.standard_normal((5, 3))
    ]
    surrogate = Dmd(Identity(), DT)
    figures = surrogate.fit(runs, modes=3)
    assert figures["rms_relative_error"] < 1e-10
    state = runs[0].states[2]
    expected = (modes @ (state - steady) * np.exp(-rates * share * DT)) @ modes + steady
    assert np.allclose(surrogate.predict(Query(state, 0.0, share * DT)).value, expected, atol=1e-8)


def test_bad_data_and_files_are_named():
    surrogate = PodRidge(Inputs(("k",)), Identity(), DT)
    with pytest.raises(BadInputError, match="not trained yet"):
        surrogate.predict(Query(np.zeros(N)))
    with pytest.raises(BadInputError, match="not trained yet"):
        surrogate.tensors()
    with pytest.raises(BadInputError, match=r"steps from 0\.2 to 0\.2, expected 0\.1"):
        surrogate.fit([Trajectory(0.2 * np.arange(3), np.zeros((3, N)), {"k": 1.0})])
    with pytest.raises(BadInputError, match="reads the parameter 'k', the query has none"):
        surrogate.fit([Trajectory(DT * np.arange(3), np.zeros((3, N)))])
    with pytest.raises(BadInputError, match="skip fewer steps"):
        surrogate.fit([Trajectory(DT * np.arange(3), np.zeros((3, N)), {"k": 1.0})], skip=2)
    with pytest.raises(BadInputError, match="needs the cosine transform"):
        surrogate.fit(quadratic_runs(2), stiffness=1.0)
    with pytest.raises(ValueError, match="must not be negative"):
        PodRidgeFit(leading=(-1,))
    good, _ = fitted()
    tensors = dict(good.tensors())
    with pytest.raises(BadInputError, match="tensor 'weights' of pod_ridge is missing"):
        PodRidge.from_file({k: v for k, v in tensors.items() if k != "weights"}, good.settings())
    with pytest.raises(BadInputError, match=r"tensor 'spread' of pod_ridge has shape \(5,\), expected \(6,\)"):
        PodRidge.from_file(tensors | {"spread": np.ones(5)}, good.settings())
    with pytest.raises(BadInputError, match="expected kind 'identity'"):
        transform_from({"kind": "wavelet"})
    with pytest.raises(ModelMismatchError, match="the modes have 12 values, the state has 13"):
        good.predict(Query(np.zeros(13), 0.0, DT, parameters={"k": 1.0, "q": np.zeros((6, 2))}))


class TestPodRidge(StoredSurrogateContract):
    differentiable = True

    def make(self):
        return fitted()[0]

    def query(self):
        return next(questions(quadratic_runs(1, seed=5)))[0]


class TestPodRidgeOnAnotherStep(TestPodRidge):
    def query(self):
        query = super().query()
        return Query(query.state, query.t, 0.6 * DT, parameters=query.parameters)


class TestPodRidgeOnCosines(StoredSurrogateContract):
    differentiable = True

    def make(self):
        rng = np.random.default_rng(0)
        runs = [Trajectory(DT * np.arange(5), rng.standard_normal((5, 64)), {"k": rng.random()}) for _ in range(6)]
        surrogate = PodRidge(Inputs(("k",)), Cosine(4), DT)
        surrogate.fit(runs, modes_in=4, modes_out=5, leading=(4, 3), ridge=1e-3, stiffness=0.1)
        return surrogate

    def query(self):
        return Query(np.random.default_rng(3).standard_normal(64), 0.0, DT, parameters={"k": 0.4})


class TestDmd(StoredSurrogateContract):
    differentiable = True

    def make(self):
        surrogate = Dmd(Identity(), DT)
        surrogate.fit(quadratic_runs(), modes=3)
        return surrogate

    def query(self):
        return next(questions(quadratic_runs(1, seed=5)))[0]
