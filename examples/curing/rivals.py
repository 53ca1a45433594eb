"""The rivals of the flagship, and how they are compared at equal error: full stepping and the classical cycle jump.

Errors are the largest over the block ends of the relative L2 error of alpha, against a reference that is extrapolated
from 48 and 72 steps a period. Full stepping is the fastest of two integrators, each with the (interpolated) number of
steps from which on it errs by no more than the hybrid, and of stepping with error control, with the (interpolated)
tolerance that does: a choice in hindsight, for each run, which favours the rival.
Where errors of both signs cancel at one coarse step and not at the next finer one, nobody could have chosen it; the
bench prints what such luck would give, too. The classical cycle jump has the same elliptic Newton as the hybrid and
settings chosen on validation runs.
"""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
from cosolve.couplings.cycle_control import ControlledStepping, ControlSettings
from cosolve.couplings.cycle_jump_classical import ClassicalCycleJump, ClassicalSettings
from cosolve.examples.curing.cyclic_solver import CuringSolver, blocks_of
from cosolve.examples.curing.process import FloatArray, Schedule

REFERENCE_STEPS = (48, 72)
STEPPING_ROWS = {"cn-ab2": (12, 16, 24, 32), "bdf3": (16, 20, 24, 32)}
"""Steps a period that are run for each integrator; the reference has more than twice as many."""

CONTROLLED = "cn-ab2 controlled"
CONTROL = ControlSettings(counts=(8, 10, 12, 14, 16, 18, 20, 22, 24, 28, 32))
CONTROL_TOLERANCES = (0.03, 0.015, 0.006)
"""Tolerances of the stepping with error control, by the integrator that is the faster one throughout."""

CLASSICAL = (
    ClassicalSettings(steps=12, start_periods=6, first_jump=6, growth=2.0),
    ClassicalSettings(steps=16, start_periods=7, first_jump=7, growth=1.85),
    ClassicalSettings(steps=16, start_periods=13, first_jump=6, growth=2.0),
)
"""The settings of a grid of 90 that were best on four validation runs, for a loose, a middle and a tight error."""


@dataclass(frozen=True, slots=True)
class Row:
    """One classical run.

    Attributes:
        name: What it is.
        steps: Steps in a period; their mean, rounded, where they are controlled.
        error: Largest relative error over the block ends.
        seconds: CPU seconds of this process.
        work: Time steps.
        periods: True periods run.
    """

    name: str
    steps: int
    error: float
    seconds: float
    work: int
    periods: int


def errors(solver: CuringSolver, alphas: Sequence[FloatArray], reference: Sequence[FloatArray]) -> list[float]:
    """Return the relative L2 error of alpha at each block's end (collective)."""
    return [solver.norm(alpha - exact) / solver.norm(exact) for alpha, exact in zip(alphas, reference, strict=True)]


def step_through(solver: CuringSolver, schedule: Schedule, steps: int) -> list[FloatArray]:
    """Run every period; return alpha at the block ends (collective)."""
    state = solver.initial(schedule)
    ends = []
    for block in schedule.blocks:
        state = solver.advance(state, block.load, block.periods, steps)
        ends.append(state.alpha)
    return ends


def reference(solver: CuringSolver, schedule: Schedule) -> list[FloatArray]:
    """Return alpha at the block ends, extrapolated to a vanishing time step (collective)."""
    coarse, fine = (step_through(solver, schedule, steps) for steps in REFERENCE_STEPS)
    factor = 1.0 / ((REFERENCE_STEPS[1] / REFERENCE_STEPS[0]) ** 2 - 1.0)
    return [y + factor * (y - x) for x, y in zip(coarse, fine, strict=True)]


