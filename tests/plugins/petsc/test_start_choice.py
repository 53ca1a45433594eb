"""The choice of starts on made-up solves: no PETSc, no clocks."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable, Mapping

import numpy as np
import pytest
from cosolve.plugins.petsc.start_choice import BASES, Prices, Seen, Start, StartChoice

NETWORK = Start("zero", True)
BOTH = Start("projection", True)
PRICES = Prices(iteration=1.0, space=0.3, proposals=0.4)


def iterations(error: float, noise: float = 0.0) -> int:
    """Return what a solver takes that reduces the error twentyfold in an iteration, down to 1e-8."""
    return max(0, round(math.log(error / 1e-8) / math.log(20.0) + noise))


def errors_of(some: Mapping[Start, float]) -> dict[Start, float]:
    found = (
        {Start(base): 1.0 if base in ("zero", "projection") else 1.3 for base in BASES} | {NETWORK: 1.0} | dict(some)
    )
    found[BOTH] = min(found[Start("projection")], found[NETWORK], found.get(BOTH, 1.0))
    return found


def play(
    choice: StartChoice, errors: Callable[[int], Mapping[Start, float]], count: int, seed: int = 0
) -> tuple[list[Start], list[str]]:
    random = np.random.default_rng(seed)
    starts, decisions = [], []
    for number in range(count):
        start, now = choice.next(), errors(number)
        took = iterations(now[start], float(random.uniform(-0.4, 0.4)))
        kept = choice.studying or start.base == "projection"
        told = choice.record(Seen(start, took, now if kept and choice.studying else {}))
        starts.append(start)
        decisions += [told] if told else []
    return starts, decisions


@pytest.mark.parametrize(
    ("some", "best"),
    [
        ({}, Start("zero")),
        ({Start("projection"): 1e-5}, Start("projection")),
        ({Start("quadratic"): 2e-3, Start("projection"): 1.9e-3}, Start("quadratic")),
        ({NETWORK: 1e-3, Start("projection"): 0.7}, NETWORK),
        ({NETWORK: 1e-3, Start("projection"): 0.3, BOTH: 1e-5}, BOTH),
        ({NETWORK: 0.8, Start("projection"): 0.01}, Start("projection")),
    ],
)
def test_the_cheapest_start_is_found(some: Mapping[Start, float], best: Start) -> None:
    choice = StartChoice(True, PRICES)
    starts, _ = play(choice, lambda number: errors_of(some), 600)
    assert choice.chosen == best
    assert Counter(starts)[best] >= 0.8 * len(starts)
    found = choice.counts() or {}
    assert all(abs(count - iterations(errors_of(some)[start])) <= 1.0 for start, count in found.items())


def test_a_useless_network_is_asked_less_and_less() -> None:
    choice = StartChoice(True, PRICES)
    starts, _ = play(choice, lambda number: errors_of({Start("projection"): 0.01}), 4000)
    asked = [number for number, start in enumerate(starts) if start.joined]
    assert len(asked) <= 0.03 * len(starts)
    assert len([number for number in asked if number >= 2000]) <= 0.02 * len(starts)
    assert max(asked) > 500  # but never for the last time


def test_the_price_of_all_studies_is_a_small_share() -> None:
    choice = StartChoice(True, PRICES)
    best = iterations(0.01) + PRICES.space
    starts, _ = play(choice, lambda number: errors_of({Start("projection"): 0.01}), 1000)
    spent = sum(iterations(errors_of({Start("projection"): 0.01})[start]) + PRICES.of(start) for start in starts)
    assert spent <= 1.03 * 1000 * best


def test_another_regime_is_noticed_and_the_choice_changes() -> None:
    choice = StartChoice(True, PRICES)

    def errors(number: int) -> Mapping[Start, float]:
        return errors_of({Start("projection"): 1e-6 if number < 700 else 0.9, NETWORK: 1e-3})

    starts, _ = play(choice, errors, 1000)
    assert starts[650] == Start("projection")
    assert choice.chosen == NETWORK
    changed = next(number for number in range(700, 1000) if starts[number] == NETWORK)
    assert changed <= 760


def test_decisions_follow_from_counts_alone() -> None:
    def errors(number: int) -> Mapping[Start, float]:
        return errors_of({Start("projection"): 0.05, NETWORK: 0.02, BOTH: 0.001})

    one, other = StartChoice(True, PRICES), StartChoice(True, PRICES)
    assert play(one, errors, 300, seed=5) == play(other, errors, 300, seed=5)


def test_prices_are_measured_against_a_noisy_clock() -> None:
    random = np.random.default_rng(1)
    choice = StartChoice(True)
    for _ in range(200):
        start = choice.next()
        now = errors_of({Start("projection"): 1e-3})
        took = iterations(now[start])
        late = 10.0 if random.random() < 0.1 else 0.0
        seconds = (0.5 + 1.0 * took + late, 0.3 + late, 0.4 if start.joined else math.nan)
        choice.record(Seen(start, took, now if choice.studying else {}, seconds))
    prices = choice.prices
    assert prices is not None
    assert prices.iteration == pytest.approx(1.0, rel=0.1)
    assert prices.space == pytest.approx(0.3)
    assert prices.proposals == pytest.approx(0.4)
    assert choice.chosen == Start("projection")


def test_without_proposers_nobody_is_asked() -> None:
    choice = StartChoice(False, Prices(1.0, 0.3))
    starts, _ = play(choice, lambda number: errors_of({NETWORK: 1e-6}), 300)
    assert not any(start.joined for start in starts)
