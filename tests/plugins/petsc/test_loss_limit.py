"""What a learned preconditioner may lose, by hand-made norms and work."""

from __future__ import annotations

import pytest
from cosolve.plugins.petsc.loss_limit import LossLimit, Prices
from hypothesis import given
from hypothesis import strategies as st


def limit(base: float | None = 100.0, shared: float = 0.0) -> LossLimit:
    return LossLimit(base, shared, share=0.2, patience=5, first=1.0, tolerance=1e-8)


def test_what_makes_no_progress_ends_at_the_share() -> None:
    watched = limit()
    assert watched.begin(0.0) == ""
    assert watched.stops(19.0, 0.99) == ""
    assert "0% of the way took 21%" in watched.stops(21.0, 0.99)


def test_what_would_finish_first_goes_on_and_a_slow_start_is_forgiven() -> None:
    watched = limit()
    assert watched.begin(10.0) == ""
    assert watched.stops(30.0, 1e-2) == ""  # a quarter of the way, at 40 % of the work
    assert watched.stops(60.0, 1e-5) == ""
    assert watched.stops(89.0, 1e-7) == ""
    assert watched.stops(91.0, 1e-7) != "", "never longer than the base method"


def test_a_dear_preparation_is_not_begun_with() -> None:
    assert "the preparation took 81 of work" in limit().begin(81.0)
    assert limit().begin(79.0) == ""
    assert limit(shared=50.0).begin(45.0) != "", "the set-up is paid by both"


def test_without_a_reference_it_waits_for_some_iterations() -> None:
    watched = limit(base=None)
    assert not watched.is_too_dear(1e9)
    assert [watched.stops(1e9, 1.0) == "" for _ in range(6)] == [True] * 5 + [False]
    assert "not finite" in watched.stops(0.0, float("nan"))


@given(st.floats(0.0, 80.0), st.lists(st.tuples(st.floats(0.0, 50.0), st.floats(1e-12, 1.0)), max_size=40))
def test_the_loss_is_never_above_a_base_solve_and_an_iteration(
    prepared: float, steps: list[tuple[float, float]]
) -> None:
    watched, spent, largest = limit(), 0.0, 0.0
    if watched.begin(prepared):
        return
    for work, norm in steps:
        spent += work
        largest = max(largest, work)
        if watched.stops(spent, norm) or norm <= 1e-8:
            break
        assert prepared + spent <= 100.0 + largest


def test_prices_are_medians_of_what_was_measured_unless_they_are_fixed() -> None:
    prices = Prices({"fixed": 3.0})
    assert prices.of("iteration", 7.0) == 7.0
    for seconds in (10.0, 20.0, 400.0):
        prices.add("iteration", seconds, 10)
        prices.add("fixed", seconds)
    prices.add("iteration", 5.0, 0)
    assert prices.of("iteration") == pytest.approx(2.0)
    assert prices.of("fixed") == 3.0
