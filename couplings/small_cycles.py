"""A cyclic problem in numpy, spread over the ranks, and a slow surrogate that knows it nearly exactly: for checks.

    theta' = -D (theta - load s(x, alpha) (1 + sin 2 pi t)),   phi' = R exp(A theta),   alpha = 1 - exp(-phi),
    s = (1 + x/2) (1 - alpha/5)

at points x between 0 and 1, each on its own; only norms couple the ranks.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any, ClassVar

import numpy as np
from cosolve.core.arrays import Array
from cosolve.core.communicator import Communicator
from cosolve.core.solver import Solver
from cosolve.couplings.cycle_solver import CycleSolver
from cosolve.couplings.cycle_surrogate import SlowSurrogate
from cosolve.couplings.cyclic import CyclicBlock, CyclicSolver, FloatArray, TruePeriod

DECAY, ACTIVATION, RATE = 0.25, 2.0, 0.004
LOADS = (0.5, 0.8, 0.4, 0.6)
PERIODS = 40
POINTS = 17
_OMEGA = 2.0 * np.pi


@dataclass(frozen=True)
class State:
    """Slow and fast variable at the points of this rank."""

    phi: FloatArray
    theta: FloatArray


class Cycles(CyclicSolver[State]):
    """Runs the problem of this module by an exponential integrator (collective to build).

    Args:
        comm: Communicator; duplicated by nobody here.
        empty_rank: A rank that owns nothing; None spreads the points evenly.
    """

    def __init__(self, comm: Communicator, empty_rank: int | None = None) -> None:
        self.comm = comm
        self.work = 0
        everyone = np.linspace(0.0, 1.0, POINTS)
        ranks = comm.Get_size()
        owners = [rank for rank in range(ranks) if rank != empty_rank or ranks == 1]
        shares = dict(zip(owners, np.array_split(everyone, len(owners)), strict=True))
        self.x: FloatArray = shares.get(comm.Get_rank(), everyone[:0])

    @property
    def points(self) -> FloatArray:
        """Coordinates of the points of this rank, shape `(n, 1)`."""
        return self.x[:, None]

    def start(self) -> State:
        """Return the state at the start."""
        return State(np.full_like(self.x, 0.05), np.zeros_like(self.x))

    def slow(self, state: State) -> FloatArray:
        """Return phi."""
        return state.phi

    def fast(self, state: State) -> FloatArray:
        """Return theta."""
        return state.theta

    def state(self, slow: FloatArray, fast: FloatArray) -> State:
        """Return a state of both."""
        return State(slow, fast)

    def shifted(self, state: State, shift: FloatArray) -> State:
        """Return the state with another theta."""
        return replace(state, theta=state.theta + shift)

    def with_slow(self, state: State, slow: FloatArray) -> State:
        """Return the state with another phi."""
        return replace(state, phi=slow)

    def advance(self, state: State, load: float, periods: int, steps: int) -> State:
        """Run whole periods."""
        return self._steps(state, load, 0, periods * steps, steps)

    def true_period(self, state: State, load: float, steps: int) -> TruePeriod[State]:
        """Run one period and a quarter of the next."""
        first = steps // 4
        opening = self._steps(state, load, 0, first, steps)
        end = self._steps(opening, load, first, steps, steps)
        beyond = self._steps(end, load, 0, first, steps)
        growth = beyond.phi - opening.phi
        return TruePeriod(end, growth, (beyond.phi - end.phi) / growth, state)

    def _steps(self, state: State, load: float, first: int, last: int, steps: int) -> State:
        phi, theta, dt = state.phi, state.theta, 1.0 / steps
        for index in range(first, last):
            drive = load * _shape(self.x, phi) * (1.0 + np.sin(_OMEGA * (index + 0.5) * dt))
            new = drive + (theta - drive) * np.exp(-DECAY * dt)
            phi = phi + dt * RATE * np.exp(ACTIVATION * 0.5 * (theta + new))
            theta = new
            self.work += 1
        return State(phi, theta)

    def mean_response(self, change: FloatArray) -> FloatArray:
        """Return how far theta is from where it settles."""
        return change / DECAY

    def settled_shift(self, change: FloatArray) -> FloatArray:
        """Return the correction of the periodic state."""
        return change / float(1.0 - np.exp(-DECAY))

    def rate_response(self, shift: FloatArray) -> FloatArray:
        """Return the change of the log-rate."""
        return ACTIVATION * shift

    def quantity(self, slow: FloatArray) -> FloatArray:
        """Return alpha."""
        return 1.0 - np.exp(-slow)

    def norm(self, values: FloatArray) -> float:
        """Return the root of the mean square over all ranks (collective)."""
        return float(np.sqrt(self.total(np.array([float(values @ values)]))[0] / POINTS))


def blocks_of(loads: tuple[float, ...] = LOADS, periods: int = PERIODS) -> list[CyclicBlock]:
    """Return a row of blocks under these loads."""
    return [CyclicBlock(load, periods, loads[index - 1] if index else None) for index, load in enumerate(loads)]


class NearlyExact(SlowSurrogate):
    """Knows the settled temperature and its decay after a change of load.

    Args:
        error: Amplitude of an error of the log-rate that oscillates in slow time and space.
        phase: Phase of that error.
    """

    name: ClassVar[str] = "nearly_exact"

    def __init__(self, error: float = 0.0, phase: float = 0.0) -> None:
        self.error, self.phase = error, phase
        self._x: FloatArray = np.zeros(0)

    def bind(self, solver: Solver) -> None:
        """Take the points of this rank."""
        super().bind(solver)
        assert isinstance(solver, CycleSolver)
        assert isinstance(solver.cyclic, Cycles)
        self._x = solver.cyclic.x

    def tensors(self) -> Mapping[str, Array]:
        """Return nothing: it has no arrays."""
        return {}

    def settings(self) -> Mapping[str, Any]:
        """Return the constructor's arguments."""
        return {"error": self.error, "phase": self.phase}

    @classmethod
    def from_file(cls, tensors: Mapping[str, Array], settings: Mapping[str, Any]) -> NearlyExact:
        """Build it again."""
        return cls(**settings)

    def moments(self, slow: FloatArray) -> FloatArray:
        """Return the slow variable of this rank in its place among all points, so that the sum is the whole field."""
        whole = np.zeros(POINTS)
        whole[self._places] = slow
        return whole

    @property
    def _places(self) -> Any:
        return np.rint(self._x * (POINTS - 1)).astype(int)

    def lift(self, block: CyclicBlock, tau: float, coefficients: FloatArray) -> FloatArray:
        """Return the temperature at the start of a period."""
        settled = 1.0 - DECAY * _OMEGA / (DECAY**2 + _OMEGA**2)
        memory = ((block.before or 0.0) - block.load) * np.exp(-DECAY * tau)
        lifted: FloatArray = (block.load + memory) * _shape(self._x, coefficients[self._places]) * settled
        return lifted

    def rate(self, block: CyclicBlock, tau: float, coefficients: FloatArray) -> FloatArray:
        """Return the log of the growth over the period around `tau`."""
        t = (np.arange(16) + 0.5) / 16 - 0.5
        swing = (DECAY**2 * np.sin(_OMEGA * (t + 0.5)) - DECAY * _OMEGA * np.cos(_OMEGA * (t + 0.5))) / (
            DECAY**2 + _OMEGA**2
        )
        mean = block.load + ((block.before or 0.0) - block.load) * np.exp(-DECAY * (tau + t))
        theta = (mean + block.load * swing)[:, None] * _shape(self._x, coefficients[self._places])
        exact: FloatArray = np.log(np.mean(RATE * np.exp(ACTIVATION * theta), axis=0))
        wave = 1.0 + 0.5 * np.cos(2.0 * np.log(tau + 3.0) + self.phase)
        lie: FloatArray = self.error * wave * np.cos(3.0 * self._x + self.phase)
        return exact + lie


def _shape(x: FloatArray, phi: FloatArray) -> FloatArray:
    shape: FloatArray = (1.0 + x / 2.0) * (1.0 - (1.0 - np.exp(-phi)) / 5.0)
    return shape
