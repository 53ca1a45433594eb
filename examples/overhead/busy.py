"""A solver, a surrogate and a judge that burn a known time, and know exactly how much they burnt."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import ClassVar, TypeVar

import numpy as np
from cosolve.core.arrays import Array
from cosolve.core.communicator import SerialCommunicator
from cosolve.core.governor import Governor
from cosolve.core.prediction import Prediction
from cosolve.core.query import Query
from cosolve.core.solver import ResidualMeasure, Solver, SolveResult
from cosolve.core.surrogate import Surrogate
from cosolve.core.verdict import Decision, Grade, Verdict
from cosolve.core.verifier import Verifier

T = TypeVar("T")


class Clock:
    """Burns time in a calibrated busy loop and adds up what it burnt.

    Attributes:
        cpu_seconds: CPU time spent inside `burn` so far.
        wall_seconds: Wall time spent inside `burn` so far.
    """

    def __init__(self) -> None:
        self.cpu_seconds = 0.0
        self.wall_seconds = 0.0
        self._turns_per_second = 0.0
        start = time.perf_counter()
        self._turn(200_000)
        self._turns_per_second = 200_000 / (time.perf_counter() - start)

    def burn(self, seconds: float, work: Callable[[], T]) -> T:
        """Do `work`, burn about `seconds` beside it, and count both."""
        wall, cpu = time.perf_counter(), time.process_time()
        self._turn(int(seconds * self._turns_per_second))
        answer = work()
        self.cpu_seconds += time.process_time() - cpu
        self.wall_seconds += time.perf_counter() - wall
        return answer

    @staticmethod
    def _turn(turns: int) -> float:
        total = 0.0
        for turn in range(turns):
            total += turn * 1e-9
        return total


class BusySolver(Solver):
    """Decays its state exactly; a step costs `step_seconds`, a residual a twentieth of it."""

    name: ClassVar[str] = "busy"

    def __init__(self, clock: Clock, step_seconds: float, size: int) -> None:
        self.comm = SerialCommunicator()
        self._clock = clock
        self._step_seconds = step_seconds
        self._state = 1.0 + np.arange(size) / size

    @property
    def n_owned(self) -> int:
        """Number of values."""
        return int(self._state.size)

    def initial_state(self) -> Array:
        """Return the start."""
        return self._state

    def _step(self, query: Query, x0: Array | None) -> SolveResult:
        value = self._clock.burn(self._step_seconds, lambda: query.state * (1.0 - query.dt))
        return SolveResult(value, True, "done", 1, residual=0.0)

    def measure(self, query: Query, candidate: Array) -> ResidualMeasure:
        """Measure the distance of one value from the answer."""
        norm = self._clock.burn(
            self._step_seconds / 20.0, lambda: float(np.abs(candidate - query.state * (1.0 - query.dt)).max())
        )
        return ResidualMeasure({"residual": norm}, {"residual": 1e-12})


class BusySurrogate(Surrogate):
    """Right in every second step; a proposal costs a fiftieth of a step of the solver."""

    name: ClassVar[str] = "busy_surrogate"
    predict_keeps_memory: ClassVar[bool] = True

    def __init__(self, clock: Clock, step_seconds: float, right_every: int) -> None:
        self._clock = clock
        self._seconds = step_seconds / 50.0
        self._right_every = right_every

    def _predict(self, query: Query) -> Prediction:
        error = 1.0 if query.step % self._right_every != 0 else 0.0
        return Prediction(self._clock.burn(self._seconds, lambda: query.state * (1.0 - query.dt) + error))


class BusyVerifier(Verifier):
    """Accepts below the solver's tolerance."""

    name: ClassVar[str] = "residual"
    grade: ClassVar[Grade] = Grade.CERTIFIED

    def _judge(self, solver: Solver, query: Query, prediction: Prediction) -> Verdict:
        ratio = solver.measure(query, prediction.value).ratio
        decision = Decision.ACCEPT if ratio <= 1.0 else Decision.REJECT
        return Verdict(decision, Grade.CERTIFIED, ratio, 1.0, f"residual {ratio:.3g} of the tolerance")


class AlwaysAsking(Governor):
    """Keeps its accounts, at their full price, and asks whatever they say."""

    def plan(self, step: int, names: tuple[str, ...]) -> tuple[str, ...]:  # type: ignore[override]  # a narrower call
        """Return all names, after deciding as usual."""
        super().plan(step, names)
        return names
