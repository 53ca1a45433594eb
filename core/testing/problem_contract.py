"""What every problem keeps: it describes itself in plain values, and its solver keeps the solver's contract."""

from __future__ import annotations

import json
import math

from cosolve.core.problem import Problem
from cosolve.core.query import Query, Transaction
from cosolve.core.solver import Solver
from cosolve.core.testing.contract import group
from cosolve.core.testing.solver_contract import SolverContract
from cosolve.core.testing.unimplemented import unimplemented


class ProblemContract(SolverContract):
    """Inherit, implement `problem`, and let pytest collect the class. Collective when run under mpirun.

    The solver that the problem builds is put through all of `SolverContract`.
    """

    def problem(self) -> Problem:
        """Return the problem, built from its options."""
        if self.entry is None:
            raise unimplemented(self, "problem", "the problem")
        model = self.entry.load_options()
        problem: Problem = self.entry.load()(None if model is None else model())
        return problem

    def make(self) -> Solver:
        """Return the problem's solver, with the defaults of the `[solver]` table."""
        model = None if self.entry is None else self.entry.load_solver_options()
        settings = {} if model is None else model().model_dump(exclude_none=True)
        return self.problem().make_solver(self.comm, settings)

    def query(self, solver: Solver) -> Query:
        """Return the first question of a run."""
        problem = self.problem()
        start, _, dt = problem.time_span
        # What cannot be stepped in time is solved as a whole.
        transaction: Transaction = "solve" if solver.unfit("step", dt) else "step"
        return Query(solver.initial_state(), start, dt, transaction=transaction, parameters=problem.parameters)

    @group("contract")
    def test_it_says_its_name_span_and_parameters(self) -> None:
        problem = self.problem()
        assert problem.name, "its name is empty"
        assert problem.name != Problem.name, "give the class a `name`: cases refer to it"
        start, end, dt = problem.time_span
        assert all(math.isfinite(value) for value in (start, end, dt)), f"time_span is {(start, end, dt)}"
        assert start < end, f"time_span ends at {end!r}, before its start {start!r}"
        assert dt > 0.0, f"time_span has the step {dt!r}"
        assert all(isinstance(name, str) for name in problem.parameters), "names of parameters must be texts"

    @group("contract")
    def test_its_description_is_plain_values(self) -> None:
        described = self.problem().describe()
        try:
            json.dumps(described)
        except (TypeError, ValueError) as error:
            raise AssertionError(f"`describe` must return values that JSON can hold: {error}") from error
