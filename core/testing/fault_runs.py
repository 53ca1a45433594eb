"""Short runs in which one part fails as told while the tested part is sound: what the fault matrix of the kits runs."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace

import numpy as np
from cosolve.core.arrays import Array
from cosolve.core.coupling import Mode
from cosolve.core.governor import Governor
from cosolve.core.outcome import Outcome
from cosolve.core.query import Query, Snapshot
from cosolve.core.session import Session
from cosolve.core.solver import Solver
from cosolve.core.surrogate import Surrogate
from cosolve.core.testing.faults import CATALOGUE, Fault, FaultRole
from cosolve.core.verdict import Grade
from cosolve.core.verifier import Verifier

STEPS = 3
_DEADLINE = 0.05
_ASLEEP = 0.1
_LIES = ("plausible", "slight", "other_rank", "random")
_ON_SEVERAL_RANKS = ("exception", "nan", "other_rank")


def faults(role: FaultRole, ranks: int, *, lies: bool = True) -> Iterator[Fault]:
    """Yield the faults of the catalogue that a run survives in this process, at step 1 on the last rank.

    What blocks for ever is left to `cosolve bench faults`, and so is most of what several ranks do not change.

    Args:
        role: Who fails.
        ranks: Number of ranks.
        lies: Whether plausible wrong answers are among them: only a certified verdict is promised to see those.
    """
    for kind in CATALOGUE.values():
        left_out = kind.blocks or kind.needs or role not in kind.roles or ranks < kind.ranks
        if left_out or (ranks > 1 and kind.name not in _ON_SEVERAL_RANKS) or (not lies and kind.name in _LIES):
            continue
        yield Fault(kind.name, ranks - 1, (1,), seconds=_ASLEEP)


def classical_run(solver: Solver, start: Query, steps: int = STEPS) -> list[Array]:
    """Return the states of a classical run from a question (collective)."""
    states = [start.state.copy()]
    for query in _questions(start, states, steps):
        result = solver.step(query)
        if not result.converged:
            raise AssertionError(f"the solver does not converge at step {query.step}: {result.reason}")
        states.append(result.value.copy())
    return states


def hybrid_run(
    solver: Solver,
    verifier: Verifier | None,
    proposers: Sequence[Surrogate],
    start: Query,
    *,
    steps: int = STEPS,
    impatient: bool = False,
) -> list[Outcome]:
    """Return the outcomes of a run in which `proposers` are asked at each step (collective).

    Args:
        solver: The solver.
        verifier: The judge; None runs without proposals.
        proposers: Who is asked.
        start: The first question.
        steps: Number of steps.
        impatient: Whether proposers and verifier have a deadline.
    """
    deadline = _DEADLINE if impatient else None
    mode: Mode = "off" if verifier is None else "replace"
    states, outcomes = [start.state.copy()], []
    with Session(solver, verifier, mode=mode, governor=Governor("off"), deadline_seconds=deadline) as session:
        for query in _questions(start, states, steps):
            outcome = session.attempt(query, tuple(proposers))
            outcomes.append(outcome)
            if not outcome.ok:
                break
            states.append(outcome.value)
    return outcomes


def _questions(start: Query, states: list[Array], steps: int) -> Iterator[Query]:
    """Yield the question of each step; `states` grows by what the caller appends."""
    dt = start.dt
    for step in range(steps):
        history = tuple(Snapshot(start.t + dt * age, states[age]) for age in range(step - 1, max(-1, step - 4), -1))
        yield replace(start, state=states[step], t=start.t + dt * step, step=step, history=history)


def last_question(solver: Solver, start: Query, steps: int = STEPS) -> Query:
    """Return the question after some classical steps, with its history (collective)."""
    states = classical_run(solver, start, steps)
    *_, query = _questions(start, states, steps + 1)
    return query


def check_run(
    outcomes: Sequence[Outcome], states: Sequence[Array], start: Query, rtol: float, what: str, solver: Solver
) -> None:
    """Check that a run ended with the classical answer (collective).

    Raises:
        AssertionError: It did not, or stopped; says at which step and by how much.
    """
    if not outcomes[-1].ok:
        raise AssertionError(f"{what}: the run stopped: {outcomes[-1].message}")
    mine = float(np.max(np.abs(states[-1]), initial=0.0))
    apart = float(np.max(np.abs(outcomes[-1].value - states[-1]), initial=0.0))
    scale = max(*solver.comm.allgather(mine), 1e-300)
    away = max(solver.comm.allgather(apart)) / scale
    # A loose tolerance lets two right answers differ: what counts then is that each passes the solver's own test.
    if not away <= rtol and not _each_passes(outcomes, start, solver):
        sources = ", ".join(outcome.source for outcome in outcomes)
        raise AssertionError(
            f"{what}: the run ends {away:.3g} away from the classical answer (allowed {rtol:g}; computed by {sources})"
        )


def _each_passes(outcomes: Sequence[Outcome], start: Query, solver: Solver) -> bool:
    """Return whether each value passes the solver's measure, or was vouched for by an estimate (collective)."""
    states = [start.state, *(outcome.value for outcome in outcomes)]
    for query, outcome in zip(_questions(start, states, len(outcomes)), outcomes, strict=True):
        estimated = (
            outcome.verdict is not None and outcome.verdict.accepted and outcome.verdict.grade is Grade.ESTIMATED
        )
        if estimated or "/" in outcome.source:  # smaller steps answer another question
            continue
        if not solver.measure(query, outcome.value).ratio <= 1.0 + 1e-6:
            return False
    return True
