"""Classical time stepping with error control, as a function: error estimates and the step-size controller.

Controller: proportional-integral, K. Gustafsson, ACM Trans. Math. Softw. 20 (1994) 496, doi:10.1145/198429.198437, with
the exponents of E. Hairer and G. Wanner, Solving Ordinary Differential Equations II, section IV.2,
doi:10.1007/978-3-642-05221-7. Embedded estimate: comparison with the extrapolation of the same order (Milne's device).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from cosolve.core.arrays import Array
from cosolve.core.query import Query, Snapshot
from cosolve.core.solver import Solver
from cosolve.plugins.baselines.extrapolation import extrapolate
from cosolve.plugins.baselines.options import AdaptiveOptions

_SAFETY = 0.9
_SHRINK, _GROW = 0.2, 4.0
_INTEGRAL, _PROPORTIONAL = 0.7, 0.4


@dataclass(slots=True)
class AdaptiveRun:
    """How an adaptive run went.

    Attributes:
        state: The state at `t`.
        t: Time that was reached.
        reached_end: Whether `t` is the end.
        message: Why not, in one sentence.
        steps: Accepted steps.
        rejected: Rejected steps (error too large or not converged).
        solves: Solves of the classical solver.
        iterations: Its outer iterations in all.
        times: Times of the accepted states.
        errors: Estimated local error of each accepted step over what is allowed.
    """

    state: Array
    t: float
    reached_end: bool = False
    message: str = ""
    steps: int = 0
    rejected: int = 0
    solves: int = 0
    iterations: int = 0
    times: list[float] = field(default_factory=list)
    errors: list[float] = field(default_factory=list)


def embedded_share(order: int, dt: float, history: tuple[Snapshot, ...], t: float) -> float:
    """Return local error / (solution - extrapolation) of an implicit step, from the leading terms of both.

    Backward Euler leaves dt^2/2 u'' and the line through two states dt (dt + h1)/2 u''; the trapezoidal rule leaves
    dt^3/12 u''' and the parabola through three states dt (dt + h1) (dt + h1 + h2)/6 u''', with opposite signs.
    """
    if order == 1:
        own, extrapolated = dt**2 / 2.0, dt * (t + dt - history[0].t) / 2.0
    else:
        own, extrapolated = dt**3 / 12.0, dt * (t + dt - history[0].t) * (t + dt - history[1].t) / 6.0
    return own / (own + extrapolated)


def run_adaptively(
    solver: Solver,
    state: Array,
    span: tuple[float, float, float],
    options: AdaptiveOptions,
    *,
    parameters: Mapping[str, Any] | None = None,
    committed: Callable[[Query, Array], None] | None = None,
) -> AdaptiveRun:
    """Advance `state` over `span` with error control (collective).

    Args:
        solver: The classical solver; every step starts from the quadratic extrapolation.
        state: The state at the start, shape `(n_owned,)`.
        span: Start, end and first step.
        options: Tolerances, limits and the kind of estimate.
        parameters: What the solver sees as `Query.parameters`.
        committed: Called after each accepted step.

    Returns:
        How it went; nothing is raised when a step cannot be made small enough.
    """
    t, t_end, dt = span
    dt_min = options.dt_min or 1e-6 * (t_end - t)
    dt_max = options.dt_max or t_end - t
    dt = min(max(options.dt_first or dt, dt_min), dt_max)
    run = AdaptiveRun(np.array(state), t)
    history: tuple[Snapshot, ...] = ()
    power = options.order + 1
    previous_error = 1.0
    just_rejected = False
    while run.t < t_end - 1e-12 * max(abs(t_end), t_end - t):
        if run.steps + run.rejected >= options.max_steps:
            run.message = f"adaptive stepping used all {options.max_steps} steps at t = {run.t:.6g} of {t_end:.6g}"
            return run
        last = run.t + dt >= t_end - 1e-9 * dt
        dt = t_end - run.t if last else dt
        query = Query(run.state, run.t, dt, step=run.steps, parameters=parameters or {}, history=history)
        value, error = _attempt(solver, query, options, run)
        if value is None or not error <= 1.0:
            run.rejected += 1
            if dt <= dt_min * (1.0 + 1e-12):
                why = "the solver did not converge" if value is None else f"the local error is {error:.3g} x allowed"
                run.message = f"adaptive stepping stopped at t = {run.t:.6g}: {why} with the smallest step {dt:.3g}"
                return run
            shrink = _SHRINK if value is None else max(_SHRINK, _SAFETY * error ** (-1.0 / power))
            dt = max(dt * shrink, dt_min)
            just_rejected = True
            continue
        history = (Snapshot(run.t, run.state), *history)[:3]
        run.state, run.t = value, t_end if last else run.t + dt
        run.steps += 1
        run.times.append(run.t)
        run.errors.append(error)
        if committed is not None:
            committed(query, value)
        error = max(error, 1e-8)
        factor = _SAFETY * error ** (-_INTEGRAL / power) * previous_error ** (_PROPORTIONAL / power)
        # After a rejection the step must not grow at once: the estimate has just been too hopeful.
        factor = min(max(factor, _SHRINK), 1.0 if just_rejected else _GROW)
        dt = min(max(dt * factor, dt_min), dt_max)
        previous_error, just_rejected = error, False
    run.reached_end = True
    return run


def _attempt(solver: Solver, query: Query, options: AdaptiveOptions, run: AdaptiveRun) -> tuple[Array | None, float]:
    """Try one step; return the value (None when not converged) and its local error over what is allowed."""
    whole = solver.step(query, extrapolate(query, 2))
    run.solves += 1
    run.iterations += whole.iterations
    if not whole.converged:
        return None, np.inf
    if options.estimate == "embedded" and len(query.history) >= options.order:
        share = embedded_share(options.order, query.dt, query.history, query.t)
        value, difference = whole.value, share * (whole.value - extrapolate(query, options.order))
    else:
        first = Query(query.state, query.t, query.dt / 2.0, query.step, parameters=query.parameters)
        half = solver.step(first, 0.5 * (query.state + whole.value))
        middle = Query(half.value, first.t_end, query.dt / 2.0, query.step, parameters=query.parameters)
        second = solver.step(middle, whole.value) if half.converged else half
        run.solves += 2 if half.converged else 1
        run.iterations += half.iterations + (second.iterations if half.converged else 0)
        if not second.converged:
            return None, np.inf
        value, difference = second.value, (second.value - whole.value) / (2.0**options.order - 1.0)
    allowed = options.atol + options.rtol * solver.norm(value)
    error = solver.norm(difference)
    return value, error / allowed if allowed > 0.0 else (0.0 if error == 0.0 else np.inf)