def stepping_rows(
    solvers: dict[str, CuringSolver],
    schedule: Schedule,
    exact: Sequence[FloatArray],
    steps_of: Mapping[str, Sequence[int]] = STEPPING_ROWS,
) -> dict[str, list[Row]]:
    """Run full stepping with each integrator and number of steps (collective)."""
    rows: dict[str, list[Row]] = {}
    for scheme, counts in steps_of.items():
        solver = solvers[scheme]
        for steps in counts:
            solver.integrator(steps)
            work, start = solver.work, time.process_time()
            ends = step_through(solver, schedule, steps)
            seconds = time.process_time() - start
            error = max(errors(solver, ends, exact))
            row = Row(scheme, steps, error, seconds, solver.work - work, schedule.periods)
            rows.setdefault(scheme, []).append(row)
    return rows


def controlled_rows(
    solver: CuringSolver,
    schedule: Schedule,
    exact: Sequence[FloatArray],
    tolerances: Sequence[float] = CONTROL_TOLERANCES,
) -> list[Row]:
    """Run full stepping with error control at each tolerance (collective)."""
    for steps in CONTROL.counts:
        solver.integrator(steps)  # factors are building, not running
    rows = []
    for tolerance in tolerances:
        controlled = ControlledStepping(solver, replace(CONTROL, tolerance=tolerance))
        state, ends = solver.initial(schedule), []
        work, start = solver.work, time.process_time()
        for block in blocks_of(schedule):
            state = controlled.run_block(state, block)
            ends.append(state.alpha)
        seconds = time.process_time() - start
        work = solver.work - work
        error = max(errors(solver, ends, exact))
        rows.append(Row(CONTROLLED, round(work / schedule.periods), error, seconds, work, schedule.periods))
    return rows


def at_equal_error(rows: dict[str, list[Row]], error: float, *, lucky: bool = False) -> Row:
    """Return the fastest full stepping that errs by `error`, its steps and cost interpolated between rows.

    Args:
        rows: Runs of each integrator.
        error: The hybrid's error.
        lucky: Take the first number of steps that meets `error`, even if a larger one errs by more.

    An error below that of the finest row gets that row, which makes the rival cheaper than it is; stepping with error
    control counts only where its finest row meets the error.
    """
    best: Row | None = None
    for scheme, runs in rows.items():
        usable = sorted((row for row in runs if np.isfinite(row.error)), key=lambda row: row.work)
        if not usable:
            continue
        # The error must fall with the steps to be interpolated: the largest from here on, or the smallest so far.
        plain = np.array([row.error for row in usable])
        falling = np.minimum.accumulate(plain) if lucky else np.maximum.accumulate(plain[::-1])[::-1]
        if scheme == CONTROLLED and falling[-1] > error:
            continue
        counts = np.array([row.work / row.periods for row in usable])
        steps = float(np.interp(-np.log(max(error, 1e-12)), -np.log(falling), np.log(counts)))
        steps = float(np.exp(steps))
        per_step = float(np.median([row.seconds / row.work for row in usable]))
        work = steps * usable[0].periods
        row = Row(scheme, round(steps), error, per_step * work, round(work), usable[0].periods)
        if best is None or row.seconds < best.seconds:
            best = row
    if best is None:
        raise FloatingPointError("no full stepping was stable")
    return best


def classical_rows(solver: CuringSolver, schedule: Schedule, exact: Sequence[FloatArray]) -> list[Row]:
    """Run the classical cycle jump with each of its settings (collective)."""
    rows = []
    for settings in CLASSICAL:
        solver.integrator(settings.steps)
        jump = ClassicalCycleJump(solver, settings)
        state, ends, periods = solver.initial(schedule), [], 0
        work, start = solver.work, time.process_time()
        for block in blocks_of(schedule):
            done = jump.run_block(state, block)
            state, periods = done.state, periods + done.periods
            ends.append(state.alpha)
        seconds = time.process_time() - start
        error = max(errors(solver, ends, exact))
        rows.append(Row("classical", settings.steps, error, seconds, solver.work - work, periods))
    return rows


def best_classical(rows: Sequence[Row], error: float) -> Row:
    """Return the cheapest classical jump that errs by at most `error`; where none does, the most accurate one."""
    good = [row for row in rows if row.error <= error]
    return min(good, key=lambda row: row.seconds) if good else min(rows, key=lambda row: row.error)
