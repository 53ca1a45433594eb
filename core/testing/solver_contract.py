"""What every solver keeps, tested on the third party's own object."""

from __future__ import annotations

import numpy as np
from cosolve.core.query import Query
from cosolve.core.solver import Solver
from cosolve.core.testing.unimplemented import unimplemented


class SolverContract:
    """Inherit, implement `make` and `query`, and let pytest collect the class. Collective when run under mpirun."""

    def make(self) -> Solver:
        """Return a ready solver."""
        raise unimplemented(self, "make", "a ready solver")

    def query(self, solver: Solver) -> Query:
        """Return a question (state, t, dt) that the solver can answer."""
        raise unimplemented(self, "query", "a Query")

    def test_it_has_a_name_of_its_own(self) -> None:
        solver = self.make()
        assert solver.name
        assert solver.name != Solver.name, "give the class a `name`: the ledger and cases refer to it"
        solver.close()

    def test_the_initial_state_has_the_owned_size(self) -> None:
        solver = self.make()
        state = solver.initial_state()
        assert state.shape == (solver.n_owned,)
        assert np.issubdtype(state.dtype, np.floating)
        solver.close()

    def test_its_own_answer_passes_its_own_measure(self) -> None:
        solver = self.make()
        query = self.query(solver)
        result = solver.step(query)
        assert result.converged, result.reason
        ratio = solver.measure(query, result.value).ratio
        assert ratio <= 1.0 + 1e-6, f"the solver stopped at {ratio:.3g} of its tolerance"
        solver.close()

    def test_the_measure_sees_a_wrong_state(self) -> None:
        solver = self.make()
        query = self.query(solver)
        value = solver.step(query).value.copy()
        right = solver.measure(query, value).ratio
        wrong = value + 0.1 * (1.0 + np.abs(value)) * np.cos(np.arange(value.size))
        assert solver.measure(query, wrong).ratio > max(10.0 * right, 1.0)
        solver.close()

    def test_the_tolerance_does_not_depend_on_the_candidate(self) -> None:
        solver = self.make()
        query = self.query(solver)
        value = solver.step(query).value.copy()
        first = solver.measure(query, value).tolerances
        second = solver.measure(query, value + 1.0).tolerances
        assert dict(first) == dict(second)
        solver.close()

    def test_a_good_start_costs_no_more_and_gives_the_same_answer(self) -> None:
        solver = self.make()
        query = self.query(solver)
        cold = solver.step(query)
        start = cold.value.copy()
        warm = solver.step(query, start)
        assert warm.converged
        assert warm.iterations <= cold.iterations
        assert solver.measure(query, warm.value).ratio <= 1.0 + 1e-6
        solver.close()

    def test_nan_in_gives_a_result_that_says_so_and_no_exception(self) -> None:
        solver = self.make()
        query = self.query(solver)
        start = np.full(solver.n_owned, np.nan)
        result = solver.step(query, start)
        assert not result.converged or np.all(np.isfinite(result.value)), "converged to NaN"
        again = solver.step(query)
        assert again.converged, "a NaN start must not poison the next solve"
        solver.close()

    def test_the_query_is_left_as_it_was_and_memory_restores(self) -> None:
        solver = self.make()
        query = self.query(solver)
        before = query.state.copy()
        memory = {name: values.copy() for name, values in solver.memory().items()}
        first = solver.step(query).value.copy()
        assert np.array_equal(query.state, before)
        solver.restore(memory)
        second = solver.step(query).value
        assert np.allclose(first, second, rtol=1e-12, atol=1e-12 * float(np.max(np.abs(first), initial=1.0)))
        solver.close()

    def test_close_is_idempotent(self) -> None:
        solver = self.make()
        solver.close()
        solver.close()
