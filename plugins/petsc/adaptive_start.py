"""Starts of symmetric positive definite solves, chosen among the classical ones, with proposals or without."""

from __future__ import annotations

import math
import time
from collections import deque
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, ClassVar, Final

import numpy as np
from cosolve.core.arrays import Array
from cosolve.core.errors import BadInputError, PluginError
from cosolve.core.prediction import Prediction
from cosolve.core.query import Query
from cosolve.core.solver import Solver
from cosolve.core.surrogate import Surrogate
from cosolve.plugins.petsc.energy_projection import said
from cosolve.plugins.petsc.energy_space import RECENT, EnergySpace
from cosolve.plugins.petsc.ksp import KspSolver
from cosolve.plugins.petsc.start_choice import SPACE, Prices, Seen, Start, StartChoice

WEIGHTS: Final = {
    "previous": (1.0,),
    "linear": (2.0, -1.0),
    "quadratic": (3.0, -3.0, 1.0),
    "cubic": (4.0, -6.0, 4.0, -1.0),
}
"""Of the last solutions, newest first: the polynomial through solves at equal distances."""

_CHANGING: Final = 5
"""Directions at most where the operator changes: each costs a product with it."""


@dataclass(slots=True)
class _Solve:
    """What is known of the solve in progress."""

    start: Start
    studied: bool
    known: Array | None = None
    state: Array | None = None
    guests: list[Array] = field(default_factory=list)
    along: list[float] = field(default_factory=list)
    recent: list[Array] = field(default_factory=list)
    began: float = 0.0
    solve_seconds: float = math.nan
    space_seconds: float = 0.0
    proposal_seconds: float = 0.0
    work: float = math.nan
    """Product of solution and right-hand side, of this rank: the square of the solution's energy norm."""
    iterations: int = 0


