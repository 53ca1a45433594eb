"""DeepONet: learns the antiderivative, answers at any points alike, has derivatives by the point."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from cosolve.core.errors import BadInputError, ModelMismatchError
from cosolve.core.query import Query
from cosolve.plugins.pytorch import DeepONet
from cosolve.plugins.pytorch.deeponet_surrogate import DeepONetSurrogate
from cosolve.plugins.pytorch.features import FeatureMap
from cosolve.plugins.pytorch.fit import FitSettings, fit_network
from cosolve.testing import StoredSurrogateContract

SENSORS = np.linspace(0.0, 1.0, 100)


def functions(count: int, seed: int) -> tuple[torch.Tensor, torch.Tensor]:
    """Draws of a Gaussian random field with correlation length 0.2 and their antiderivatives, both at the sensors."""
    distance = SENSORS[:, None] - SENSORS[None, :]
    values, vectors = np.linalg.eigh(np.exp(-(distance**2) / (2 * 0.2**2)))
    # The symmetric root: eigenvectors have no sign of their own, and draws must not depend on it.
    factor = (vectors * np.sqrt(np.maximum(values, 0.0))) @ vectors.T
    drawn = np.random.default_rng(seed).standard_normal((count, len(SENSORS))) @ factor
    h = SENSORS[1]
    primitive = np.concatenate(
        [np.zeros((count, 1)), np.cumsum(0.5 * h * (drawn[:, 1:] + drawn[:, :-1]), axis=1)], axis=1
    )
    return torch.from_numpy(drawn), torch.from_numpy(primitive)


def test_it_learns_the_antiderivative_from_150_functions() -> None:
    """A mean square error below 1e-4 on unseen functions, as its authors' first example."""
    torch.manual_seed(0)
    net = DeepONet(100, 1, width=40, depth=2, terms=40)
    training, validation, test = functions(150, 1), functions(30, 2), functions(200, 3)
    points = torch.from_numpy(SENSORS[:, None])
    net.fit_normalisers(training[0], points, training[1])
    settings = FitSettings(epochs=4000, batch=50, learning_rate=5e-3, patience=80, seconds=60.0)
    fit_network(net, training, validation, settings, forward=lambda values: net(values, points))
    with torch.no_grad():
        error = float(((net(test[0], points) - test[1]) ** 2).mean())
    assert error < 1e-4
    assert float((test[1] ** 2).mean()) > 1e-2


def untrained(dtype: torch.dtype = torch.float64) -> DeepONet:
    torch.manual_seed(0)
    return DeepONet(5, 2, width=12, depth=2, terms=6, dtype=dtype)


@pytest.mark.parametrize(("dtype", "tolerance"), [(torch.float32, 1e-6), (torch.float64, 1e-15)])
def test_an_answer_does_not_depend_on_the_other_points_or_functions(dtype: torch.dtype, tolerance: float) -> None:
    net = untrained(dtype)
    values, points = torch.randn(4, 5, dtype=dtype), torch.rand(50, 2, dtype=dtype)
    with torch.no_grad():
        whole = net(values, points)
        order = torch.randperm(50)
        pieces = torch.cat([net(values, part) for part in points[order].split(7)], dim=1)
        single = torch.cat([net(one[None], points) for one in values])
    assert float((pieces - whole[:, order]).abs().max()) <= tolerance * 10
    assert float((single - whole).abs().max()) <= tolerance * 10


def test_derivatives_by_the_point_and_by_the_function() -> None:
    net = untrained()
    values, point, h = torch.randn(1, 5, dtype=torch.float64), torch.rand(1, 2, dtype=torch.float64), 1e-5
    gradient = torch.func.jacrev(lambda y: net(values, y)[0, 0])(point)[0]
    for axis in range(2):
        step = torch.zeros_like(point)
        step[0, axis] = h
        difference = float((net(values, point + step) - net(values, point - step)).detach()) / (2 * h)
        assert float(gradient[axis].detach()) == pytest.approx(difference, rel=1e-6, abs=1e-9)
    tangent = torch.randn_like(values)
    forward = torch.func.jvp(lambda v: net(v, point), (values,), (tangent,))[1]
    difference = (net(values + h * tangent, point) - net(values - h * tangent, point)) / (2 * h)
    assert float((forward - difference).norm()) <= 1e-6 * float(forward.norm())
    mapped = torch.vmap(lambda v: net(v[None], point)[0])(torch.cat([values, tangent]))
    assert torch.allclose(mapped, net(torch.cat([values, tangent]), point), rtol=1e-13)


# As a surrogate
NODES = np.linspace(0.0, 1.0, 13)[:, None]


def make(dtype: torch.dtype = torch.float64, *, residual: bool = True, reach: float = 1e-6) -> DeepONetSurrogate:
    torch.manual_seed(0)
    model = DeepONet(5, 1, width=8, depth=1, terms=4, dtype=dtype)
    return DeepONetSurrogate(model, NODES[::4], FeatureMap((("rate", 1),), time=False), residual=residual, reach=reach)


class TestContract(StoredSurrogateContract):
    differentiable = True
    finite_difference_rtol = 1e-6

    def make(self) -> DeepONetSurrogate:
        surrogate = make()
        surrogate.place(NODES)
        return surrogate

    def query(self) -> Query:
        return Query(np.cos(3.0 * NODES[:, 0]), dt=0.1, parameters={"rate": 0.5})

    def test_file_round_trip_gives_the_same_answer(self) -> None:
        surrogate, query = self.make(), self.query()
        again = DeepONetSurrogate.from_file(surrogate.tensors(), surrogate.settings())
        again.place(NODES)
        assert np.array_equal(again.predict(query).value, surrogate.predict(query).value)


@pytest.mark.parametrize("residual", [True, False])
def test_finer_meshes_and_other_numberings_get_the_same_values(residual: bool) -> None:
    surrogate, query = make(residual=residual), TestContract().query()
    surrogate.place(NODES)
    coarse = surrogate.predict(query).value
    fine = np.linspace(0.0, 1.0, 49)[:, None]
    order = np.random.default_rng(0).permutation(49)
    surrogate.place(fine[order])
    value = surrogate.predict(replace(query, state=np.cos(3.0 * fine[order, 0]))).value
    back = np.empty(49)
    back[order] = value
    assert np.allclose(back[::4], coarse, rtol=1e-13, atol=1e-13)


def test_a_mesh_without_a_value_near_a_sensor_is_refused() -> None:
    with pytest.raises(ModelMismatchError, match=r"reads the state at \[0\.666.*\], the nearest value is 0\.0333 away"):
        make().place(np.linspace(0.0, 1.0, 11)[:, None])
    make(reach=0.05).place(np.linspace(0.0, 1.0, 11)[:, None])


def test_misuse_is_a_sentence() -> None:
    with pytest.raises(BadInputError, match="takes 5 values, 3 sensors and 1 features are given"):
        DeepONetSurrogate(DeepONet(5, 1), NODES[:3], FeatureMap((("rate", 1),), time=False))
    surrogate = make()
    with pytest.raises(BadInputError, match="the settings ask for sizes"):
        DeepONetSurrogate.from_file(
            surrogate.tensors(), {**surrogate.settings(), "sizes": {**surrogate.model.sizes, "width": 10**9}}
        )
