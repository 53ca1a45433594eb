"""The Fourier neural operator: any resolution, both precisions, right derivatives, and a known operator learned."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch
from cosolve.core.errors import BadInputError, ModelMismatchError
from cosolve.core.query import Query
from cosolve.plugins.pytorch import FourierNeuralOperator
from cosolve.plugins.pytorch.features import FeatureMap
from cosolve.plugins.pytorch.fit import FitSettings, fit_network, relative_l2
from cosolve.plugins.pytorch.operators.fno import FNOSurrogate, SpectralConvolution
from cosolve.testing import StoredSurrogateContract

DIMENSIONS = [(6,), (4, 3), (2, 3, 2)]


def operator(modes: tuple[int, ...], dtype: torch.dtype = torch.float64, **options: object) -> FourierNeuralOperator:
    torch.manual_seed(0)
    return FourierNeuralOperator(1, 1, modes, width=6, layers=2, dtype=dtype, **options)  # type: ignore[arg-type]  # keywords


def random_field(shape: tuple[int, ...], dtype: torch.dtype = torch.float64) -> torch.Tensor:
    return torch.randn(2, 1, *shape, dtype=dtype, generator=torch.Generator().manual_seed(1))


def periodic(n: int) -> torch.Tensor:
    s = 2.0 * torch.pi * torch.arange(n, dtype=torch.float64) / n
    x, y = torch.meshgrid(s, s, indexing="ij")
    return (torch.sin(x) * torch.cos(2 * y) + 0.5 * torch.cos(3 * x + y))[None, None]


@pytest.mark.parametrize("modes", DIMENSIONS)
@pytest.mark.parametrize("padding", [0.0, 0.25])
def test_derivatives_against_finite_differences_and_autograd(modes: tuple[int, ...], padding: float) -> None:
    net = operator(modes, padding=padding, coordinates=padding > 0.0)
    values = random_field((8,) * len(modes))
    tangent, cotangent = torch.randn_like(values), torch.randn_like(values)
    forward = torch.func.jvp(net, (values,), (tangent,))[1]
    h = 1e-5
    difference = (net(values + h * tangent) - net(values - h * tangent)) / (2 * h)
    assert float((difference - forward).detach().norm()) <= 1e-6 * float(forward.detach().norm())
    backward = torch.func.vjp(net, values)[1](cotangent)[0]
    asked = values.clone().requires_grad_()
    (automatic,) = torch.autograd.grad(net(asked), asked, cotangent)
    assert torch.allclose(backward, automatic, rtol=1e-12, atol=1e-14)
    assert float((cotangent * forward).detach().sum()) == pytest.approx(
        float((backward * tangent).detach().sum()), rel=1e-10, abs=1e-12
    )


@pytest.mark.parametrize("modes", [(5,), (3, 3)])
def test_gradients_by_the_weights_against_finite_differences(modes: tuple[int, ...]) -> None:
    net = operator(modes)
    values = random_field((8,) * len(modes))
    (net(values) ** 2).sum().backward()
    for name, parameter in net.named_parameters():
        assert parameter.grad is not None
        direction = torch.randn(parameter.shape, dtype=parameter.dtype, generator=torch.Generator().manual_seed(2))
        expected, h = float((parameter.grad * direction).sum()), 1e-6
        with torch.no_grad():
            parameter.add_(h * direction)
            ahead = float((net(values) ** 2).sum())
            parameter.sub_(2 * h * direction)
            behind = float((net(values) ** 2).sum())
            parameter.add_(h * direction)
        assert (ahead - behind) / (2 * h) == pytest.approx(expected, rel=1e-6, abs=1e-9), name


@pytest.mark.parametrize("modes", DIMENSIONS)
@pytest.mark.parametrize(("dtype", "tolerance"), [(torch.float32, 1e-5), (torch.float64, 1e-13)])
def test_vmap_and_batches_do_not_matter(modes: tuple[int, ...], dtype: torch.dtype, tolerance: float) -> None:
    net = operator(modes, dtype)
    values = random_field((8,) * len(modes), dtype)
    together = net(values)
    assert together.dtype == dtype
    mapped = torch.vmap(lambda one: net(one[None])[0])(values)
    alone = torch.cat([net(one[None]) for one in values])
    scale = float(together.abs().max().detach())
    assert float((mapped - together).abs().max().detach()) <= tolerance * scale
    assert float((alone - together).abs().max().detach()) <= tolerance * scale


def test_both_precisions_are_the_same_operator() -> None:
    single = operator((4, 3), torch.float32)
    double = operator((4, 3), torch.float64)
    double.load_state_dict({name: tensor.double() for name, tensor in single.state_dict().items()})
    values = random_field((8, 8))
    exact = double(values)
    assert float((single(values.float()).double() - exact).norm()) <= 1e-5 * float(exact.norm())


def test_it_does_not_depend_on_the_resolution() -> None:
    """An untrained operator on a band-limited function: the answers on n and 2n points agree faster than h."""
    net = FourierNeuralOperator(1, 1, (6, 6), width=8, layers=3, dtype=torch.float64)
    for parameter in net.spectral.parameters():
        torch.nn.init.normal_(parameter, std=0.5)
    errors = []
    for n in (16, 32, 64):
        coarse, fine = net(periodic(n)), net(periodic(2 * n))[..., ::2, ::2]
        errors.append(float((coarse - fine).norm() / coarse.norm()))
    assert errors[1] <= 0.5 * errors[0] + 1e-13
    assert errors[2] <= 0.5 * errors[1] + 1e-13
    assert errors[2] <= 1e-9


def test_a_coarse_grid_uses_the_modes_it_has() -> None:
    """Below the Nyquist mode the convolution is the same on every grid, and the mean's mode is one matrix product."""
    torch.manual_seed(0)
    convolution = SpectralConvolution(2, 3, (5, 5), torch.float64)
    for shape in ((4, 4), (5, 5), (7, 6), (32, 20)):
        constant = torch.tensor([1.0, -2.0], dtype=torch.float64).reshape(1, 2, 1, 1).expand(1, 2, *shape)
        out = convolution(constant)
        expected = constant[0, :, 0, 0] @ convolution.weight[:, :, 0, 0, 0]
        assert torch.allclose(out, expected.reshape(1, 3, 1, 1).expand(1, 3, *shape), atol=1e-13)


