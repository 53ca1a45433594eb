"""The bounded ladder: correct, step, smaller steps, stop at the last accepted state."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from cosolve.core.arrays import Array
from cosolve.core.governor import Governor
from cosolve.core.query import Query
from cosolve.core.result import Status
from cosolve.core.session import Session
from cosolve.core.solver import SolveResult
from cosolve.core.testing.faults import Fault
from cosolve.core.testing.faulty_parts import FaultySolver
from cosolve.core.testing.mean_field import MeanFieldSolver, RatioVerifier

DT = 0.1


def session(solver: MeanFieldSolver, smallest_step_fraction: float = 1 / 8) -> Session:
    return Session(solver, RatioVerifier(), governor=Governor("off"), smallest_step_fraction=smallest_step_fraction)


class Multistep(MeanFieldSolver):
    """Remembers how many steps it took; a rollback must take them back."""

    def __init__(self) -> None:
        super().__init__()
        self.taken = np.zeros(1)

    def _step(self, query: Query, x0: Array | None) -> SolveResult:
        self.taken[0] += 1.0
        result = super()._step(query, x0)
        return SolveResult(result.value, query.dt < 0.3 * DT, "planted")

    def memory(self) -> Mapping[str, Array]:
        return {"taken": self.taken}

    def restore(self, memory: Mapping[str, Array]) -> None:
        self.taken[:] = memory["taken"]


def test_the_ladder_takes_smaller_steps_and_rolls_the_memory_back_between_rungs() -> None:
    solver = Multistep()
    one = session(solver)
    outcome = one.attempt(Query(solver.initial_state(), dt=DT))
    assert (outcome.source, outcome.rung, outcome.t_end) == ("solver/4", "smaller steps", DT)
    assert solver.taken[0] == 4.0


def test_the_ladder_is_bounded_and_stops_at_the_last_accepted_state() -> None:
    solver = Multistep()
    one = session(solver, smallest_step_fraction=0.5)
    query = Query(solver.initial_state(), dt=DT)
    outcome = one.attempt(query)
    assert (outcome.status, outcome.source, outcome.rung, outcome.t_end) == (Status.NOT_CONVERGED, "", "stopped", 0.0)
    np.testing.assert_array_equal(outcome.value, query.state)
    assert solver.taken[0] == 0.0
    assert "step: did not converge within 0 iterations (planted)" in outcome.message
    assert "2 smaller steps: part 1 of 2: did not converge" in outcome.message
    assert "choose a smaller step, more iterations or a looser tolerance" in outcome.message


def test_a_steady_solve_has_no_smaller_steps() -> None:
    solver = FaultySolver(Fault("exception"), whole_steps_only=False)
    outcome = session(solver).attempt(Query(solver.initial_state(), transaction="solve"))
    assert outcome.status is Status.FAULT
    assert "smaller steps:" not in outcome.message
