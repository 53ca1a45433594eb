"""One block of the hybrid cycle jump: the surrogate's slow evolution, corrected at checkpoints until it rests."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np
from cosolve.couplings.checkpoint import Measurement, measure
from cosolve.couplings.cyclic import CyclicSolver, FloatArray
from cosolve.couplings.slow_evolution import SlowEvolution


@dataclass(frozen=True, slots=True)
class HybridSettings:
    """How the hybrid cycle jump runs. Factors are calibrated on validation runs (`docs/explanation/cycle_jump.md`).

    Attributes:
        checkpoints: Times of the checkpoints as shares of the block, in the order in which they are run.
        step_errors: Steps in a period at checkpoints, ascending, each with the error of the quantity of interest that
            a run with that time step is left with; the cheapest that leaves enough of the tolerance is taken.
        step_share: Share of the tolerance that the time step may use.
        change_limit: A block is done when its estimated slow error is at most this share of the tolerance.
        unseen: Share of the largest change that may be left unseen between one, two, ... checkpoints: a surrogate that
            was far off at one time may be so, otherwise, at another.
        later_factor: Share of the last change that may be left after two or more checkpoints, at least; see
            `slow_error`.
        largest_defect: Norm of the first defect, weighted by its effect, above which the surrogate is not believed.
        unsettled_limit: See `checkpoint.measure`.
    """

    checkpoints: tuple[float, ...] = (0.5, 0.8, 0.15, 0.3)
    step_errors: tuple[tuple[int, float], ...] = ((16, 0.0045), (24, 0.002), (36, 0.0012), (48, 0.0008), (72, 0.0004))
    step_share: float = 0.4
    change_limit: float = 0.35
    unseen: tuple[float, ...] = (0.35, 0.2, 0.12, 0.07)
    later_factor: float = 0.5
    largest_defect: float = 0.3
    unsettled_limit: float = 0.05

    def steps_for(self, tolerance: float) -> tuple[int, float]:
        """Return the steps in a period for a run with this tolerance, and the error that they leave.

        >>> HybridSettings().steps_for(0.005)
        (24, 0.002)
        """
        for steps, error in self.step_errors:
            if error <= self.step_share * tolerance:
                return steps, error
        return self.step_errors[-1]

    def audit_steps(self, tolerance: float) -> int:
        """Return the steps of an audit's period: half as many again as at the checkpoints."""
        return 3 * self.steps_for(tolerance)[0] // 2


@dataclass(slots=True)
class HybridBlock:
    """What the hybrid left of a block.

    Attributes:
        slow: Slow variable at the end, shape `(n_owned,)`.
        fast: Fast variable at the end, shape `(n_owned,)`: the lift plus its bias.
        evolution: The corrected evolution, for the audit.
        changes: Relative change of the quantity at the block's end by each checkpoint.
        defects: Effect-weighted norm of each defect.
        estimate: Estimated relative slow error at the block's end.
        periods: True periods run.
        converged: Whether the estimate met its share of the tolerance.
        reason: Why it did not, empty else.
    """

    slow: FloatArray
    fast: FloatArray
    evolution: SlowEvolution
    changes: list[float] = field(default_factory=list)
    defects: list[float] = field(default_factory=list)
    estimate: float = np.inf
    periods: int = 0
    converged: bool = False
    reason: str = ""


def run_hybrid_block(
    solver: CyclicSolver[Any], evolution: SlowEvolution, tolerance: float, settings: HybridSettings
) -> HybridBlock:
    """Correct the surrogate's evolution of one block at checkpoints (collective).

    Args:
        solver: Runs the true periods.
        evolution: The surrogate's evolution, without defects as yet.
        tolerance: Tolerance of the run, relative.
        settings: Checkpoints and factors.

    Returns:
        The block; where it did not converge, `reason` says why and the caller falls back.
    """
    block, start = evolution.block, evolution.start
    taus = [min(round(share * block.periods), block.periods - 2) for share in settings.checkpoints]
    taus = [tau for tau in dict.fromkeys(taus) if tau >= 0]
    here, end = evolution.integrate_to(taus[0], block.periods)
    result = HybridBlock(end, end, evolution)
    found: Measurement | None = None
    for count, tau in enumerate(taus, start=1):
        found = measure(
            solver,
            evolution,
            float(tau),
            here,
            None if found is None else found.lift_bias,
            settings.steps_for(tolerance)[0],
            settings.unsettled_limit,
        )
        result.periods += found.periods
        defect = effect_norm(solver, start, result.slow, found.defect)
        result.defects.append(defect)
        if not defect <= settings.largest_defect:
            result.reason = f"the rate measured at {tau} is off the surrogate's by {defect:.2g}"
            return result
        evolution.defects.add(found.tau, found.defect)
        following = taus[count] if count < len(taus) else taus[0]
        here, end = evolution.integrate_to(following, block.periods)
        change = relative_difference(solver, end, result.slow)
        result.slow = end
        result.changes.append(change)
        result.estimate = slow_error(result.changes, settings)
        if result.estimate <= settings.change_limit * tolerance:
            result.converged = True
            break
    else:
        result.reason = f"after {len(taus)} checkpoints the slow state still changes by {result.changes[-1]:.2g}"
    assert found is not None
    result.fast = evolution.lift(float(block.periods), result.slow) + found.lift_bias
    return result


def slow_error(changes: list[float], settings: HybridSettings) -> float:
    """Return the estimated relative error of the slow evolution after checkpoints that changed its end by `changes`.

    The largest of two figures. Between few checkpoints a share of the largest change may go unseen. And changes that
    shrink by a ratio r leave r / (1 - r) times the last one, as a geometric series does.

    >>> [round(slow_error(changes, HybridSettings()), 6) for changes in ([0.01], [0.01, 0.004], [0.01, 0.02])]
    [0.0035, 0.002667, inf]
    """
    last = changes[-1]
    unseen = settings.unseen[min(len(changes), len(settings.unseen)) - 1] * max(changes)
    if len(changes) == 1:
        return unseen
    ratio = last / changes[-2] if changes[-2] > 0.0 else 0.0
    if not ratio < 1.0:
        return float("inf")
    return max(unseen, max(settings.later_factor, ratio / (1.0 - ratio)) * last)


def relative_difference(solver: CyclicSolver[Any], slow: FloatArray, other: FloatArray) -> float:
    """Return the relative difference of the quantity of interest at two slow states (collective)."""
    quantity = solver.quantity(slow)
    size = solver.norm(quantity)
    return solver.norm(quantity - solver.quantity(other)) / size if size > 0.0 else np.inf


def effect_norm(solver: CyclicSolver[Any], start: FloatArray, end: FloatArray, log_rate: FloatArray) -> float:
    """Return what an error `log_rate` of the log-rate all through a block does to the quantity at its end (collective).

    Relative to the quantity at the end; not finite where `log_rate` is not.
    """
    with np.errstate(over="ignore", invalid="ignore"):
        return relative_difference(solver, end, start + (end - start) * np.exp(log_rate))
