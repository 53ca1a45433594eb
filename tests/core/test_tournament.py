"""The smallest residual wins; whoever keeps losing is asked less often, and never forgotten."""

from __future__ import annotations

import math

from cosolve.core.tournament import PREVIOUS, Tournament
from hypothesis import given
from hypothesis import strategies as st


@given(st.dictionaries(st.text(min_size=1), st.floats(0.0), min_size=1))
def test_nobody_has_a_smaller_residual_than_the_winner(ratios: dict[str, float]) -> None:
    winner = Tournament().winner(ratios)
    if all(math.isinf(ratio) for ratio in ratios.values()):
        assert winner == PREVIOUS
    else:
        assert ratios[winner] == min(ratios.values())


def test_the_first_of_equals_wins() -> None:
    assert Tournament().winner({"a": 1.0, "b": 1.0}) == "a"


def test_nothing_usable_means_the_previous_state() -> None:
    assert Tournament().winner({"a": math.inf}) == PREVIOUS
    assert Tournament().winner({}) == PREVIOUS


@given(st.lists(st.booleans(), min_size=80, max_size=200))
def test_a_candidate_is_asked_at_least_every_32nd_time(wins: list[bool]) -> None:
    tournament, last = Tournament(), 0
    for round_, win in enumerate(wins, start=1):
        if tournament.due(("net",)):
            assert round_ - last <= 32
            last = round_
            tournament.winner({"previous": 1.0, "net": 0.5 if win else 2.0})
    assert len(wins) - last <= 32


def test_a_win_brings_a_loser_back_at_once() -> None:
    tournament = Tournament()
    asked = []
    for round_ in range(60):
        due = bool(tournament.due(("net",)))
        asked.append(due)
        if due:
            tournament.winner({"previous": 1.0, "net": 0.5 if round_ > 20 else 2.0})
    assert asked[:4] == [True] * 4
    assert sum(asked[4:20]) <= 4
    assert all(asked[-20:])


def test_memory_comes_back() -> None:
    one = Tournament()
    for _ in range(7):
        if one.due(("net",)):
            one.winner({"previous": 1.0, "net": 2.0})
    other = Tournament()
    other.restore(one.memory())
    for _ in range(40):
        due = one.due(("net",))
        assert due == other.due(("net",))
        if due:
            one.winner({"previous": 1.0, "net": 2.0})
            other.winner({"previous": 1.0, "net": 2.0})
