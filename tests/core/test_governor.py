"""The governor bounds what asking may cost, whatever the surrogate is like."""

from __future__ import annotations

import random
from itertools import pairwise

import pytest
from cosolve.core.errors import BadInputError
from cosolve.core.governor import Asked, Governor, decisions_of
from hypothesis import given
from hypothesis import strategies as st


def _run(
    steps: int,
    solver: float,
    ask: float,
    accepts: float,
    *,
    noise: float = 0.0,
    seed: int = 0,
    governor: Governor | None = None,
) -> tuple[float, Governor, list[bool], list[dict[str, object]]]:
    """March with given costs; return the time beyond solver-only, over solver-only."""
    governor = governor or Governor()
    draw = random.Random(seed)
    spent, asked, events = 0.0, [], []
    for step in range(steps):
        solve = solver * (1.0 + noise * draw.random())
        if governor.plan(step, ("net",)):
            accepted = draw.random() < accepts
            total = ask if accepted else ask + solve
            events += governor.record([Asked("net", True, ask, followed=not accepted)], total)
            asked.append(True)
        else:
            total = solve
            events += governor.record([Asked("net", asked=False)], total)
            asked.append(False)
        spent += total
    plain = steps * solver * (1.0 + noise / 2.0)
    return spent / plain - 1.0, governor, asked, events


@given(ask=st.floats(0.05, 20.0), seed=st.integers(0, 10))
def test_a_useless_surrogate_costs_less_than_five_percent_of_a_long_run(ask: float, seed: int) -> None:
    excess, _, asked, _ = _run(4000, 1.0, ask, 0.0, noise=0.1, seed=seed)
    assert excess < 0.05
    assert sum(asked) < 400


def test_a_proposer_that_a_host_gives_up_twice_in_a_row_is_off() -> None:
    governor = Governor()
    for _ in range(2):
        governor.record([Asked("net", asked=False)], 1.0)
    events = [governor.record([Asked("net", True, 0.2, given_up=True)], 1.2) for _ in range(2)]
    assert events[0] == []
    assert events[1][0]["event"] == "switched off"
    assert governor.account("net").price < 0.5
    kept = Governor()
    kept.restore(governor.memory())
    assert not kept.account("net").on


def test_a_proposer_that_a_host_gives_up_now_and_then_stays_on() -> None:
    governor = Governor()
    for _ in range(2):
        governor.record([Asked("net", asked=False)], 1.0)
    for step in range(40):
        given_up = step % 4 == 3
        governor.record([Asked("net", True, 0.4, given_up=given_up)], 1.2 if given_up else 0.4)
    assert governor.account("net").on


@given(ask=st.floats(0.01, 0.5), accepts=st.floats(0.8, 1.0), seed=st.integers(0, 10))
def test_a_surrogate_that_pays_stays_on(ask: float, accepts: float, seed: int) -> None:
    excess, governor, asked, _ = _run(2000, 1.0, ask, accepts, noise=0.1, seed=seed)
    assert governor.account("net").on
    ideal = ask + (1.0 - accepts) - 1.0
    assert excess < ideal + 0.08
    assert sum(asked) > 1700


@given(
    asks=st.lists(st.floats(1e-4, 1e3), min_size=1, max_size=300),
    accepts=st.lists(st.booleans(), min_size=1, max_size=40),
)
def test_the_price_of_a_losing_surrogate_is_bounded_for_any_costs(asks: list[float], accepts: list[bool]) -> None:
    """With a solver of unit cost: beyond the first call and one trial, each ask needs a paid-for probe."""
    governor = Governor(price_share=0.02)
    spent = steps = 0.0
    worst = 0.0
    for step, ask in enumerate(asks):
        own = 1.0 + ask  # always dearer than the solver
        accepted = accepts[step % len(accepts)]
        if governor.plan(step, ("net",)):
            total = own if accepted else own + 1.0
            governor.record([Asked("net", True, own, not accepted)], total)
            worst = max(worst, total)
        else:
            total = 1.0
            governor.record([Asked("net", asked=False)], total)
        spent += total
        steps += 1.0
    assert spent - steps <= 0.02 * spent + 4 * worst


def test_it_is_asked_again_and_switched_on_when_it_has_become_good() -> None:
    governor = Governor()
    _run(100, 1.0, 0.5, 0.0, governor=governor)
    assert not governor.account("net").on
    _, _, asked, events = _run(400, 1.0, 0.1, 1.0, governor=governor)
    assert governor.account("net").on
    assert [event["event"] for event in events] == ["switched on"]
    assert sum(asked[-100:]) >= 97


def test_probes_come_at_growing_intervals() -> None:
    _, _, asked, events = _run(3000, 1.0, 0.9, 0.0)
    assert events[0]["event"] == "switched off"
    intervals = [event["next_probe_in"] for event in events]
    assert intervals == sorted(intervals)
    assert intervals[:3] == [16, 32, 64]
    assert sum(asked) == sum(asked[:200]) + sum(asked[200:])
    assert sum(asked[1000:]) < 20


