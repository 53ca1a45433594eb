"""The cards' tests: exact properties in every run, what must be learnt in the slow ones."""

from __future__ import annotations

import math

import pytest
from cosolve.core.errors import BadInputError
from cosolve.examples.operators.cards.card import Part
from cosolve.examples.operators.cards_bench import CARDS, bench, card
from cosolve.examples.operators.options import CardsOptions

EXACT = ("mgno", "residual_dmd", "delta_refinement", "lion", "lora")


@pytest.mark.parametrize("name", EXACT)
def test_exact_cards_pass(name: str) -> None:
    failed = [part for part in card(name)(11, True) if not part.passed]
    assert not failed


UNMET = ("unet", "sinenet", "hydra")
"""Cards whose bar is missed on some seed, as the bench's page shows: what they measure is tested, not what it is."""


@pytest.mark.slow
@pytest.mark.parametrize("name", UNMET)
def test_cards_that_miss_their_bar_are_measured_all_the_same(name: str) -> None:
    parts = card(name)(11, True)
    assert parts
    assert all(math.isfinite(part.value) for part in parts)


@pytest.mark.slow
@pytest.mark.parametrize("name", sorted(set(CARDS) - set(EXACT) - set(UNMET)))
def test_learnt_cards_pass(name: str) -> None:
    failed = [part for part in card(name)(11, True) if not part.passed]
    assert not failed


def test_the_bench_counts_a_card_as_passed_only_on_every_seed() -> None:
    report = bench(quick=True, seed=4, options=CardsOptions(cards="lion, lora", seeds=2))
    assert list(report.metrics) == ["lion", "lora"]
    for figures in report.metrics.values():
        assert figures["passed"] == 1
        assert figures["seeds_passed"] == "2 of 2"
    assert {case["seed"] for case in report.cases} == {4, 5}
    with pytest.raises(BadInputError, match="did you mean 'lion'"):
        bench(quick=True, seed=0, options=CardsOptions(cards="lyon"))


def test_bars_are_kept_or_not() -> None:
    assert Part("", 1.0, 1.0).passed
    assert not Part("", 1.1, 1.0).passed
    assert Part("", 1.1, 1.0, at_least=True).passed
    assert not Part("", math.nan, 1.0).passed
    assert Part("", 0.0, 0.5, at_least=True).aim == ">= 0.5"
