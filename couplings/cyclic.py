"""What `cycle_jump` needs of a cyclic problem: contracts for its solver and for a surrogate of its slow evolution.

A *slow* variable grows by a small amount in each period of a *fast* variable that is close to periodic. A run is a row
of blocks; within a block the cyclic load is the same in every period. Time is counted in periods. Nothing here knows
of meshes or of a particular process.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

import numpy as np
import numpy.typing as npt
from cosolve.core.communicator import Communicator

FloatArray = npt.NDArray[np.float64]
StateT = TypeVar("StateT")


@dataclass(frozen=True, slots=True)
class CyclicBlock:
    """A number of periods under one cyclic load.

    Attributes:
        load: The load, whatever the solver and the surrogate take it to be.
        periods: Number of periods, at least 1.
        before: The load of the block before; None for a start from rest.
    """

    load: Any
    periods: int
    before: Any = None


@dataclass(frozen=True, slots=True)
class TruePeriod(Generic[StateT]):
    """One period run by the solver, and a little more.

    A period that starts from a guessed state spoils its first steps. So the growth is measured over a window of one
    period that starts after them, at a fraction of the period, and ends as much after the period's end.

    Attributes:
        end: The state at the end of the period proper.
        growth: Growth of the slow variable over the window, shape `(n_owned,)`.
        late: Share of that growth that fell after the period's end, shape `(n_owned,)`, between 0 and 1.
        start: The state that the period started from.
    """

    end: StateT
    growth: FloatArray
    late: FloatArray
    start: StateT


class CyclicSolver(ABC, Generic[StateT]):
    """Runs true periods and knows the linear response of the fast variable.

    All methods but the accessors are collective over `comm`; arrays are owned values of shape `(n_owned,)`.

    Attributes:
        comm: The communicator.
        work: Linear solves (time steps, restarts included) since the object was made: the count of the cost.
    """

    comm: Communicator
    work: int

    @abstractmethod
    def slow(self, state: StateT) -> FloatArray:
        """Return the slow variable of a state."""

    @abstractmethod
    def fast(self, state: StateT) -> FloatArray:
        """Return the fast variable of a state, at the start of a period."""

    @abstractmethod
    def state(self, slow: FloatArray, fast: FloatArray) -> StateT:
        """Return a state that knows nothing of earlier time levels."""

    @abstractmethod
    def shifted(self, state: StateT, shift: FloatArray) -> StateT:
        """Return `state` with `shift` added to its fast variable, at all time levels that the state remembers."""

    @abstractmethod
    def with_slow(self, state: StateT, slow: FloatArray) -> StateT:
        """Return `state` with another slow variable, its fast memory kept."""

    @abstractmethod
    def advance(self, state: StateT, load: Any, periods: int, steps: int) -> StateT:
        """Run whole periods with `steps` steps each; values are not finite where the scheme was unstable."""

    @abstractmethod
    def true_period(self, state: StateT, load: Any, steps: int) -> TruePeriod[StateT]:
        """Run one period and the window beyond it, see `TruePeriod`."""

    @abstractmethod
    def mean_response(self, change: FloatArray) -> FloatArray:
        """Return how far the fast variable is, on the mean over a period, from where it settles.

        Args:
            change: Change of the fast variable over that period, beyond what the slow evolution explains.

        Returns:
            The settled value minus the mean: L^-1 change, where a deviation decays by d' = -L d.
        """

    @abstractmethod
    def settled_shift(self, change: FloatArray) -> FloatArray:
        """Return the settled value minus the value at the start of the period: (1 - exp(-L))^-1 change.

        This is the elliptic Newton correction of the periodic state.
        """

    @abstractmethod
    def rate_response(self, shift: FloatArray) -> FloatArray:
        """Return the change of the log-rate of the slow variable for a small `shift` of the fast one."""

    @abstractmethod
    def quantity(self, slow: FloatArray) -> FloatArray:
        """Return the quantity of interest, a pointwise function of the slow variable."""

    @abstractmethod
    def norm(self, values: FloatArray) -> float:
        """Return the norm in which errors are measured."""

    def close(self) -> None:
        """Free library objects (collective). Idempotent."""

    def total(self, part: FloatArray) -> FloatArray:
        """Return the sum of `part` over the ranks, the same on every rank."""
        result = np.empty_like(part)
        self.comm.Allreduce(part, result)
        return result


class SlowModel(ABC):
    """A surrogate of the slow evolution, on the nodes of one rank. It never communicates.

    `moments` returns this rank's part of the coefficients that describe the slow variable; the coupling sums them over
    the ranks and hands the sum to `rate` and `lift`.
    """

    @abstractmethod
    def moments(self, slow: FloatArray) -> FloatArray:
        """Return this rank's part of the coefficients of `slow` (shape `(n_owned,)`)."""

    @abstractmethod
    def rate(self, block: CyclicBlock, tau: float, coefficients: FloatArray) -> FloatArray:
        """Return the log of the slow variable's growth over the period whose middle is at `tau`.

        Args:
            block: The block.
            tau: Time since the block began, in periods.
            coefficients: The summed moments in the middle of that period.
        """

    @abstractmethod
    def lift(self, block: CyclicBlock, tau: float, coefficients: FloatArray) -> FloatArray:
        """Return the fast variable at time `tau`, at which a period starts."""

    def refusal(self, block: CyclicBlock) -> str:
        """Say why `block` lies outside what the surrogate was trained for; an empty string when it does not."""
        return ""