def test_the_longest_wait_between_probes_can_be_set() -> None:
    excess, _, asked, _ = _run(4000, 1.0, 0.5, 0.0, governor=Governor(longest_interval=64))
    gaps = [j - i for i, j in pairwise([step for step, was in enumerate(asked) if was])]
    assert max(gaps[10:]) == 65, "64 transactions lie between two probes"
    assert sum(asked) > 90
    assert excess < 0.03, "the share of the price holds all the same"
    with pytest.raises(BadInputError, match="longest_interval must be at least 16, got 4"):
        Governor(longest_interval=4)


def test_references_are_few_when_the_surrogate_is_fast() -> None:
    _, _, asked, _ = _run(2000, 1.0, 0.05, 1.0)
    assert asked[:2] == [False, False]
    assert 3 <= asked.count(False) <= 8


def test_a_proposer_is_judged_by_what_comes_after_it() -> None:
    """A cheap baseline that is always right leaves nothing to gain for the network before it, and pays itself."""
    governor = Governor()
    for step in range(60):
        plan = governor.plan(step, ("net", "baseline"))
        chain, total = [], 0.0
        if "net" in plan:
            chain.append(Asked("net", True, 0.3, followed=True))
            total += 0.3
        else:
            chain.append(Asked("net", asked=False))
        if "baseline" in plan:
            chain.append(Asked("baseline", True, 0.1))
            total += 0.1
        else:
            chain.append(Asked("baseline", asked=False))
            total += 1.0
        governor.record(chain, total)
    assert governor.account("baseline").on
    assert not governor.account("net").on


def test_replay_repeats_the_plans_of_a_ledger() -> None:
    records = [{"kind": "step", "step": step, "plan": ["net"] if step % 3 else []} for step in range(9)]
    governor = Governor("replay", decisions_of(records))
    assert [governor.plan(step, ("other", "net")) for step in range(9)] == [("net",) if k % 3 else () for k in range(9)]
    with pytest.raises(BadInputError, match=r"no decision number 1 for step 9, its last step is 8"):
        governor.plan(9, ("net",))


def test_a_resumed_run_replays_each_step_once() -> None:
    records = [{"kind": "step", "step": step, "plan": ["first"]} for step in range(4)]
    records += [{"kind": "resumed", "step": 2}]
    records += [{"kind": "step", "step": step, "plan": ["second"]} for step in (2, 3)]
    governor = Governor("replay", decisions_of(records))
    names = ("first", "second")
    assert [governor.plan(step, names) for step in range(4)] == [("first",), ("first",), ("second",), ("second",)]


def test_off_asks_always() -> None:
    excess, _, asked, events = _run(50, 1.0, 10.0, 0.0, governor=Governor("off"))
    assert all(asked)
    assert events == []
    assert excess > 5.0


def test_memory_comes_back() -> None:
    _, governor, _, _ = _run(333, 1.0, 0.9, 0.1)
    other = Governor()
    other.restore(governor.memory())
    for step in range(200):
        assert governor.plan(step, ("net",)) == other.plan(step, ("net",))
        for one in (governor, other):
            one.record([Asked("net", asked=False)], 1.0)


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        ({"mode": "mesured"}, "measured, replay or off, got 'mesured'"),
        ({"mode": "replay"}, "needs decisions"),
        ({"price_share": 0.0}, "between 0 and 1, got 0.0"),
    ],
)
def test_wrong_arguments_are_named(arguments: dict[str, object], sentence: str) -> None:
    with pytest.raises(BadInputError, match=sentence):
        Governor(**arguments)  # type: ignore[arg-type]  # wrong on purpose


@pytest.mark.parametrize("cheaper", [0.5, 0.2, 0.05])
def test_a_solver_that_becomes_cheaper_is_noticed(cheaper: float) -> None:
    """The surrogate paid a tenth until step 1000; afterwards it costs two to twenty times what the solver does."""
    governor, spent, plain = Governor(), 0.0, 0.0
    for step in range(3000):
        solve = 1.0 if step < 1000 else cheaper
        asked = bool(governor.plan(step, ("net",)))
        total = 0.9 if asked else solve
        governor.record([Asked("net", asked, 0.9 if asked else 0.0)], total)
        spent, plain = spent + total, plain + solve
    assert not governor.account("net").on
    assert spent < 1.05 * plain


@pytest.mark.parametrize("seed", range(5))
def test_a_solver_whose_steps_are_of_two_kinds_is_not_judged_by_the_dear_ones(seed: int) -> None:
    """Seven of ten steps cost 1, the others 0.05: 0.715 in the mean, and 1 in the median, against 0.99 for the net."""
    governor, draw, spent, plain = Governor(), random.Random(seed), 0.0, 0.0
    for step in range(4000):
        solve = 1.0 if draw.random() < 0.7 else 0.05
        asked = bool(governor.plan(step, ("net",)))
        total = 0.99 if asked else solve
        governor.record([Asked("net", asked, 0.99 if asked else 0.0)], total)
        spent, plain = spent + total, plain + solve
    assert spent < 1.05 * plain
