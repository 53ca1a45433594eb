"""What every surrogate keeps, tested on the third party's own object."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from cosolve.core.query import Query
from cosolve.core.surrogate import StoredSurrogate, Surrogate
from cosolve.core.testing.unimplemented import unimplemented


class SurrogateContract:
    """Inherit, implement `make` and `query`, and let pytest collect the class.

    Set `differentiable = True` to have `jvp` and `vjp` checked against finite differences and each other.
    """

    differentiable = False
    finite_difference_rtol = 1e-5

    def make(self) -> Surrogate:
        """Return a ready surrogate."""
        raise unimplemented(self, "make", "a ready surrogate")

    def query(self) -> Query:
        """Return a question that the surrogate can answer."""
        raise unimplemented(self, "query", "a Query")

    def test_it_has_a_name_of_its_own(self) -> None:
        surrogate = self.make()
        assert surrogate.name
        assert surrogate.name != Surrogate.name, "give the class a `name`: the ledger and cases refer to it"

    def test_shape_and_dtype_are_those_of_the_state(self) -> None:
        query = self.query()
        prediction = self.make().predict(query)
        assert prediction.value.shape == query.state.shape
        assert prediction.value.dtype == query.state.dtype
        assert np.all(np.isfinite(prediction.value))

    def test_the_proposal_says_who_and_at_what_cost(self) -> None:
        prediction = self.make().predict(self.query())
        assert prediction.source
        assert prediction.cost_seconds > 0.0

    def test_the_query_is_left_as_it_was(self) -> None:
        query = self.query()
        before = query.state.copy()
        prediction = self.make().predict(query)
        assert np.array_equal(query.state, before)
        assert prediction.value.size == 0 or not np.shares_memory(prediction.value, query.state), (
            "a proposal that shares memory with the state changes the state when it is corrected"
        )

    def test_the_same_question_has_the_same_answer(self) -> None:
        surrogate, query = self.make(), self.query()
        first = surrogate.predict(query).value.copy()
        memory = {name: values.copy() for name, values in surrogate.memory().items()}
        surrogate.restore(memory)
        assert np.array_equal(surrogate.predict(query).value, first)

    def test_derivatives_agree_with_finite_differences(self) -> None:
        if not self.differentiable:
            return
        surrogate, query = self.make(), self.query()
        rng = np.random.default_rng(0)
        tangent = rng.standard_normal(query.state.shape)
        cotangent = rng.standard_normal(query.state.shape)
        step = 1e-6 * max(1.0, float(np.max(np.abs(query.state))))
        ahead = surrogate.predict(replace(query, state=query.state + step * tangent)).value
        behind = surrogate.predict(replace(query, state=query.state - step * tangent)).value
        forward = surrogate.jvp(query, tangent)
        scale = float(np.linalg.norm(forward)) + 1e-30
        assert np.linalg.norm(forward - (ahead - behind) / (2.0 * step)) <= self.finite_difference_rtol * scale
        backward = surrogate.vjp(query, cotangent)
        left, right = float(cotangent @ forward), float(backward @ tangent)
        assert abs(left - right) <= 1e-8 * (abs(left) + float(np.linalg.norm(cotangent)) * scale)


class StoredSurrogateContract(SurrogateContract):
    """Additionally for surrogates that are written to a model file."""

    def make(self) -> StoredSurrogate:
        """Return a ready surrogate."""
        raise unimplemented(self, "make", "a ready surrogate")

    def test_file_round_trip_gives_the_same_answer(self) -> None:
        surrogate, query = self.make(), self.query()
        again = type(surrogate).from_file(surrogate.tensors(), surrogate.settings())
        assert np.array_equal(again.predict(query).value, surrogate.predict(query).value)
