"""The classical cycle jump: the rival of the hybrid, and its first fallback.

After a change of load every period is run for a while. Then the log-rate of the slow variable is extrapolated from its
last two measurements, the slow variable is carried over a number of periods, and a few true periods follow: the first
settles the fast variable by one elliptic Newton correction, the last is measured. With the new measurement the jump is
done again by interpolation (predictor and corrector). Jumps grow in proportion to the time since the change.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
from cosolve.couplings.cyclic import CyclicBlock, CyclicSolver, FloatArray

_MEMORY = 3.0


@dataclass(frozen=True, slots=True)
class ClassicalSettings:
    """How the classical cycle jump runs.

    Attributes:
        steps: Steps in a period.
        start_periods: Periods run after each change of load, at least 2.
        first_jump: Periods of the first jump.
        growth: Each jump is this many times as long as the one before.
        settling: Periods run after a jump before the measured one; the first of them gets the Newton correction.
        newton: Whether the fast variable is settled by elliptic Newton.
    """

    steps: int = 24
    start_periods: int = 6
    first_jump: int = 10
    growth: float = 2.5
    settling: int = 1
    newton: bool = True


@dataclass(slots=True)
class _Rate:
    """A measured log-rate, shape `(n_owned,)`, and the middle of its period."""

    tau: float
    log_growth: FloatArray


class ClassicalCycleJump:
    """Runs blocks by the classical cycle jump (collective)."""

    def __init__(self, solver: CyclicSolver[Any], settings: ClassicalSettings) -> None:
        self.solver = solver
        self.settings = settings
        self.periods_run = 0

    def run_block(self, state: Any, block: CyclicBlock) -> Any:
        """Return the state at the end of `block` (collective); not finite where the scheme was unstable."""
        s, solver = self.settings, self.solver
        tau = 0
        older: _Rate | None = None
        newer: _Rate | None = None
        while tau < min(s.start_periods, block.periods):
            state, growth, _ = self._period(state, block)
            older, newer = newer, _Rate(tau + 0.5, np.log(growth))
            tau += 1
        length = float(s.first_jump)
        while tau < block.periods:
            assert newer is not None
            # The last true periods end the block, so that its end is measured, not extrapolated.
            jump = min(round(length), block.periods - tau - s.settling - 1)
            if block.periods - tau - jump < 2 * (s.settling + 1):
                jump = block.periods - tau - s.settling - 1
            if jump < 1:
                state, growth, _ = self._period(state, block)
                older, newer = newer, _Rate(tau + 0.5, np.log(growth))
                tau += 1
                continue
            predicted = _growth(older, newer, tau, jump)
            state = solver.with_slow(state, solver.slow(state) + predicted)
            start, tau = tau, tau + jump
            for index in range(s.settling):
                state, growth, change = self._period(state, block)
                if s.newton and index == 0:
                    state = solver.shifted(state, solver.settled_shift(change) - change)
                tau += 1
            state, growth, change = self._period(state, block)
            log_growth = np.log(growth)
            if s.newton:
                log_growth = log_growth + solver.rate_response(solver.mean_response(change))
            older, newer = newer, _Rate(tau + 0.5, log_growth)
            tau += 1
            corrected = _growth(older, newer, start, jump)
            state = solver.with_slow(state, solver.slow(state) + (corrected - predicted))
            length *= s.growth
        return state

    def _period(self, state: Any, block: CyclicBlock) -> tuple[Any, FloatArray, FloatArray]:
        """Run one period; return its end, the growth of the slow and the change of the fast variable."""
        solver = self.solver
        end = solver.advance(state, block.load, 1, self.settings.steps)
        self.periods_run += 1
        return end, solver.slow(end) - solver.slow(state), solver.fast(end) - solver.fast(state)


def _growth(older: _Rate | None, newer: _Rate, tau: int, jump: int) -> FloatArray:
    """Return the growth over `jump` periods from `tau` with a log-rate linear in log(time + 3) through both rates."""
    # Gauss-Legendre in three points: the log-rate is smooth by the time that jumps begin.
    total = np.zeros_like(newer.log_growth)
    for abscissa, weight in ((0.5 - math.sqrt(0.15), 5 / 18), (0.5, 8 / 18), (0.5 + math.sqrt(0.15), 5 / 18)):
        time = tau + abscissa * jump
        log_growth = newer.log_growth
        if older is not None:
            low, high = math.log(older.tau + _MEMORY), math.log(newer.tau + _MEMORY)
            share = (math.log(time + _MEMORY) - high) / (high - low)
            log_growth = log_growth + share * (newer.log_growth - older.log_growth)
        total += (weight * jump) * np.exp(log_growth)
    return total
