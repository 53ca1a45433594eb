"""Normalisers: what goes in comes out, and what does not vary is left alone."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from cosolve.plugins.pytorch.layers import Normaliser
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

finite = st.floats(-1e6, 1e6, allow_nan=False, width=32)
tables = hnp.arrays(np.float64, hnp.array_shapes(min_dims=2, max_dims=2, min_side=2, max_side=12), elements=finite)


@given(tables)
def test_inverse_undoes_forward(table: np.ndarray) -> None:
    values = torch.from_numpy(table)
    normaliser = Normaliser(table.shape[1]).fit(values)
    back = normaliser.inverse(normaliser(values))
    assert torch.allclose(back, values, rtol=1e-12, atol=1e-12 * float(values.abs().max()))


@given(tables)
def test_fitted_columns_have_mean_zero_and_deviation_one_or_do_not_vary(table: np.ndarray) -> None:
    values = torch.from_numpy(table)
    normaliser = Normaliser(table.shape[1]).fit(values)
    standard = normaliser(values)
    assert bool((normaliser.scale > 0).all())
    for column in range(table.shape[1]):
        deviation = float(values[:, column].std(unbiased=False))
        size = float(values[:, column].abs().max())
        if deviation > 1e-6 * size and deviation > 1e-30:
            assert float(standard[:, column].mean()) == pytest.approx(0.0, abs=1e-7)
            assert float(standard[:, column].std(unbiased=False)) == pytest.approx(1.0, rel=1e-7)


@given(finite, st.integers(2, 20))
def test_a_constant_is_not_blown_up(value: float, count: int) -> None:
    values = torch.full((count, 1), value, dtype=torch.float64)
    standard = Normaliser(1).fit(values)(values)
    assert float(standard.abs().max()) <= 1e-9 * max(abs(value), 1.0)


@given(tables, st.floats(0.1, 100.0), st.floats(-100.0, 100.0))
def test_units_do_not_matter(table: np.ndarray, factor: float, offset: float) -> None:
    """A standardised feature is the same in metres and in millimetres."""
    values = torch.from_numpy(table)
    spread = values.std(dim=0, unbiased=False)
    if bool((spread < 1e-3 * (values.abs().amax(dim=0) + abs(offset) + 1.0)).any()):
        return
    one = Normaliser(table.shape[1]).fit(values)(values)
    moved = factor * values + offset
    other = Normaliser(table.shape[1]).fit(moved)(moved)
    assert torch.allclose(one, other, atol=1e-6)


def test_channels_of_a_grid_are_normalised_each_by_itself() -> None:
    torch.manual_seed(0)
    values = torch.randn(5, 2, 4, 3, dtype=torch.float64) * torch.tensor([1.0, 100.0]).reshape(1, 2, 1, 1) + 7.0
    standard = Normaliser(2, axis=1).fit(values)(values)
    assert torch.allclose(standard.mean(dim=(0, 2, 3)), torch.zeros(2, dtype=torch.float64), atol=1e-12)
    assert torch.allclose(standard.std(dim=(0, 2, 3), unbiased=False), torch.ones(2, dtype=torch.float64))


def test_shift_and_scale_travel_with_the_weights() -> None:
    values = torch.arange(12.0, dtype=torch.float64).reshape(4, 3) ** 2
    fitted = Normaliser(3).fit(values)
    fresh = Normaliser(3)
    fresh.load_state_dict(fitted.state_dict())
    assert torch.equal(fresh(values), fitted(values))
