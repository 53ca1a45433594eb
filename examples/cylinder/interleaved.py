"""Classical and hybrid run of one inflow, side by side in blocks of steps, so that a busy machine slows both alike."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from cosolve.core.arrays import Array
from cosolve.core.errors import NotConvergedError
from cosolve.core.governor import Governor
from cosolve.core.loop import Loop, LoopState
from cosolve.core.query import Query
from cosolve.core.result import Status
from cosolve.core.session import Session
from cosolve.core.surrogate import Surrogate
from cosolve.core.verifier import Verifier
from cosolve.examples.cylinder.mesh import FloatArray
from cosolve.examples.cylinder.problem import CylinderProblem
from cosolve.examples.cylinder.solver import ChannelSolver

BLOCK = 50
"""Steps of one run before it is the other's turn."""

FORCES_FROM = 3.0
"""Time from which drag and lift are computed: both peaks come later. Not timed, it serves the bench alone."""


@dataclass(slots=True)
class Side:
    """One of the two runs.

    Attributes:
        loop: Its loop.
        state: Where it stands.
        seconds: CPU seconds of each block.
        forces: Time, drag and lift of steps after `FORCES_FROM`.
        accepted: Queries that were answered by a proposal, and the answers.
        keep: Told each state that was reached, outside of the timing.
    """

    loop: Loop
    state: LoopState
    keep: Callable[[LoopState], None] | None = None
    seconds: list[float] = field(default_factory=list)
    forces: list[tuple[float, float, float]] = field(default_factory=list)
    accepted: list[tuple[Query, Array]] = field(default_factory=list)

    def advance(self, solver: ChannelSolver, steps: int) -> None:
        """Take at most `steps` steps; time them without what serves the bench alone.

        Raises:
            NotConvergedError: A step failed.
        """
        spent = 0.0
        for _ in range(steps):
            if self.loop.terminate(self.state):
                break
            before = self.state
            start = time.process_time()
            self.state = self.loop.step(before)
            spent += time.process_time() - start
            if self.state.status is not Status.SUCCESS:
                raise NotConvergedError(self.state.message)
            outcome = self.state.outcome
            if outcome is not None and outcome.solve is None:
                dt = float(self.loop.dt)  # type: ignore[arg-type]  # a number here, never a function
                query = Query(before.value, before.t, dt, before.step, parameters=self.loop.parameters)
                self.accepted.append((query, outcome.value))
            if self.keep is not None:
                self.keep(self.state)
            if self.state.t >= FORCES_FROM:
                values = solver.quantities(self.state.value)
                self.forces.append((self.state.t, values["drag"], values["lift"]))
        self.seconds.append(spent)


@dataclass(frozen=True, slots=True)
class Pair:
    """What both runs of one inflow gave.

    Attributes:
        classical: The run that asks nobody.
        hybrid: The run with proposers.
        stats: Counts of the hybrid's session.
        bad: Accepted answers that the solver would not have stopped at, measured anew after the run.
    """

    classical: Side
    hybrid: Side
    stats: dict[str, Any]
    bad: int

    @property
    def ratio(self) -> float:
        """CPU time of the hybrid over that of the classical run."""
        return sum(self.hybrid.seconds) / sum(self.classical.seconds)

    def block_ratios(self) -> FloatArray:
        """Return the ratios of neighbouring blocks."""
        ratios: FloatArray = np.array(self.hybrid.seconds) / np.array(self.classical.seconds)
        return ratios


def run_both(
    problem: CylinderProblem,
    solver: ChannelSolver,
    proposers: Sequence[Surrogate],
    verifier: Verifier,
    progress: Callable[[float], None],
    keep: Callable[[LoopState], None] | None = None,
) -> Pair:
    """Run classically and with proposers, in turn (serial).

    Args:
        problem: The inflow and the time span.
        solver: Steps both runs: it has no memory beyond what belongs to one query.
        proposers: Who may propose in the hybrid run, under a governor that measures.
        verifier: The judge.
        progress: Told the share that is done.
        keep: Told each state of the classical run.
    """
    start, end, dt = problem.time_span
    # The flow changes its nature half-way, from nearly steady to shedding vortices: look again at least every 64 steps.
    governor = Governor(longest_interval=64)
    sessions = Session(solver, None, mode="off"), Session(solver, verifier, governor=governor)
    with sessions[0], sessions[1]:
        sides = []
        for session, chain in zip(sessions, ([], proposers), strict=True):
            loop = Loop(session, chain, t=start, t_end=end, dt=dt, parameters=problem.parameters, handle_signals=False)
            sides.append(Side(loop, loop.init()))
        classical, hybrid = sides
        classical.keep = keep
        turn = 0
        while not classical.loop.terminate(classical.state) or not hybrid.loop.terminate(hybrid.state):
            # Who goes first changes: a cache that the other warmed must not favour one of them.
            for side in sides if turn % 2 == 0 else sides[::-1]:
                side.advance(solver, BLOCK)
            turn += 1
            if turn % 8 == 0:
                progress((classical.state.t - start) / (end - start))
        stats = dict(sessions[1].stats)
    bad = sum(not solver.measure(query, value).ratio <= 1.0 for query, value in hybrid.accepted)
    return Pair(classical, hybrid, stats, bad)


def peak(forces: Sequence[tuple[float, float, float]], column: int) -> tuple[float, float]:
    """Return time and value of the largest drag (column 1) or lift (column 2), by a parabola through three steps."""
    table = np.array(forces)
    best = int(np.argmax(table[:, column]))
    if not 0 < best < len(table) - 1:
        return float(table[best, 0]), float(table[best, column])
    left, middle, right = table[best - 1 : best + 2, column]
    shift = 0.5 * (left - right) / (left - 2.0 * middle + right)
    dt = table[best + 1, 0] - table[best, 0]
    return float(table[best, 0] + shift * dt), float(middle - 0.25 * (left - right) * shift)