def test_it_is_linear_in_the_field_and_commutes_with_translations() -> None:
    torch.manual_seed(0)
    convolution = SpectralConvolution(1, 1, (4, 4), torch.float64)
    x, y = random_field((12, 12)), random_field((12, 12)).flip(0)
    assert torch.allclose(convolution(x + 3.0 * y), convolution(x) + 3.0 * convolution(y), atol=1e-12)
    assert torch.allclose(convolution(x.roll((3, 5), (2, 3))), convolution(x).roll((3, 5), (2, 3)), atol=1e-12)
    net = operator((4, 4))
    assert torch.allclose(net(x.roll(5, 2)), net(x).roll(5, 2), atol=1e-12)


def heat_pairs(count: int, n: int, seed: int) -> tuple[torch.Tensor, torch.Tensor]:
    """Periodic functions and what the heat equation makes of them in a time of 0.05."""
    generator = torch.Generator().manual_seed(seed)
    k = torch.arange(1, 6, dtype=torch.float64)
    amplitudes = torch.randn(count, 2, 5, generator=generator, dtype=torch.float64) / k
    s = 2.0 * torch.pi * torch.arange(n, dtype=torch.float64) / n
    waves = torch.stack([torch.sin(torch.outer(k, s)), torch.cos(torch.outer(k, s))])
    decayed = amplitudes * torch.exp(-0.05 * k**2)
    start, end = (torch.einsum("bck,ckn->bn", a, waves)[:, None] for a in (amplitudes, decayed))
    return start, end


