"""A cyclic problem in numpy with the structure of the flagship: cheap, and exact to as many steps as wanted."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from cosolve.core.communicator import SerialCommunicator
from cosolve.couplings.cycle_surrogate import SlowSurrogate
from cosolve.couplings.cyclic import CyclicBlock, CyclicSolver, FloatArray, TruePeriod

DECAY, ACTIVATION, RATE = 0.25, 2.0, 0.004
X = np.linspace(0.0, 1.0, 17)


@dataclass(frozen=True)
class ToyState:
    phi: FloatArray
    theta: FloatArray


class ToyCycles(CyclicSolver[ToyState]):
    """theta' = -DECAY (theta - load (1 + x/2) (1 + sin 2 pi t) (1 - alpha/5)), phi' = RATE exp(ACTIVATION theta)."""

    def __init__(self) -> None:
        self.comm = SerialCommunicator()
        self.work = 0
        self.closed = False

    def slow(self, state: ToyState) -> FloatArray:
        return state.phi

    def fast(self, state: ToyState) -> FloatArray:
        return state.theta

    def state(self, slow: FloatArray, fast: FloatArray) -> ToyState:
        return ToyState(slow, fast)

    def shifted(self, state: ToyState, shift: FloatArray) -> ToyState:
        return replace(state, theta=state.theta + shift)

    def with_slow(self, state: ToyState, slow: FloatArray) -> ToyState:
        return replace(state, phi=slow)

    def _steps(self, state: ToyState, load: float, first: int, last: int, steps: int) -> ToyState:
        phi, theta = state.phi, state.theta
        dt = 1.0 / steps
        for index in range(first, last):
            drive = load * (1 + X / 2) * (1 + np.sin(2 * np.pi * (index + 0.5) * dt)) * (1 - (1 - np.exp(-phi)) / 5)
            new = drive + (theta - drive) * np.exp(-DECAY * dt)
            phi = phi + dt * RATE * np.exp(ACTIVATION * 0.5 * (theta + new))
            theta = new
            self.work += 1
        return ToyState(phi, theta)

    def advance(self, state: ToyState, load: float, periods: int, steps: int) -> ToyState:
        return self._steps(state, load, 0, periods * steps, steps)

    def true_period(self, state: ToyState, load: float, steps: int) -> TruePeriod[ToyState]:
        first = steps // 4
        opening = self._steps(state, load, 0, first, steps)
        end = self._steps(opening, load, first, steps, steps)
        beyond = self._steps(end, load, 0, first, steps)
        growth = beyond.phi - opening.phi
        return TruePeriod(end, growth, (beyond.phi - end.phi) / growth, state)

    def mean_response(self, change: FloatArray) -> FloatArray:
        return change / DECAY

    def settled_shift(self, change: FloatArray) -> FloatArray:
        return change / (1.0 - np.exp(-DECAY))

    def rate_response(self, shift: FloatArray) -> FloatArray:
        return ACTIVATION * shift

    def quantity(self, slow: FloatArray) -> FloatArray:
        return 1.0 - np.exp(-slow)

    def norm(self, values: FloatArray) -> float:
        return float(np.sqrt(np.mean(values**2)))

    def close(self) -> None:
        self.closed = True


def blocks(periods: int = 60) -> list[CyclicBlock]:
    loads = (0.5, 0.8, 0.4)
    return [CyclicBlock(load, periods, loads[index - 1] if index else None) for index, load in enumerate(loads)]


def start() -> ToyState:
    return ToyState(np.zeros_like(X) + 0.05, np.zeros_like(X))


def exact_ends(steps: int = 96) -> list[FloatArray]:
    solver, state, ends = ToyCycles(), start(), []
    for block in blocks():
        state = solver.advance(state, block.load, block.periods, steps)
        ends.append(solver.quantity(state.phi))
    return ends


class ToySurrogate(SlowSurrogate):
    """Knows the settled temperature and its decay after a change of load; `error` spoils the log-rate."""

    name = "toy"

    def __init__(self, error: float = 0.0, fault: str = "") -> None:
        self.error, self.fault = error, fault

    def tensors(self) -> Mapping[str, FloatArray]:
        return {}

    def settings(self) -> Mapping[str, Any]:
        return {}

    @classmethod
    def from_file(cls, tensors: Mapping[str, FloatArray], settings: Mapping[str, Any]) -> ToySurrogate:
        return cls()

    def moments(self, slow: FloatArray) -> FloatArray:
        # The toy is pointwise: the "coefficients" are the field itself.
        return slow.copy()

    def lift(self, block: CyclicBlock, tau: float, coefficients: FloatArray) -> FloatArray:
        shape = (1 + X / 2) * (1 - (1 - np.exp(-coefficients)) / 5)
        omega = 2 * np.pi
        settled = 1.0 - DECAY * omega / (DECAY**2 + omega**2)
        memory = ((block.before or 0.0) - block.load) * np.exp(-DECAY * tau)
        if block.before is None:
            memory = -block.load * np.exp(-DECAY * tau)
        return (block.load + memory) * shape * settled

    def rate(self, block: CyclicBlock, tau: float, coefficients: FloatArray) -> FloatArray:
        if self.fault == "raise":
            raise RuntimeError("the toy was told to fail")
        if self.fault == "nan":
            return np.full_like(coefficients, np.nan)
        t = (np.arange(16) + 0.5) / 16 - 0.5
        shape = (1 + X / 2) * (1 - (1 - np.exp(-coefficients)) / 5)
        before = 0.0 if block.before is None else block.before
        omega = 2 * np.pi
        swing = (DECAY**2 * np.sin(omega * (t + 0.5)) - DECAY * omega * np.cos(omega * (t + 0.5))) / (
            DECAY**2 + omega**2
        )
        mean = block.load + (before - block.load) * np.exp(-DECAY * (tau + t))
        theta = (mean + block.load * swing)[:, None] * shape
        exact = np.log(np.mean(RATE * np.exp(ACTIVATION * theta), axis=0))
        wave = np.cos(2.0 * np.log(tau + 3.0))
        return exact + self.error * (1.0 + 0.5 * wave) * np.cos(3 * X)

    def refusal(self, block: CyclicBlock) -> str:
        return "the load is outside" if block.load > 1.0 else ""
