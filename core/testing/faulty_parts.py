"""Small parts with a fault built in: an oracle, a verifier and a solver. `faults` has the catalogue."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import ClassVar

from cosolve.core.arrays import Array
from cosolve.core.communicator import Communicator
from cosolve.core.prediction import Prediction
from cosolve.core.query import Query
from cosolve.core.solver import Solver, SolveResult
from cosolve.core.surrogate import Surrogate
from cosolve.core.testing.faults import Fault
from cosolve.core.testing.mean_field import MeanFieldSolver, RatioVerifier
from cosolve.core.verdict import Verdict


class OracleSurrogate(Surrogate):
    """Knows the answer: it proposes what an own solver computes, with an error if asked to.

    Args:
        answer: Returns the answer to a query; must not communicate.
        comm: The communicator, to find the rank of the fault.
        error: Added to every value.
        fault: What goes wrong.
    """

    name: ClassVar[str] = "oracle"

    def __init__(
        self,
        answer: Callable[[Query], Array],
        comm: Communicator,
        *,
        error: float = 0.0,
        fault: Fault | None = None,
    ) -> None:
        self._answer = answer
        self._comm = comm
        self._error = error
        self._fault = fault

    def _predict(self, query: Query) -> Prediction:
        value = self._answer(query) + self._error
        if self._fault is not None and self._fault.strikes(self._comm, query.step):
            value = self._fault.spoil(value)
        return Prediction(value)


class FaultyVerifier(RatioVerifier):
    """Judges by the residual, and fails as told: before the measure's collectives, or after them.

    Args:
        fault: What goes wrong; `shape` and `dtype` return something that is no verdict.
        before: Whether it goes wrong before the reductions that the other ranks enter.
    """

    name: ClassVar[str] = "faulty"

    def __init__(self, fault: Fault, *, before: bool = True) -> None:
        super().__init__()
        self._fault = fault
        self._before = before

    def _judge(self, solver: Solver, query: Query, prediction: Prediction) -> Verdict:
        strikes = self._fault.strikes(solver.comm, query.step)
        if strikes and self._before:
            self._fault.spoil(prediction.value)
        verdict = super()._judge(solver, query, prediction)
        if not strikes:
            return verdict
        if not self._before:
            self._fault.spoil(prediction.value)
        if self._fault.kind == "nan":
            return replace(verdict, measure=float("nan"))
        if self._fault.kind in ("shape", "dtype"):
            return "accept"  # type: ignore[return-value]  # the planted fault
        return verdict


class FaultySolver(MeanFieldSolver):
    """The mean-field solver, failing as told in `step`, before its first reduction or after the last.

    Args:
        fault: What goes wrong.
        before: Whether it goes wrong before the reductions that the other ranks enter.
        whole_steps_only: Spare the smaller steps, so that the ladder finds a way.
    """

    name: ClassVar[str] = "faulty"

    def __init__(
        self,
        fault: Fault,
        size: int = 40,
        comm: Communicator | None = None,
        *,
        before: bool = True,
        whole_steps_only: bool = True,
        dt: float = 0.1,
        empty_rank: int | None = None,
    ) -> None:
        super().__init__(size, comm, empty_rank=empty_rank)
        self._fault = fault
        self._before = before
        self._whole_steps_only = whole_steps_only
        self._dt = dt

    def _step(self, query: Query, x0: Array | None) -> SolveResult:
        strikes = self._fault.strikes(self.comm, query.step)
        if self._whole_steps_only and query.dt < 0.75 * self._dt:
            strikes = False
        if strikes and self._before:
            spoilt = self._fault.spoil(query.state)
            if self._fault.kind == "nan" and spoilt.shape == query.state.shape:
                query = replace(query, state=spoilt)
        result = super()._step(query, x0)
        if strikes and not self._before:
            result = replace(result, value=self._fault.spoil(result.value))
        return result
