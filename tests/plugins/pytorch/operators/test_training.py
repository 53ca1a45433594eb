"""The recipe for data from anywhere: any size, scaled inside, periodic or not, and it learns in a budget."""

from __future__ import annotations

import math

import pytest
import torch
from cosolve.core.errors import BadInputError, NotConvergedError
from cosolve.plugins.pytorch.operators.presets import SYSTEMS, count_of, regressor
from cosolve.plugins.pytorch.operators.regression import FieldScaling, continued, interpolated, looks_periodic
from cosolve.plugins.pytorch.operators.training import OperatorFit, fit_operator, relative_errors, schedule
from torch import Tensor


def waves(count: int, n: int, m: int, seed: int = 0, *, periodic: bool = True) -> Tensor:
    generator = torch.Generator().manual_seed(seed)
    size = 1.0 if periodic else 0.6
    x, y = torch.meshgrid(torch.arange(n) / n, torch.arange(m) / m, indexing="ij")
    amplitudes = torch.randn(count, 6, generator=generator)
    phases = [size * 2 * torch.pi * (i * x + j * y) for i, j in ((1, 0), (0, 1), (1, 1))]
    basis = torch.stack([part for phase in phases for part in (phase.sin(), phase.cos())])
    return torch.einsum("bk,knm->bnm", amplitudes, basis)[:, None]


@pytest.mark.parametrize("name", SYSTEMS)
@pytest.mark.parametrize("shape", [(9, 14), (16, 16)])
def test_any_size_goes_in_and_comes_out(name: str, shape: tuple[int, int]) -> None:
    x = waves(3, *shape)
    for periodic in (False, True):
        model = regressor(name, shape, 1, 2, parameters=4000, periodic=periodic)
        model.fit_scaling(x, x.expand(-1, 2, -1, -1))
        assert model(x).shape == (3, 2, *shape)
        # A grid of another size is answered, too.
        assert model(waves(1, 21, 18)).shape == (1, 2, 21, 18)


@pytest.mark.parametrize(("name", "shape"), [("fno", (40,)), ("unet", (33,)), ("local_operator", (6, 5, 7))])
def test_one_and_three_dimensions(name: str, shape: tuple[int, ...]) -> None:
    model = regressor(name, shape, 2, 1, parameters=3000)
    assert model(torch.randn(2, 2, *shape)).shape == (2, 1, *shape)


def test_sizes_are_as_near_as_the_width_allows() -> None:
    for name in SYSTEMS:
        for wanted in (20_000, 300_000):
            count = count_of(regressor(name, (32, 32), 1, 1, parameters=wanted).operator)
            assert 0.8 * wanted <= count <= 1.25 * wanted, (name, count)
    with pytest.raises(BadInputError, match="works on grids of two dimensions, found 1"):
        regressor("mgno", (32,), 1, 1)
    with pytest.raises(BadInputError, match="did you mean 'unet'"):
        regressor("u-net", (32, 32), 1, 1)


def test_a_field_that_is_zero_on_the_boundary_stays_zero_there() -> None:
    inside = torch.zeros(8, 8)
    inside[1:-1, 1:-1] = 1.0
    y = (3.0 + torch.randn(50, 1, 1, 1)) * inside
    scaling = FieldScaling(1, (8, 8)).fit(y)
    answer = scaling.inverse(torch.randn(4, 1, 8, 8))
    assert torch.equal(answer[..., 0, :], torch.zeros(4, 1, 8))
    assert float(answer[..., 1:-1, 1:-1].abs().min()) > 0.0
    flat = FieldScaling(1, (8, 8)).fit(waves(50, 8, 8))
    assert float(flat.scale.max() - flat.scale.min()) == 0.0, "what has no structure is scaled by one number"
    constant = FieldScaling(2, (8,)).fit(torch.full((12, 2, 8), 5.0))
    assert torch.equal(constant.inverse(torch.zeros(1, 2, 8)), torch.full((1, 2, 8), 5.0))


