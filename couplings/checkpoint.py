"""A checkpoint: one or two true periods, run from the surrogate's state, that measure what the surrogate got wrong."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from cosolve.couplings.cyclic import CyclicSolver, FloatArray
from cosolve.couplings.slow_evolution import SlowEvolution


@dataclass(frozen=True, slots=True)
class Measurement:
    """What a checkpoint found.

    Attributes:
        tau: Middle of the measured period, counted from the start of the block.
        defect: Measured minus predicted log-rate, shape `(n_owned,)`.
        lift_bias: Settled minus predicted fast variable, shape `(n_owned,)`.
        unsettled: Norm of the log-rate's correction for a fast variable that had not settled; the smaller the better.
        periods: True periods that were run.
    """

    tau: float
    defect: FloatArray
    lift_bias: FloatArray
    unsettled: float
    periods: int


def measure(
    solver: CyclicSolver[Any],
    evolution: SlowEvolution,
    tau: float,
    slow: FloatArray,
    lift_bias: FloatArray | None,
    steps: int,
    unsettled_limit: float,
) -> Measurement:
    """Run a true period at `tau` and compare it with the surrogate (collective).

    The fast variable starts from the surrogate's lift plus what an earlier checkpoint of the block found the lift to
    miss. Its deviation d from the periodic state decays by d' = -L d; the change over the period beyond that of the
    lift gives, by one elliptic solve, where it settles and how far it was from there on the mean: to first order the
    measured rate is that of the settled state. Where the deviation is too large for a first order, the state is
    shifted to where it settles and a second period is run.

    Args:
        solver: Runs the true period.
        evolution: The evolution of the block; asked for lift and rate, not for its defects.
        tau: Time in the block at which the period starts.
        slow: Slow variable there, shape `(n_owned,)`.
        lift_bias: Result of an earlier checkpoint of the same block, None at the first.
        steps: Steps in a period.
        unsettled_limit: Norm of the log-rate's correction above which a second period is run.
    """
    deviation = np.zeros_like(slow) if lift_bias is None else lift_bias
    state = solver.state(slow, evolution.lift(tau, slow) + deviation)
    periods = 0
    while True:
        period = solver.true_period(state, evolution.block.load, steps)
        periods += 1
        change = solver.fast(period.end) - evolution.lift(tau + 1.0, solver.slow(period.end)) - deviation
        response = solver.rate_response(solver.mean_response(change))
        unsettled = solver.norm(response)
        settled = deviation + solver.settled_shift(change)
        # NaN compares as False: an unstable period is not run again, its defect is judged as not finite.
        if periods == 2 or not unsettled > unsettled_limit:
            break
        state = solver.shifted(period.end, settled - deviation - change)
        slow, tau, deviation = solver.slow(state), tau + 1.0, settled
    middle = tau + 0.5
    early = np.exp(evolution.rate(middle, slow))
    later = np.exp(evolution.rate(middle + 1.0, slow))
    predicted = np.log((1.0 - period.late) * early + period.late * later)
    with np.errstate(invalid="ignore", divide="ignore"):
        defect = np.log(period.growth) + response - predicted
    return Measurement(middle, defect, settled, unsettled, periods)
