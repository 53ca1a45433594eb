"""What every solver keeps, tested on the third party's own object."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace

import numpy as np
from cosolve.core.arrays import Array
from cosolve.core.errors import CosolveError
from cosolve.core.query import Query
from cosolve.core.solver import Solver
from cosolve.core.testing.contract import Contract, gathered, group
from cosolve.core.testing.fault_runs import check_run, classical_run, faults, hybrid_run
from cosolve.core.testing.faults import plant
from cosolve.core.testing.faulty_parts import OracleSurrogate
from cosolve.core.testing.mean_field import RatioVerifier
from cosolve.core.testing.memory import growth
from cosolve.core.testing.unimplemented import unimplemented


class SolverContract(Contract):
    """Inherit, implement `make` and `query`, and let pytest collect the class. Collective when run under mpirun."""

    measured = True
    """False for a solver whose steps have no equation of their own to measure by, so that it measures NaN."""
    steps: int | None = None
    """How many transactions there are, where their number has an end."""
    restored_rtol = 1e-12
    """How near the answer after `restore` must be; looser for a solver that reuses what it assembled before."""
    fault_rtol = 1e-5
    """How near a run with failing proposals must be to the classical one, relative to the largest value."""

    def make(self) -> Solver:
        """Return a ready solver on `self.comm`."""
        solver: Solver = self.made("a ready solver")
        return solver

    def make_with_an_empty_rank(self) -> Solver | None:
        """Return a solver of which one rank owns nothing; None where that cannot be had."""
        return None

    def query(self, solver: Solver) -> Query:
        """Return a question (state, t, dt) that the solver can answer."""
        if self.entry is None:
            raise unimplemented(self, "query", "a Query")
        return Query(solver.initial_state(), 0.0, 0.1)

    def _unmeasured(self) -> bool:
        """Say that a check of the measure does not apply, where it does not."""
        if not self.measured:
            self.leave_out("its steps have no equation of their own: nothing is measured")
        return not self.measured

    @contextmanager
    def opened(self) -> Iterator[tuple[Solver, Query]]:
        """Yield a solver and a question, and close the solver when all went well: closing is collective."""
        solver = self.make()
        yield solver, self.query(solver)
        solver.close()

    def test_it_has_a_name_of_its_own(self) -> None:
        solver = self.make()
        assert solver.name, "its name is empty"
        assert solver.name != Solver.name, "give the class a `name`: the ledger and cases refer to it"
        solver.close()

    def test_it_leaves_the_public_methods_alone(self) -> None:
        solver = self.make()
        for name in ("step", "correct"):
            assert getattr(type(solver), name) is getattr(Solver, name), (
                f"it overrides `{name}`, which validates and times; write `_{name}` instead"
            )
        solver.close()

    def test_the_initial_state_has_the_owned_size(self) -> None:
        solver = self.make()
        state = solver.initial_state()
        assert state.shape == (solver.n_owned,), f"initial_state has shape {state.shape}, n_owned is {solver.n_owned}"
        assert np.issubdtype(state.dtype, np.floating), f"initial_state has dtype {state.dtype}, expected a real one"
        solver.close()

    def test_its_own_answer_passes_its_own_measure(self) -> None:
        if self._unmeasured():
            return
        with self.opened() as (solver, query):
            result = solver.step(query)
            assert result.converged, f"a plain step does not converge: {result.reason}"
            ratio = solver.measure(query, result.value).ratio
            assert ratio <= 1.0 + 1e-6, f"the solver stopped at {ratio:.3g} of its tolerance by its own measure"

    def test_the_measure_sees_a_wrong_state(self) -> None:
        if self._unmeasured():
            return
        with self.opened() as (solver, query):
            value = solver.step(query).value.copy()
            right = solver.measure(query, value).ratio
            wrong = value + 0.1 * (1.0 + np.abs(value)) * np.cos(np.arange(value.size))
            seen = solver.measure(query, wrong).ratio
            assert seen > max(10.0 * right, 1.0), (
                f"a wrong state measures {seen:.3g} of the tolerance, its own answer {right:.3g}: `measure` must take "
                "the residual of the equations that `_step` solves"
            )

    def test_the_measure_of_nan_is_no_small_number(self) -> None:
        with self.opened() as (solver, query):
            ratio = solver.measure(query, np.full(solver.n_owned, np.nan)).ratio
            assert not ratio <= 1.0, f"a state of NaN measures {ratio:.3g} of the tolerance"

    def test_the_tolerance_does_not_depend_on_the_candidate(self) -> None:
        with self.opened() as (solver, query):
            value = solver.step(query).value.copy()
            first = dict(solver.measure(query, value).tolerances)
            second = dict(solver.measure(query, value + 1.0).tolerances)
            assert first == second, f"the tolerance depends on the candidate: {first} and {second}"

    def test_a_good_start_costs_no_more_and_gives_the_same_answer(self) -> None:
        with self.opened() as (solver, query):
            cold = solver.step(query)
            warm = solver.step(query, cold.value.copy())
            assert warm.converged, f"from its own answer it does not converge: {warm.reason}"
            assert warm.iterations <= cold.iterations, (
                f"from its own answer it needs {warm.iterations} iterations, from its default start {cold.iterations}"
            )
            ratio = solver.measure(query, warm.value).ratio
            assert not self.measured or ratio <= 1.0 + 1e-6, (
                f"from its own answer it stops at {ratio:.3g} of its tolerance"
            )

    def test_nan_in_gives_a_result_that_says_so_and_no_exception(self) -> None:
        with self.opened() as (solver, query):
            result = solver.step(query, np.full(solver.n_owned, np.nan))
            assert not result.converged or np.all(np.isfinite(result.value)), "from a start of NaN it converges to NaN"
            again = solver.step(query)
            assert again.converged, "a start of NaN poisons the next solve"

    @group("determinism")
    def test_the_query_is_left_as_it_was_and_memory_restores(self) -> None:
        with self.opened() as (solver, query):
            before = query.state.copy()
            memory = {name: values.copy() for name, values in solver.memory().items()}
            first = solver.step(query).value.copy()
            assert np.array_equal(query.state, before), "it changes the state of the question in place"
            solver.restore(memory)
            second = solver.step(query).value
            size = float(np.max(np.abs(first), initial=1.0))
            assert np.allclose(first, second, rtol=self.restored_rtol, atol=self.restored_rtol * size), (
                "after `restore` the same question has another answer: what it keeps belongs into `memory`"
            )

    @group("precision")
    def test_a_float64_answer_to_a_float64_state(self) -> None:
        with self.opened() as (solver, query):
            value = solver.step(query).value
            assert value.dtype == query.state.dtype, (
                f"the answer has dtype {value.dtype}, the state {query.state.dtype}"
            )

    @group("inputs")
    def test_nearly_valid_questions_are_refused_by_a_typed_error(self) -> None:
        with self.opened() as (solver, query):
            state = query.state
            wrong = {
                "shape: one value too many": replace(query, state=np.append(state, 0.0)),
                "shape: one axis too many": replace(query, state=state[:, None]),
                "dtype: whole numbers": replace(query, state=np.zeros(state.shape, np.int64)),
                "dtype: complex": replace(query, state=state.astype(np.complex128)),
                "order of bytes": replace(query, state=state.astype(state.dtype.newbyteorder())),
            }
            for what, question in wrong.items():
                try:
                    solver.step(question)
                except CosolveError:
                    continue
                except Exception as error:
                    raise AssertionError(
                        f"{what}: expected an error of cosolve, got {type(error).__name__}: {error}"
                    ) from error
                raise AssertionError(f"{what}: expected an error of cosolve, but it answers")

    @group("memory")
    def test_memory_does_not_grow(self) -> None:
        with self.opened() as (solver, query):

            def call(index: int) -> None:
                result = solver.step(replace(query, step=index if self.steps is None else index % self.steps))
                solver.measure(query, result.value)

            grown = growth(call, self.calls)
            assert not grown, f"{grown}, asked for the same step"

    @group("faults")
    def test_whatever_a_proposal_does_wrong_the_run_ends_with_the_classical_answer(self) -> None:
        with self.opened() as (solver, start):
            memory = {name: values.copy() for name, values in solver.memory().items()}
            states = classical_run(solver, start)
            answers = {"answer": lambda query: states[query.step + 1], "lie": lambda query: query.state + 1.0}
            for fault in faults("surrogate", self.comm.Get_size()):
                solver.restore(memory)
                oracle = OracleSurrogate(answers["answer"], self.comm)
                with plant(oracle, fault, self.comm):
                    outcomes = hybrid_run(solver, RatioVerifier(), [oracle], start, impatient=True)
                check_run(outcomes, states, start, self.fault_rtol, f"{fault.kind} in the proposal", solver)
            solver.restore(memory)
            outcomes = hybrid_run(solver, RatioVerifier(), [OracleSurrogate(answers["lie"], self.comm)], start)
            check_run(outcomes, states, start, self.fault_rtol, "a lie of the surrogate", solver)

    @group("ranks")
    def test_a_rank_that_owns_nothing_takes_part(self) -> None:
        solver = self.make_with_an_empty_rank()
        if solver is None:
            self.leave_out("`make_with_an_empty_rank` gives no solver")
            return
        query = self.query(solver)
        result = solver.step(query)
        assert result.converged, f"with a rank that owns nothing a plain step does not converge: {result.reason}"
        ratio = solver.measure(query, result.value).ratio
        assert ratio <= 1.0 + 1e-6, f"with a rank that owns nothing it stops at {ratio:.3g} of its tolerance"
        solver.close()

    @group("ranks")
    def test_the_measure_is_the_same_on_every_rank(self) -> None:
        if self._unmeasured():
            return
        with self.opened() as (solver, query):
            value = solver.step(query).value
            rank = solver.comm.Get_rank()
            off = value + 0.01 * (1.0 + rank)
            ratios = solver.comm.allgather(solver.measure(query, off).ratio)
            assert min(ratios) == max(ratios), (
                f"`measure` differs between ranks ({', '.join(f'{ratio:.4g}' for ratio in ratios)}): reduce over `comm`"
            )

    @group("contract")
    def test_close_is_idempotent(self) -> None:
        solver = self.make()
        solver.close()
        solver.close()

    def trial(self) -> None:
        self.make().close()

    def probe(self) -> dict[str, Array]:
        """Return the states of a short run, values in the order of their places where it says them (collective)."""
        if self.serial:
            return {}
        with self.opened() as (solver, query):
            states = classical_run(solver, query, 2)
            try:
                places = solver.coordinates()
            except NotImplementedError:
                # Without places the sorted values are all that can be compared.
                places = states[-1][:, None]
            return {"state after 2 steps": gathered(self.comm, states[-1], places)}