def test_linear_fields_are_interpolated_exactly_up_to_the_boundary() -> None:
    def line(n: int, m: int) -> Tensor:
        x, y = (torch.arange(n) + 0.5) / n, (torch.arange(m) + 0.5) / m
        return (x[:, None] + 2.0 * y)[None]

    for shape in ((16, 10), (5, 7), (8, 5)):
        assert torch.allclose(interpolated(line(8, 5), shape), line(*shape), atol=1e-6)
    assert interpolated(torch.ones(2, 1, 4), (3, 4)).shape == (2, 3, 4)


def test_periodic_fields_are_told_from_others() -> None:
    assert looks_periodic(waves(5, 24, 20))
    assert not looks_periodic(waves(5, 24, 20, periodic=False))
    s = torch.arange(20) / 19
    bump = (torch.sin(torch.pi * s)[:, None] * torch.sin(torch.pi * s))[None, None]
    assert not looks_periodic(bump), "zero on the boundary is no period"
    assert continued((33, 50), 0.0, 8) == (40, 56)
    assert continued((64,), 0.1, 2) == (70,)


def test_it_learns_in_its_budget_and_the_seed_decides() -> None:
    x = waves(60, 12, 10, periodic=False)
    y = 100.0 + 5.0 * x.cumsum(dim=2) / 12
    # Epochs decide, not the clock: then the same seed gives the same weights.
    fit = OperatorFit(seconds=math.inf, epochs=20, learning_rate=1e-2)
    models = [regressor("fno", (12, 10), 1, 1, parameters=6000, seed=1) for _ in range(2)]
    results = [fit_operator(model, x[:50], y[:50], fit) for model in models]
    assert results[0].validation_error == results[1].validation_error
    assert all(torch.equal(a, b) for a, b in zip(models[0].parameters(), models[1].parameters(), strict=True))
    with torch.no_grad():
        error = float((models[0](x[50:]) - y[50:]).norm() / (y[50:] - 100.0).norm())
    assert error < 0.3
    assert results[0].epochs == 20
    short = fit_operator(models[0], x[:50], y[:50], OperatorFit(seconds=0.2, epochs=10**6, learning_rate=1e-3))
    assert 0.0 < short.seconds < 5.0
    assert len(short.curve) >= 1


def test_a_learning_rate_is_found_and_divergence_is_told() -> None:
    x = waves(24, 8, 8)
    model = regressor("unet", (8, 8), 1, 1, parameters=2000)
    found = fit_operator(model, x, x, OperatorFit(seconds=1.0))
    assert found.learning_rate in (1e-3, 3e-3, 1e-2)
    with pytest.raises(NotConvergedError, match=r"with each learning rate .* try"):
        fit_operator(model, x, x, OperatorFit(seconds=1.0, learning_rate=1e30, clip=1e30))
    assert all(bool(parameter.isfinite().all()) for parameter in model.parameters()), "the last good weights are kept"
    with pytest.raises(BadInputError, match="at least 10 training samples, found 4"):
        fit_operator(model, x[:4], x[:4], OperatorFit())
    x[0, 0, 0, 0] = torch.inf
    with pytest.raises(NotConvergedError, match="cannot start"):
        fit_operator(model, x, x, OperatorFit(seconds=1.0))


def test_errors_are_relative_by_channel_and_the_schedule_ends_at_zero() -> None:
    true = torch.tensor([[[3.0, 4.0], [0.0, 0.0]]])
    found = torch.tensor([[[3.0, 4.5], [0.1, 0.0]]])
    errors = relative_errors(found, true, torch.tensor([1e-3, 0.2]))
    assert torch.allclose(errors, torch.tensor([[0.1, 0.5]]))
    assert schedule(0.0) == pytest.approx(0.1)
    assert schedule(0.05) == pytest.approx(1.0)
    assert schedule(1.0) == pytest.approx(0.0, abs=1e-12)
