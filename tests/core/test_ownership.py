"""Whose memory is whose: what was judged is what is committed, and nobody changes it afterwards."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
from cosolve.core.arrays import Array
from cosolve.core.errors import RankFaultError
from cosolve.core.governor import Governor
from cosolve.core.loop import Loop
from cosolve.core.prediction import Prediction
from cosolve.core.query import Query
from cosolve.core.session import Session
from cosolve.core.solver import ResidualMeasure, Solver
from cosolve.core.surrogate import Surrogate
from cosolve.core.testing.mean_field import MeanFieldSolver, RatioVerifier

DT = 0.1


def session(solver: MeanFieldSolver | None = None) -> Session:
    return Session(solver or MeanFieldSolver(), RatioVerifier(), governor=Governor("off"))


def first(one: Session) -> Query:
    return Query(one.solver.initial_state(), dt=DT)


class Vandal(Surrogate):
    """Changes the state it is given, and hands it back as its proposal."""

    name = "vandal"

    def _predict(self, query: Query) -> Prediction:
        query.state[:] = 7.0
        return Prediction(query.state)


def test_a_proposal_must_not_change_the_state() -> None:
    one = session()
    query = first(one)
    before = query.state.copy()
    outcome = one.attempt(query, [Vandal()])
    assert outcome.source == "solver"
    assert outcome.verdict is not None
    assert "it changed the state it was given in place; the state was restored" in outcome.verdict.reason
    np.testing.assert_array_equal(query.state, before)


class Recycler(Surrogate):
    """Answers in one buffer that it uses again and again."""

    name = "recycler"

    def __init__(self) -> None:
        self._solver = MeanFieldSolver()
        self._buffer = np.empty(self._solver.n_owned)

    def _predict(self, query: Query) -> Prediction:
        self._buffer[:] = self._solver.step(query).value
        return Prediction(self._buffer)


def test_a_committed_value_is_in_memory_of_its_own() -> None:
    one = session()
    recycler = Recycler()
    outcome = one.attempt(first(one), [recycler])
    assert outcome.source == "recycler"
    kept = outcome.value.copy()
    one.attempt(Query(outcome.value, DT, DT, 1), [recycler])
    np.testing.assert_array_equal(outcome.value, kept)


class Right(Surrogate):
    """Proposes what the solver would compute."""

    name = "right"

    def __init__(self) -> None:
        self._solver = MeanFieldSolver()

    def _predict(self, query: Query) -> Prediction:
        return Prediction(self._solver.step(query).value)


class Spoiler(Right):
    """Right, but changes what it is shown after the commit: the value, or the state before it."""

    name = "spoiler"

    def __init__(self, what: str) -> None:
        super().__init__()
        self._what = what

    def observe(self, query: Query, value: Array) -> None:
        (value if self._what == "value" else query.state)[:] = 7.0


@pytest.mark.parametrize("what", ["value", "state"])
def test_what_was_committed_cannot_be_changed_in_observe(what: str) -> None:
    one, spoiler = session(), Spoiler(what)
    query = first(one)
    before = query.state.copy()
    outcome = one.attempt(query, [spoiler])
    assert outcome.source == "spoiler"
    assert one.solver.measure(query, outcome.value).ratio < 0.5
    np.testing.assert_array_equal(query.state, before)
    told = one.attempt(Query(outcome.value, DT, DT, 1), [spoiler])
    assert told.source == "solver"
    assert told.verdict is not None
    assert "in `observe` it changed what was committed in place; that was restored" in told.verdict.reason


def test_what_was_judged_is_what_is_committed() -> None:
    class Working(MeanFieldSolver):
        """Keeps its last residual in one array, as solvers with work vectors do."""

        work = np.zeros(40)

        def measure(self, query: Query, candidate: Array) -> ResidualMeasure:
            measured = super().measure(query, candidate)
            self.work[:] = self.residual(query, candidate)
            return measured

    class Thief(Right):
        """Proposes in the solver's own work array."""

        name = "thief"

        def bind(self, solver: Solver) -> None:
            assert isinstance(solver, Working)
            self._work = solver.work

        def _predict(self, query: Query) -> Prediction:
            self._work[:] = self._solver.step(query).value
            return Prediction(self._work)

    one = session(Working())
    query = first(one)
    outcome = one.attempt(query, [Thief()])
    assert outcome.source == "thief"
    assert one.solver.measure(query, outcome.value.copy()).ratio < 0.5


def test_the_history_cannot_be_changed() -> None:
    class Historian(Right):
        name = "historian"

        def _predict(self, query: Query) -> Prediction:
            if query.history:
                query.history[0].state[:] = 7.0
            return super()._predict(query)

    one = session()
    seen: list[Array] = []
    loop = Loop(one, [Historian()], t_end=3 * DT, dt=DT, handle_signals=False, on_step=lambda s: seen.append(s.value))
    loop.run().raise_on_failure()
    assert one.stats["sources"] == {"historian": 1, "solver": 2}
    assert "read-only" in one.verdicts[-1].reason
    assert all(one.solver.measure(Query(a, dt=DT), b).ratio < 1.0 for a, b in itertools.pairwise(seen))


def test_copies_are_as_many_as_documented() -> None:
    class Wrong(Surrogate):
        name = "wrong"

        def _predict(self, query: Query) -> Prediction:
            return Prediction(query.state + 1.0)

    one = session()
    value, copies = one.solver.initial_state(), [0]
    chains: list[list[Surrogate]] = [[], [Right()], [Wrong()]]
    for step, proposers in enumerate(chains):
        value = one.attempt(Query(value, DT * step, DT, step), proposers).value
        copies.append(one.stats["copies"])
    assert np.diff(copies).tolist() == [2, 2, 3]


def test_a_state_with_nan_is_an_error_of_the_caller() -> None:
    one = session()
    state = one.solver.initial_state()
    state[3] = np.nan
    with pytest.raises(RankFaultError, match="the state has 1 values of 40 that are not finite, the first at local in"):
        one.attempt(Query(state, dt=DT), [Right()])
