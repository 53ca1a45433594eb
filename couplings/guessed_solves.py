"""A sequence of solves, each from the best of several starts: what the coupling `initial_guess` runs."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from types import TracebackType
from typing import Any, Self, TypeAlias

import numpy as np
from cosolve.core.arrays import Array
from cosolve.core.loop import LoopState
from cosolve.core.outcome import Outcome
from cosolve.core.prediction import Prediction
from cosolve.core.query import Query, Snapshot
from cosolve.core.session import Session
from cosolve.core.surrogate import Surrogate

Start: TypeAlias = Callable[[Mapping[str, Any]], Array]
"""A user's own start: takes the parameters of a solve, returns owned values; must not communicate."""

_HISTORY = 20


class FunctionStart(Surrogate):
    """A user's own function of the parameters as a proposer."""

    predict_keeps_memory = True

    def __init__(self, function: Start, name: str = "own") -> None:
        self.name = name  # type: ignore[misc]  # one for each function
        self._function = function

    def _predict(self, query: Query) -> Prediction:
        return Prediction(np.asarray(self._function(query.parameters)))


class GuessedSolves:
    """A sequence of solves, each from the best start; a context manager. Made by `initial_guess`.

    Args:
        session: In the mode `initial_guess`; closed with this object.
        proposers: Candidates.
        closing: Called at the end, after the session was closed.
    """

    def __init__(
        self, session: Session, proposers: Sequence[Surrogate], closing: Callable[[], None] | None = None
    ) -> None:
        self.session = session
        self.proposers = tuple(proposers)
        self.state = session.solver.initial_state()
        self.solves = 0
        self._history: tuple[Snapshot, ...] = ()
        self._closing = closing

    def solve(
        self, parameters: Mapping[str, Any] | None = None, *, raise_on_failure: bool = True, **context: Any
    ) -> Outcome:
        """Solve once (collective).

        Args:
            parameters: What solver and surrogates see as `Query.parameters`.
            raise_on_failure: Raise when not even the fallback found a solution; False returns the outcome.
            **context: For `Query.context`.

        Returns:
            The outcome: `value`, `source` (who gave the start), `verdicts`, `solve` with its iterations.

        Raises:
            NotConvergedError: Neither a start nor the fallback led to a solution.
            RankFaultError: Code failed where no fallback could take over; on every rank.
        """
        query = Query(
            self.state,
            t=float(self.solves - 1) if self.solves else 0.0,
            # The place in the sequence is the time in which extrapolations think.
            dt=1.0 if self.solves else 0.0,
            step=self.solves,
            transaction="solve",
            parameters=parameters or {},
            history=self._history,
            context=context,
        )
        outcome = self.session.attempt(query, self.proposers)
        if not outcome.ok:
            if raise_on_failure:
                raise outcome.status.error(outcome.message)
            return outcome
        if self.solves:
            self._history = (Snapshot(query.t, self.state), *self._history)[:_HISTORY]
        self.state = outcome.value
        self.solves += 1
        return outcome

    @property
    def reached(self) -> LoopState:
        """Where the sequence stands, for a checkpoint."""
        return LoopState(self.solves, float(self.solves), self.state, self._history)

    def go_on(self, reached: LoopState) -> None:
        """Go on from where a sequence stood (not collective)."""
        self.solves, self.state, self._history = reached.step, reached.value, reached.history

    @property
    def stats(self) -> dict[str, Any]:
        """Counts and costs so far; see `Session.stats`."""
        return self.session.stats

    def close(self) -> None:
        """Free session and ledger (collective); the solvers and surrogates stay open. Idempotent."""
        self.session.tell_faults()
        self.session.close()
        if self._closing is not None:
            self._closing()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.close()
