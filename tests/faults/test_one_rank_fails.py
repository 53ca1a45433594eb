"""A fault on one rank only is the same decision on all ranks, and the run goes on from the last accepted state."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Literal

import numpy as np
import pytest
from cosolve.core.communicator import Communicator
from cosolve.core.governor import Governor
from cosolve.core.query import Query
from cosolve.core.result import Status
from cosolve.core.session import Session
from cosolve.core.solver import Solver
from cosolve.core.testing.faults import KINDS, Fault, Kind
from cosolve.core.testing.faulty_parts import FaultySolver, FaultyVerifier, OracleSurrogate
from cosolve.core.testing.mean_field import MeanFieldSolver, RatioVerifier
from cosolve.core.verdict import Decision

pytestmark = pytest.mark.mpi

Layout = Literal["world", "split", "empty"]
_DT = 0.1
_DEADLINE = 0.15


@pytest.fixture(params=["world", "split", "empty"])
def layout(request: pytest.FixtureRequest) -> Layout:
    name: Layout = request.param
    return name


@pytest.fixture
def group(layout: Layout, comm: Communicator) -> Iterator[Any]:
    """The communicator of the run: the world, or one of two groups that run at the same time."""
    if layout != "split" or comm.Get_size() == 1:
        yield comm
        return
    part = comm.Split(min(comm.Get_rank(), 1), -comm.Get_rank())  # type: ignore[attr-defined]  # an MPI communicator
    yield part
    part.Free()


def _empty_rank(layout: Layout, group: Communicator) -> int | None:
    return group.Get_size() - 1 if layout == "empty" and group.Get_size() > 1 else None


def _answers(group: Communicator, empty_rank: int | None, steps: int) -> list[np.ndarray[Any, Any]]:
    """Return the states of a classical run, so that an oracle need not communicate."""
    solver = MeanFieldSolver(comm=group, empty_rank=empty_rank)
    states = [solver.initial_state()]
    for step in range(steps):
        states.append(solver.step(Query(states[-1], _DT * step, _DT, step)).value)
    solver.close()
    return states


def _march(session: Session, oracle: OracleSurrogate, steps: int) -> list[Any]:
    outcomes = []
    state = session.solver.initial_state()
    for step in range(steps):
        outcome = session.attempt(Query(state, _DT * step, _DT, step), (oracle,))
        outcomes.append(outcome)
        state = outcome.value
    return outcomes


def _same_everywhere(group: Communicator, thing: object) -> None:
    everywhere = group.allgather(thing)
    assert all(other == everywhere[0] for other in everywhere), everywhere


def _run(
    group: Communicator,
    solver: Solver,
    states: list[np.ndarray[Any, Any]],
    *,
    fault: Fault | None = None,
    verifier: RatioVerifier | None = None,
    solver_deadline: float | None = None,
) -> list[Any]:
    oracle = OracleSurrogate(lambda query: states[query.step + 1], group, fault=fault)
    session = Session(
        solver,
        verifier or RatioVerifier(),
        governor=Governor("off"),
        deadline_seconds=_DEADLINE,
        solver_deadline_seconds=solver_deadline,
    )
    outcomes = _march(session, oracle, len(states) - 1)
    for outcome in outcomes:
        _same_everywhere(group, (outcome.source, outcome.status, [v.decision for v in outcome.verdicts]))
    session.close()
    solver.close()
    return outcomes


@pytest.mark.parametrize("kind", KINDS)
def test_in_the_surrogate(kind: Kind, layout: Layout, group: Communicator) -> None:
    rank, empty = group.Get_size() - 1, _empty_rank(layout, group)
    states = _answers(group, empty, 3)
    outcomes = _run(group, MeanFieldSolver(comm=group, empty_rank=empty), states, fault=Fault(kind, rank, (1,)))

    assert [outcome.source for outcome in outcomes] == ["oracle", "solver", "oracle"]
    verdict = outcomes[1].verdict
    assert verdict.decision is Decision.REJECT
    assert f"surrogate 'oracle' failed on rank {rank} at step 1: " in verdict.reason
    _same_everywhere(group, verdict.reason)
    np.testing.assert_allclose(outcomes[-1].value, states[-1], rtol=1e-10)


@pytest.mark.parametrize("before", [True, False])
@pytest.mark.parametrize("kind", KINDS)
def test_in_the_verifier(kind: Kind, before: bool, layout: Layout, group: Communicator) -> None:
    rank, empty = group.Get_size() - 1, _empty_rank(layout, group)
    states = _answers(group, empty, 3)
    verifier = FaultyVerifier(Fault(kind, rank, (1,)), before=before)
    outcomes = _run(group, MeanFieldSolver(comm=group, empty_rank=empty), states, verifier=verifier)

    assert [outcome.source for outcome in outcomes] == ["oracle", "solver", "oracle"]
    if kind != "nan":  # a measure that is not a number is a rejection, not a fault
        assert f"verifier 'faulty' failed on rank {rank} at step 1: " in outcomes[1].verdict.reason
        _same_everywhere(group, outcomes[1].verdict.reason)
    np.testing.assert_allclose(outcomes[-1].value, states[-1], rtol=1e-10)


# Before the step there is no value yet whose shape or dtype could be wrong.
@pytest.mark.parametrize(
    ("kind", "before"), [(kind, False) for kind in KINDS] + [("exception", True), ("nan", True), ("deadline", True)]
)
def test_in_the_solver(kind: Kind, before: bool, layout: Layout, group: Communicator) -> None:
    rank, empty = group.Get_size() - 1, _empty_rank(layout, group)
    states = _answers(group, empty, 3)
    solver = FaultySolver(Fault(kind, rank, (1,)), comm=group, before=before, empty_rank=empty, dt=_DT)
    oracle_fails = Fault("exception", 0, (1,))
    outcomes = _run(group, solver, states, fault=oracle_fails, solver_deadline=_DEADLINE)

    if before and kind == "nan" and rank == empty:  # a rank without values has none to spoil: the step holds
        assert outcomes[1].source == "solver"
    else:
        assert [outcome.source for outcome in outcomes] == ["oracle", "solver/2", "solver"]
        assert outcomes[1].rung == "smaller steps"
    assert all(outcome.ok for outcome in outcomes)


@pytest.mark.parametrize("kind", KINDS)
def test_a_solver_that_never_works_stops_at_the_last_accepted_state(
    kind: Kind, layout: Layout, group: Communicator
) -> None:
    rank, empty = group.Get_size() - 1, _empty_rank(layout, group)
    states = _answers(group, empty, 2)
    fault = Fault(kind, rank, (1,), seconds=0.2)
    solver = FaultySolver(fault, comm=group, before=False, empty_rank=empty, whole_steps_only=False)
    outcomes = _run(group, solver, states, fault=Fault("exception", 0, (1,)), solver_deadline=_DEADLINE)

    assert outcomes[1].status is Status.FAULT
    assert f"solver 'faulty' failed on rank {rank} at step 1: " in outcomes[1].message
    assert outcomes[1].t_end == pytest.approx(_DT)
    assert outcomes[1].source == ""
    _same_everywhere(group, outcomes[1].message)
    np.testing.assert_array_equal(outcomes[1].value, states[1])
