"""`cosolve bench overhead`: the time of a loop that is not solver, surrogate or judge."""

from __future__ import annotations

import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final

from cosolve.core.bench import BenchReport
from cosolve.core.ledger import Ledger
from cosolve.core.loop import Loop
from cosolve.core.session import Session
from cosolve.examples.overhead.busy import AlwaysAsking, BusySolver, BusySurrogate, BusyVerifier, Clock

_SIZE: Final = 10_000
_STEP_SECONDS: Final = (0.01, 0.0001)
# Every proposal accepted; every second one rejected, kept on disk and computed by the solver.
_RIGHT_EVERY: Final = (1, 2)


def bench(*, quick: bool, seed: int, progress: Callable[..., Any] | None = None) -> BenchReport:
    """Measure what driver, gate and ledger cost a step (CPU time; wall time in the cases).

    Args:
        quick: Fewer steps and repeats.
        seed: Unused: nothing is drawn. Every bench takes it.
        progress: Unused: the bench takes seconds.
    """
    steps, repeats = (100, 5) if quick else (400, 15)
    clock = Clock()
    samples: dict[tuple[float, int], list[dict[str, Any]]] = {}
    for repeat in range(repeats):  # interleaved: a slow moment of the machine meets all cases
        for step_seconds in _STEP_SECONDS:
            for right_every in _RIGHT_EVERY:
                case = _measure(clock, step_seconds, right_every, steps)
                case["repeat"] = repeat
                samples.setdefault((step_seconds, right_every), []).append(case)
    medians = {key: statistics.median(case["overhead_ms_per_step"] for case in found) for key, found in samples.items()}
    at_10ms = max(value for (step_seconds, _), value in medians.items() if step_seconds == _STEP_SECONDS[0])
    wall = {
        key: statistics.median(case["overhead_wall_ms_per_step"] for case in found) for key, found in samples.items()
    }
    metrics = {
        "overhead_ms_per_step": max(medians.values()),
        "overhead_share_of_10ms": at_10ms / 10.0,
        "overhead_wall_ms_per_step": max(wall.values()),
        "values": _SIZE,
        "steps": steps,
        "repeats": repeats,
        "preempted_per_step": statistics.median(
            case["preempted_per_step"] for found in samples.values() for case in found
        ),
        "judged_share": min(case["judged"] / case["steps"] for found in samples.values() for case in found),
    }
    return BenchReport(
        "overhead",
        metrics,
        [case for found in samples.values() for case in found],
        {"overhead_ms_per_step": "<= 0.2", "overhead_share_of_10ms": "<= 0.02"},
        (
            "Overhead is the CPU time of the loop less that spent inside solver, surrogate and judge: median over "
            "interleaved repeats, the largest over the cases.",
            "Each time another process takes the core (preempted_per_step) the caches are cold afterwards and the same "
            "work takes two to four times as long: on a shared machine the figures are an upper bound.",
        ),
    )


def _measure(clock: Clock, step_seconds: float, right_every: int, steps: int) -> dict[str, Any]:
    with tempfile.TemporaryDirectory() as folder:
        solver = BusySolver(clock, step_seconds, _SIZE)
        surrogate = BusySurrogate(clock, step_seconds, right_every)
        with (
            Ledger(Path(folder)) as ledger,
            Session(solver, BusyVerifier(), governor=AlwaysAsking(), ledger=ledger) as session,
        ):
            loop = Loop(session, (surrogate,), t_end=1.0, dt=1.0 / steps, handle_signals=False)
            burnt_cpu, burnt_wall = clock.cpu_seconds, clock.wall_seconds
            preempted = _preemptions()
            cpu, wall = time.process_time(), time.perf_counter()
            result = loop.run()
            cpu, wall = time.process_time() - cpu, time.perf_counter() - wall
            preempted = _preemptions() - preempted
            burnt_cpu, burnt_wall = clock.cpu_seconds - burnt_cpu, clock.wall_seconds - burnt_wall
        result.raise_on_failure()
        stats = result.stats
    return {
        "step_ms": 1e3 * step_seconds,
        "right_every": right_every,
        "steps": stats["steps"],
        "judged": stats["judged"],
        "accepted": stats["accepted"],
        "preempted_per_step": preempted / stats["steps"],
        "overhead_ms_per_step": 1e3 * (cpu - burnt_cpu) / stats["steps"],
        "overhead_wall_ms_per_step": 1e3 * (wall - burnt_wall) / stats["steps"],
    }


def _preemptions() -> int:
    """Return how often another process took this one's core so far; 0 where the system does not tell."""
    if sys.platform == "win32":
        return 0
    import resource  # not on Windows

    return resource.getrusage(resource.RUSAGE_SELF).ru_nivcsw