class AdaptiveStart(Surrogate):
    """Starts each solve of a KSP as the cheapest of the classical starts would, and lets proposals join where they pay.

    The starts are zero, the last solution, polynomials through the last ones, and the projection over the last `size`
    in the energy norm; the last and the first also with the proposals joined to the space, which makes the energy error
    no larger than without them. See `cosolve.plugins.petsc.start_choice` for how one is chosen.

    Args:
        size: Solutions that the space keeps at most.
        joined: Proposers whose answers may join; a fault, a NaN or a wrong shape of theirs on a rank leaves them out on
            all ranks. Must not communicate.
        prices: What the parts cost, by the names of `Prices`; None to measure it. With the prices that a ledger has in
            the notes of this proposer, a run is repeated decision by decision.

    Attributes:
        asked: Solves for which the proposers were asked.
        last: The last start.
        alone: What the last start would have been without proposals; None where none joined.
        history: The last starts that were chosen, a thousand at most.

    Raises:
        BadInputError: The size is not positive, a proposer communicates, or a price has an unknown name.
    """

    name: ClassVar[str] = "adaptive_start"
    is_baseline: ClassVar[bool] = True
    covers: ClassVar[bool] = True
    collective: ClassVar[bool] = True
    predict_keeps_memory: ClassVar[bool] = True

    def __init__(
        self, size: int = 20, joined: Sequence[Surrogate] = (), prices: Mapping[str, float] | None = None
    ) -> None:
        if size < 1:
            raise BadInputError(f"adaptive_start keeps at least one solution, got size = {size!r}")
        for proposer in joined:
            if proposer.collective:
                raise BadInputError(f"{proposer.name!r} communicates, so it cannot join adaptive_start")
        self.size, self.joined = size, tuple(joined)
        self.asked = 0
        self.last: Array = np.zeros(0)
        self.alone: Array | None = None
        self.history: deque[Start] = deque(maxlen=1000)
        self.choice = StartChoice(bool(joined), None if prices is None else _prices(prices))
        self._notes: dict[tuple[Start, str], dict[str, Any]] = {}
        self._space: EnergySpace | None = None
        self._alone: EnergySpace | None = None
        self._states: list[Array] = []
        self._learnt: Array | None = None
        self._followed = False
        self._solve: _Solve | None = None

    def bind(self, solver: Solver) -> None:
        """Keep the solver: its operator, right-hand side and communicator (collective).

        Raises:
            PluginError: The solver wraps no KSP.
        """
        if not isinstance(solver, KspSolver):
            raise PluginError(
                f"adaptive_start works in the norm of a KSP's operator, but the solver is {solver.name!r}; "
                "use 'projection', which needs a residual only"
            )
        if self._space is None or self._space.solver is not solver:
            self._space = EnergySpace(solver, self.size, len(self.joined))
            self._alone = EnergySpace(solver, 0, len(self.joined))
        for proposer in self.joined:
            proposer.bind(solver)

    def _predict(self, query: Query) -> Prediction:
        space = self._space
        if space is None:
            raise PluginError("adaptive_start was asked before `bind(solver)`")
        space.solver.tolerance(query)  # lets the user set right-hand side and operator of this query
        decision = self._finish(space)
        choice = self.choice
        start = choice.next()
        solve = self._solve = _Solve(start, choice.studying)
        self.history.append(start)
        notes = self._notes.get((start, choice.phase))
        if notes is None:
            notes = self._notes[start, choice.phase] = {"start": str(start), "phase": choice.phase}
        if decision:
            notes = notes | {"decision": decision, "prices": choice.memory()}
        if solve.studied or start.base == SPACE:
            began = time.process_time()
            if not self._followed:
                space.follow_operator(_CHANGING)
            solve.known = space.coordinates()
            solve.state = space.combine(solve.known)
            solve.recent = space.recent
            solve.space_seconds = time.process_time() - began
        if start.joined:
            self._ask(query, space if start.base == SPACE else self._alone, solve)
        self.last = self._value(query, solve, space)
        self.alone = None
        if solve.along:
            self.alone = np.zeros_like(self.last) if solve.state is None or start.base != SPACE else solve.state
        value = self.last.astype(query.state.dtype)
        solve.began = time.process_time()
        return Prediction(value, notes=notes)

    def _ask(self, query: Query, space: EnergySpace | None, solve: _Solve) -> None:
        """Ask the proposers, and let their answers join (collective)."""
        assert space is not None
        began = time.process_time()
        if space is self._alone:
            space.coordinates()  # those that joined before have left
        for proposer in self.joined:
            joined = space.join(said(proposer, query))
            if joined is not None:
                solve.guests.append(joined.coordinates)
                solve.along.append(joined.along)
        self.asked += 1
        solve.proposal_seconds = time.process_time() - began

    def _value(self, query: Query, solve: _Solve, space: EnergySpace) -> Array:
        base, joined = solve.start
        if base == SPACE:
            assert solve.known is not None
            assert solve.state is not None
            return space.combine(np.append(solve.known, solve.along)) if solve.along else solve.state
        if joined and solve.along:
            assert self._alone is not None
            return self._alone.combine(np.array(solve.along))
        if base == "zero" or not self._states:
            return np.zeros_like(query.state)
        weights = list(WEIGHTS.values())[min(len(self._states), len(WEIGHTS[base])) - 1]
        value: Array = weights[0] * self._states[0]
        for weight, state in zip(weights[1:], self._states[1:], strict=False):
            value += weight * state
        return value

    def observe(self, query: Query, value: Array) -> None:
        """Keep what the next prediction learns from, where ranks may communicate."""
        solve, space = self._solve, self._space
        if solve is not None and space is not None:
            solve.solve_seconds = time.process_time() - solve.began
            solve.iterations = space.solver.iterations
            if solve.studied:
                solve.work = float(value @ space.solver.b.array_r)
            if solve.known is not None or solve.start.base in WEIGHTS:
                self._learnt = value.copy()
        for proposer in self.joined:
            proposer.observe(query, value)

    def _finish(self, space: EnergySpace) -> str:
        """Learn from the last solve, and let the choice know of it (collective); return its decision."""
        solve, learnt = self._solve, self._learnt
        self._solve = self._learnt = None
        self._followed = False
        if solve is None or math.isnan(solve.solve_seconds):
            return ""
        if learnt is None or (solve.start.base not in WEIGHTS and not solve.studied):
            self._states = []
        else:
            self._states = [learnt, *self._states][:RECENT]
        if solve.known is not None and learnt is not None:
            began = time.process_time()
            changed, self._followed = space.follow_operator(_CHANGING), True
            space.learn(learnt, *(() if changed else (solve.known, solve.state)))
            solve.space_seconds += time.process_time() - began
        else:
            space.recent = []  # a gap: what is in the space is no longer the history
        if not solve.studied:
            return self.choice.held(solve.iterations)
        # Where nobody could join, it was the base alone.
        start = solve.start if solve.along else Start(solve.start.base)
        errors = {} if learnt is None else self._errors(space, solve)
        seen = Seen(start, solve.iterations, errors)
        if self.choice.prices is None:
            seen.seconds = self._slowest(space, solve)
        return self.choice.record(seen)

    def _errors(self, space: EnergySpace, solve: _Solve) -> dict[Start, float]:
        """Return the energy error of each start over the energy norm of the solution, from coordinates (collective)."""
        assert solve.known is not None
        local, total = np.array([solve.work]), np.zeros(1)
        space.solver.comm.Allreduce(local, total)
        inside = float(solve.known @ solve.known)
        outside = space.energy**2 if math.isfinite(space.energy) else max(float(total[0]) - inside, 0.0)
        norm2 = inside + outside
        if not norm2 > 0.0:
            return {}
        guests = solve.guests if solve.start.base == SPACE else []
        along = solve.along if solve.start.base == SPACE else []
        point = np.append(solve.known, along)
        beyond = max(outside - float(np.dot(along, along)), 0.0)

        def error(left: Array) -> float:
            return math.sqrt((float(left @ left) + beyond) / norm2)

        errors = {Start("zero"): 1.0, Start(SPACE): math.sqrt(outside / norm2)}
        for base, weights in WEIGHTS.items():
            if len(solve.recent) >= len(weights):
                guess = sum(w * column for w, column in zip(weights, solve.recent, strict=False))
                errors[Start(base)] = error(point - np.append(guess, np.zeros(len(along))))
        if guests:
            span = np.zeros((len(point), len(guests)))
            for column, guest in zip(span.T, guests, strict=True):
                column[: len(guest)] = guest
            weights_, *_ = np.linalg.lstsq(span, point, rcond=None)
            errors[Start("zero", True)] = error(point - span @ weights_)
            errors[Start(SPACE, True)] = math.sqrt(beyond / norm2)
        return errors

    def _slowest(self, space: EnergySpace, solve: _Solve) -> tuple[float, float, float]:
        """Return the seconds of the parts on the slowest rank (collective)."""
        asked = solve.proposal_seconds if solve.start.joined else math.nan
        seconds = np.array([solve.solve_seconds, solve.space_seconds, asked])
        comm = space.solver.comm
        if comm.Get_size() > 1:
            from mpi4py import MPI

            slowest = np.empty_like(seconds)
            comm.Allreduce(seconds, slowest, MPI.MAX)
            seconds = slowest
        return float(seconds[0]), float(seconds[1]), float(seconds[2])

    def close(self) -> None:
        """Free the vectors (collective)."""
        for space in (self._space, self._alone):
            if space is not None:
                space.close()


def _prices(given: Mapping[str, float]) -> Prices:
    unknown = sorted(set(given) - set(Prices.__dataclass_fields__))
    if unknown or "iteration" not in given or "space" not in given:
        raise BadInputError(
            f"prices need 'iteration' and 'space', and may have 'proposals'; found {', '.join(sorted(given)) or 'none'}"
        )
    return Prices(**given)