def test_it_learns_the_heat_semigroup_and_keeps_it_on_a_finer_grid() -> None:
    torch.manual_seed(0)
    net = FourierNeuralOperator(1, 1, (8,), width=12, layers=2, dtype=torch.float64)
    training, validation = heat_pairs(96, 32, 1), heat_pairs(24, 32, 2)
    settings = FitSettings(epochs=120, batch=24, learning_rate=1e-2, patience=12, seconds=40.0)
    fit_network(net, training, validation, settings, loss=relative_l2)
    errors = {}
    for n in (32, 64):
        start, end = heat_pairs(40, n, 3)
        with torch.no_grad():
            errors[n] = float(relative_l2(net(start), end))
            untouched = float(relative_l2(start, end))
    assert errors[32] <= 0.02
    assert errors[64] <= 1.4 * errors[32]
    assert untouched >= 5.0 * errors[32]


# As a surrogate
LINE = np.arange(16)[:, None] / 16.0


def make(dtype: torch.dtype = torch.float64, *, residual: bool = True) -> FNOSurrogate:
    torch.manual_seed(0)
    features = FeatureMap((("rate", 1),), time=False)
    low, high = np.array([0.0]), np.array([15.0 / 16.0])
    return FNOSurrogate.build(features, low, high, modes=[4], width=6, layers=2, dtype=dtype, residual=residual)


class TestContract(StoredSurrogateContract):
    differentiable = True
    finite_difference_rtol = 1e-6

    def make(self) -> FNOSurrogate:
        surrogate = make()
        surrogate.place(LINE)
        return surrogate

    def query(self) -> Query:
        return Query(np.sin(2 * np.pi * LINE[:, 0]), dt=0.1, parameters={"rate": 0.5})

    def test_file_round_trip_gives_the_same_answer(self) -> None:
        surrogate, query = self.make(), self.query()
        again = FNOSurrogate.from_file(surrogate.tensors(), surrogate.settings())
        again.place(LINE)
        assert np.array_equal(again.predict(query).value, surrogate.predict(query).value)


@pytest.mark.parametrize("residual", [True, False])
def test_the_numbering_does_not_matter_and_copies_are_counted(residual: bool) -> None:
    surrogate, query = make(torch.float32, residual=residual), TestContract().query()
    surrogate.place(LINE)
    expected = surrogate.predict(query)
    assert expected.notes["copies"] == 2
    assert expected.value.dtype == np.float64
    order = np.random.default_rng(0).permutation(16)
    surrogate.place(LINE[order])
    shuffled = surrogate.predict(replace(query, state=query.state[order])).value
    assert np.array_equal(shuffled, expected.value[order])


@pytest.mark.parametrize(
    ("points", "sentence"),
    [
        (lambda: np.random.default_rng(0).uniform(size=(9, 1)) ** 2, "needs an even grid"),
        (lambda: np.concatenate([LINE, LINE]), "needs a regular grid, the problem's 32 values live on 16"),
        (lambda: 2.0 * LINE, r"was trained on \[0, 0\.9375\] in coordinate 0, the problem has \[0, 1\.875\]"),
    ],
)
def test_what_is_no_grid_of_training_is_refused(points: Callable[[], np.ndarray], sentence: str) -> None:
    with pytest.raises(ModelMismatchError, match=sentence):
        make().place(points())


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        ({"operator": {"width": 10**7}}, "the settings ask for sizes"),
        ({"operator": {"modes": [10**9]}}, "the settings ask for sizes"),
        ({"dtype": "complex128"}, "unknown precision 'complex128'"),
        ({"operator": {"layers": 3}}, "is missing"),
        ({"dtype": "float32"}, r"float64, expected .* in float32"),
    ],
)
def test_settings_that_lie_are_refused(change: dict[str, Any], sentence: str) -> None:
    surrogate = make()
    settings = dict(surrogate.settings())
    operator = {**settings["operator"], **change.get("operator", {})}
    with pytest.raises(BadInputError, match=sentence):
        FNOSurrogate.from_file(surrogate.tensors(), {**settings, **change, "operator": operator})
