"""What every surrogate keeps, tested on the third party's own object."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from cosolve.core.arrays import Array
from cosolve.core.domain import Domain
from cosolve.core.errors import CosolveError
from cosolve.core.query import Query, Snapshot
from cosolve.core.solver import Solver
from cosolve.core.surrogate import StoredSurrogate, Surrogate
from cosolve.core.testing import inputs
from cosolve.core.testing.contract import Contract, gathered, group
from cosolve.core.testing.fault_runs import check_run, classical_run, faults, hybrid_run, last_question
from cosolve.core.testing.faults import plant
from cosolve.core.testing.mean_field import MeanFieldSolver, RatioVerifier
from cosolve.core.testing.memory import growth
from cosolve.core.testing.unimplemented import unimplemented

_NO_SOLVER = "the kit gives no `solver` whose states the surrogate can propose"


class SurrogateContract(Contract):
    """Inherit, implement `make` and `query`, and let pytest collect the class.

    Instead of `query`, `solver` will do: the questions are then those of a short run, and the surrogate is tried in
    runs with faults and on several ranks. Set `differentiable = True` to demand `jvp` and `vjp`; where they are there,
    they are checked against finite differences and each other in any case.
    """

    differentiable = False
    finite_difference_rtol = 1e-5
    any_size = True
    """False for one whose states have the size of its training data, so that it refuses others."""
    steps: int | None = None
    """How many transactions a run has, where their number has an end."""
    single_rtol = 1e-3
    """How far the answer to a float32 state may be from that to the same float64 state."""

    def make(self) -> Surrogate:
        """Return a ready surrogate."""
        surrogate: Surrogate = self.made("a ready surrogate")
        return surrogate

    def query(self) -> Query:
        """Return a question that the surrogate can answer."""
        solver = self.solver()
        if solver is None:
            raise unimplemented(self, "query", "a Query")
        first = self.first_question(solver)
        if type(self).solver is not SurrogateContract.solver:
            question = last_question(solver, first)
        else:  # a made-up history costs no solves
            history = tuple(Snapshot(first.dt * age, first.state * (1.0 - 0.03 * age)) for age in (2, 1, 0))
            question = replace(first, state=0.91 * first.state, t=3 * first.dt, step=3, history=history)
        solver.close()
        return question

    def solver(self) -> Solver | None:
        """Return a solver for which the surrogate proposes, on `self.comm`; None where there is none to test with."""
        if type(self).query is not SurrogateContract.query or self.entry is None:
            return None
        return MeanFieldSolver(comm=self.comm, cubic=0.0, empty_rank=self.without_values)

    def first_question(self, solver: Solver) -> Query:
        """Return the first question of a run with `solver`."""
        return Query(solver.initial_state(), 0.0, 0.1)

    def ready(self) -> Surrogate:
        """Return a surrogate that knows its solver, where the kit gives one (collective)."""
        surrogate, solver = self.make(), self.solver()
        if solver is not None:
            surrogate.bind(solver)
        return surrogate

    def domain(self, surrogate: Surrogate, query: Query) -> Domain:
        """Return what the surrogate answers: its declared domain, else that of `query`."""
        declared = surrogate.domain
        if declared == Domain() and type(self).query is not SurrogateContract.query:
            return replace(inputs.around(query), dtypes=declared.dtypes)
        return declared

    def test_it_has_a_name_of_its_own(self) -> None:
        surrogate = self.make()
        assert surrogate.name, "its name is empty"
        assert surrogate.name != Surrogate.name, "give the class a `name`: the ledger and cases refer to it"
        assert not any(mark in surrogate.name for mark in "+/"), f"its name {surrogate.name!r} contains '+' or '/'"

    def test_it_leaves_the_public_methods_alone(self) -> None:
        assert type(self.make()).predict is Surrogate.predict, (
            "it overrides `predict`, which validates and times; write `_predict` instead"
        )

    def test_shape_and_dtype_are_those_of_the_state(self) -> None:
        query = self.query()
        _check_answer(self.ready().predict(query).value, query)

    def test_the_proposal_says_who_and_at_what_cost(self) -> None:
        prediction = self.ready().predict(self.query())
        assert prediction.source, "the proposal has no source"
        assert prediction.cost_seconds > 0.0, "the proposal has no cost"

    def test_the_query_is_left_as_it_was(self) -> None:
        query = self.query()
        before = query.state.copy()
        past = [snapshot.state.copy() for snapshot in query.history]
        prediction = self.ready().predict(query)
        assert np.array_equal(query.state, before), "it changes the state of the question in place"
        kept = all(np.array_equal(s.state, old) for s, old in zip(query.history, past, strict=True))
        assert kept, "it changes the history of the question in place"
        assert prediction.value.size == 0 or not np.shares_memory(prediction.value, query.state), (
            "a proposal that shares memory with the state changes the state when it is corrected"
        )

    @group("determinism")
    def test_the_same_question_has_the_same_answer(self) -> None:
        surrogate, query = self.ready(), self.query()
        first = surrogate.predict(query).value.copy()
        memory = {name: values.copy() for name, values in surrogate.memory().items()}
        surrogate.restore(memory)
        again = surrogate.predict(query).value
        assert np.array_equal(again, first), f"the same question has two answers, {_apart(again, first)} apart"
        twin = self.ready().predict(query).value
        assert np.array_equal(twin, first), f"two objects made alike give two answers, {_apart(twin, first)} apart"

    @group("determinism")
    def test_another_question_in_between_changes_nothing(self) -> None:
        surrogate, query = self.ready(), self.query()
        memory = {name: values.copy() for name, values in surrogate.memory().items()}
        first = surrogate.predict(query).value.copy()
        flatter = 0.5 * query.state + 0.5 * np.mean(query.state) if query.state.size else query.state
        surrogate.predict(replace(query, state=flatter.astype(query.state.dtype)))
        surrogate.restore(memory)
        again = surrogate.predict(query).value
        assert np.array_equal(again, first), (
            f"another question in between changes the answer by {_apart(again, first)}: what it keeps belongs into "
            "`memory`"
        )

    @group("precision")
    def test_float64_in_float64_out(self) -> None:
        self._check_precision("float64")

    @group("precision")
    def test_float32_in_float32_out(self) -> None:
        self._check_precision("float32")

    def _check_precision(self, dtype: str) -> None:
        surrogate, query = self.ready(), self.query()
        cast = _cast(query, dtype)
        if dtype not in surrogate.domain.dtypes:
            self.leave_out(f"its domain leaves out {dtype}")
            try:
                surrogate.predict(cast)
            except CosolveError:
                return
            raise AssertionError(f"its domain leaves out {dtype}, but it answers such a state")
        value = surrogate.predict(cast).value
        _check_answer(value, cast)
        if query.state.dtype == np.float64 and dtype == "float32":
            exact = surrogate.predict(query).value
            scale = max(float(np.max(np.abs(exact), initial=0.0)), float(np.max(np.abs(query.state), initial=0.0)))
            away = float(np.max(np.abs(value - exact), initial=0.0))
            assert away <= self.single_rtol * max(scale, 1e-300), (
                f"the answer to a float32 state is {away / max(scale, 1e-300):.3g} away from that to the same float64 "
                f"state (allowed {self.single_rtol:g})"
            )

    @group("gradients")
    def test_derivatives_agree_with_finite_differences(self) -> None:
        surrogate = self.ready()
        offered = {name for name in ("jvp", "vjp") if getattr(type(surrogate), name) is not getattr(Surrogate, name)}
        if not offered and not self.differentiable:
            self.leave_out("it offers neither jvp nor vjp")
            return
        if self.differentiable:
            assert offered == {"jvp", "vjp"}, f"it claims derivatives, but offers {sorted(offered) or 'none'}"
        if "float64" not in surrogate.domain.dtypes:
            self.leave_out("finite differences need float64")
            return
        try:
            self._check_gradients(surrogate, _inside(self.query(), surrogate.domain), offered)
        except NotImplementedError as error:
            assert not self.differentiable, f"it claims derivatives, but {error}"
            self.leave_out(str(error))

    def _check_gradients(self, surrogate: Surrogate, query: Query, offered: set[str]) -> None:
        rng = np.random.default_rng(0)
        tangent = rng.standard_normal(query.state.shape)
        cotangent = rng.standard_normal(query.state.shape)
        step = 1e-6 * max(1.0, float(np.max(np.abs(query.state), initial=0.0)))
        ahead = surrogate.predict(replace(query, state=query.state + step * tangent)).value
        behind = surrogate.predict(replace(query, state=query.state - step * tangent)).value
        difference = (ahead - behind) / (2.0 * step)
        scale = float(np.linalg.norm(difference)) + 1e-30
        if "jvp" in offered:
            forward = surrogate.jvp(query, tangent)
            away = float(np.linalg.norm(forward - difference)) / scale
            assert away <= self.finite_difference_rtol, f"jvp is {away:.3g} away from finite differences"
        if "vjp" in offered:
            backward = surrogate.vjp(query, cotangent)
            exact = "jvp" in offered
            left = float(cotangent @ (forward if exact else difference))
            right = float(backward @ tangent)
            allowed = (1e-8 if exact else self.finite_difference_rtol) * (
                abs(left) + float(np.linalg.norm(cotangent)) * scale
            )
            against = "jvp" if exact else "finite differences"
            assert abs(left - right) <= allowed, (
                f"vjp is not the transpose of {against}: {right:.6g} against {left:.6g}"
            )

    @group("memory")
    def test_memory_does_not_grow(self) -> None:
        surrogate, query = self.ready(), self.query()

        def call(index: int) -> None:
            asked = replace(query, step=index if self.steps is None else index % self.steps)
            surrogate.observe(asked, surrogate.predict(asked).value)

        grown = growth(call, self.calls)
        assert not grown, f"{grown}, asked and shown the same question"

    @group("inputs")
    def test_valid_questions_have_valid_answers(self) -> None:
        surrogate, query = self.ready(), self.query()
        domain = self.domain(surrogate, query)
        free = self.any_size and self._any_size and type(surrogate).bind is Surrogate.bind
        size = domain.size if domain.size is not None or free else query.state.size

        def check(drawn: Query) -> None:
            before = drawn.state.copy()
            value = surrogate.predict(drawn).value
            _check_answer(value, drawn)
            assert np.array_equal(drawn.state, before), "it changes the state of the question in place"

        inputs.for_all(inputs.queries(domain, query, size), check)

    @group("inputs")
    def test_nearly_valid_questions_are_refused_by_a_typed_error(self) -> None:
        surrogate, query = self.ready(), self.query()
        for what, wrong in inputs.spoilt(surrogate.domain, query).items():
            try:
                surrogate.predict(wrong)
            except CosolveError as error:
                assert str(error).strip(), f"{what}: the error has no text"
                continue
            except Exception as error:
                raise AssertionError(
                    f"{what}: expected an error of cosolve, got {type(error).__name__}: {error}"
                ) from error
            raise AssertionError(f"{what}: expected an error of cosolve, but it answers")

    @property
    def _any_size(self) -> bool:
        """Whether questions of any size may be asked: nothing ties the surrogate to one space."""
        return type(self).query is SurrogateContract.query and type(self).solver is SurrogateContract.solver

    @group("ranks")
    def test_a_rank_that_owns_nothing_gets_an_empty_proposal(self) -> None:
        surrogate, query = self.ready(), self.query()
        if self.serial:
            self.leave_out("its entry says that it works on one rank only (`serial`)")
            return
        tied = surrogate.domain.size is not None or type(surrogate).bind is not Surrogate.bind
        if tied or not (self.any_size and self._any_size):
            self.leave_out("its values live on one space, which this rank owns whole")
            return
        history = tuple(replace(snapshot, state=snapshot.state[:0]) for snapshot in query.history)
        empty = replace(query, state=query.state[:0], history=history)
        try:
            value = surrogate.predict(empty).value
        except Exception as error:
            raise AssertionError(f"on a rank that owns no values it raises {type(error).__name__}: {error}") from error
        _check_answer(value, empty)

    @group("faults")
    def test_whatever_fails_around_it_the_run_ends_with_the_classical_answer(self) -> None:
        solver = self.solver()
        if solver is None:
            self.leave_out(_NO_SOLVER)
            return
        start = self.first_question(solver)
        states = classical_run(solver, start)
        for fault in faults("verifier", self.comm.Get_size(), lies=False):
            verifier = RatioVerifier()
            with plant(verifier, fault, self.comm):
                outcomes = hybrid_run(solver, verifier, [self.make()], start, impatient=True)
            check_run(outcomes, states, start, 1e-6, f"{fault.kind} in the verifier", solver)
        solver.close()

    def trial(self) -> None:
        self.make()

    def probe(self) -> dict[str, Array]:
        """Return its proposals along a classical run, all values in the order of their places (collective)."""
        solver = self.solver()
        if solver is None or self.serial:
            return {}
        surrogate = self.make()
        surrogate.bind(solver)
        states = classical_run(solver, self.first_question(solver))
        found = {}
        for steps in (0, len(states) - 1):
            query = last_question(solver, self.first_question(solver), steps)
            value = surrogate.predict(query).value
            found[f"proposal after {steps} steps"] = gathered(self.comm, value, solver.coordinates())
        solver.close()
        return found


def _check_answer(value: Array, query: Query) -> None:
    """Check shape, dtype and finiteness."""
    assert isinstance(value, np.ndarray), f"the proposal must be a numpy array, got {type(value).__name__}"
    state = query.state
    assert value.shape == state.shape, f"the proposal must have shape {state.shape} as the state, got {value.shape}"
    assert value.dtype == state.dtype, f"the proposal must have dtype {state.dtype} as the state, got {value.dtype}"
    wrong = int(np.count_nonzero(~np.isfinite(value)))
    assert not wrong, f"the proposal has {wrong} values of {value.size} that are not finite"


def _apart(found: Array, expected: Array) -> str:
    return f"{float(np.max(np.abs(found - expected), initial=0.0)):.3g}" if found.shape == expected.shape else "shapes"


def _cast(query: Query, dtype: str) -> Query:
    history = tuple(replace(snapshot, state=snapshot.state.astype(dtype)) for snapshot in query.history)
    return replace(query, state=query.state.astype(dtype), history=history)


def _inside(query: Query, domain: Domain) -> Query:
    """Return the question with its state moved off the bounds of a domain, where differences can be taken."""
    low, high = inputs.bounded(domain.low, domain.high, 1e300)
    if low <= -1e299 and high >= 1e299:
        return query
    middle = 0.5 * (max(low, -1e3) + min(high, 1e3))
    return replace(query, state=middle + 0.9 * (query.state - middle))


class StoredSurrogateContract(SurrogateContract):
    """Additionally for surrogates that are written to a model file."""

    def make(self) -> StoredSurrogate:
        """Return a ready surrogate."""
        surrogate: StoredSurrogate = self.made("a ready surrogate")
        return surrogate

    def test_file_round_trip_gives_the_same_answer(self) -> None:
        surrogate, query = self.make(), self.query()
        again = type(surrogate).from_file(surrogate.tensors(), surrogate.settings())
        found, expected = again.predict(query).value, surrogate.predict(query).value
        assert np.array_equal(found, expected), f"read back from its file it answers {_apart(found, expected)} apart"
