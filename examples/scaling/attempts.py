"""Counts the collectives of one attempt, and measures the gate's share of a step; both on the ranks that call it."""

from __future__ import annotations

from collections import Counter
from statistics import median
from typing import Any, Final, Literal

import numpy as np
from cosolve.core.arrays import Array
from cosolve.core.communicator import Communicator, SerialCommunicator
from cosolve.core.governor import Governor
from cosolve.core.loop import LoopState
from cosolve.core.prediction import Prediction
from cosolve.core.query import Query
from cosolve.core.registry import Registry
from cosolve.core.session import Session
from cosolve.core.surrogate import Surrogate
from cosolve.core.testing.faulty_parts import OracleSurrogate
from cosolve.core.testing.mean_field import MeanFieldSolver, RatioVerifier
from cosolve.couplings.time_loop import time_loop
from cosolve.examples.scaling.counting import CountingCommunicator

What = Literal["accepted", "rejected", "nobody asked"]
WHATS: Final[tuple[What, ...]] = ("accepted", "rejected", "nobody asked")


class _Still(MeanFieldSolver):
    """Its step needs no iteration, so that what is counted is the attempt and not the solver."""

    def _step(self, query: Query, x0: Array | None) -> Any:
        return self._newton(query, self.answer, 0)

    answer: Array = np.zeros(0)


def count_attempt(comm: Communicator, size: int, what: What) -> dict[str, int]:
    """Return the collectives and bytes of one attempt beside what the solver's own step needs (collective).

    Args:
        comm: Communicator.
        size: Number of values over all ranks.
        what: Whether the proposal is accepted, rejected, or nobody is asked.
    """
    counting = CountingCommunicator(comm)
    # The norm of so many values rounds: the tolerance must not depend on their number.
    solver = _Still(size, counting, atol=1e-6)
    start = solver.initial_state()
    answer = MeanFieldSolver.step(MeanFieldSolver(size, counting, atol=1e-10), Query(start, 0.0, 0.1)).value
    solver.answer = answer
    error = 1.0 if what == "rejected" else 0.0
    oracle = OracleSurrogate(lambda query: answer, counting, error=error)
    session = Session(solver, RatioVerifier(), governor=Governor("off"))
    proposers = () if what == "nobody asked" else (oracle,)
    session.bind(proposers)
    alone = _solver_alone(solver, start)
    before = Counter(counting.tally)
    outcome = session.attempt(Query(start, 0.0, 0.1), proposers)
    assert outcome.ok
    used = Counter(counting.tally)
    used.subtract(before)
    if what != "accepted":  # the solver's own step is its own business
        used.subtract(alone)
    session.close()
    solver.close()
    names = ("Allreduce", "bcast", "allgather", "Barrier", "bytes")
    found = {name: used[name] for name in names}
    return {"collectives": sum(found[name] for name in names[:-1]), **found}


def _solver_alone(solver: _Still, start: Array) -> Counter[str]:
    tally = solver.comm.raw.tally  # type: ignore[attr-defined]  # the counting communicator of this module
    before = Counter(tally)
    solver.step(Query(start, 0.0, 0.1))
    used = Counter(tally)
    used.subtract(before)
    return used


class Quadratic(Surrogate):
    """Extrapolates by a parabola: the cheapest proposer, so that the gate is what is measured."""

    name = "quadratic"
    predict_keeps_memory = True

    def _predict(self, query: Query) -> Prediction:
        if len(query.history) < 2:
            return Prediction(query.state.copy())
        return Prediction(3.0 * (query.state - query.history[0].state) + query.history[1].state)


def gate_share(comm: Any, cells: int, steps: int) -> dict[str, float]:
    """Return the seconds of a step's parts on nonlinear heat conduction, medians over the steps (collective).

    Everybody is asked and judged in each step and the solver computes it all the same (shadow), so that both are
    measured in the same step.
    """
    # Imported here: collectives are counted where there is no dolfinx.
    from cosolve.examples.heat.options import HeatOptions
    from cosolve.examples.heat.problem import HeatProblem
    from mpi4py import MPI

    problem = HeatProblem(HeatOptions(cells=cells))
    costs: list[Any] = []

    def keep(state: LoopState) -> None:
        if state.outcome is not None and state.step > 3:
            costs.append(state.outcome.cost)

    world = comm if not isinstance(comm, SerialCommunicator) else MPI.COMM_SELF
    verifier = Registry.discover().load("verifier", "residual", where="bench scaling")()
    with problem.make_solver(world, {"prefix": "scaling_"}) as solver:
        time_loop(
            solver,
            Quadratic(),
            t_end=0.02 * steps,
            dt=0.02,
            mode="shadow",
            verifier=verifier,
            parameters=problem.parameters,
            governor=Governor("off"),
            on_step=keep,
        )
    parts = {
        name: median(getattr(cost, name) for cost in costs) for name in ("propose", "verify", "solve", "machinery")
    }
    share = median((cost.verify + cost.machinery) / cost.solve for cost in costs)
    return {**parts, "gate_share": share, "agreement_share": median(cost.machinery / cost.solve for cost in costs)}
