"""The step-level part of `cosolve bench time-loop`: certified acceptance on nonlinear heat conduction.

Classical and hybrid runs of the same unseen problem are interleaved, one thread each; the classical solver is the best
we found (a reused factorisation, started from the parabola through three states). What is gained is printed whatever
it is: where a classical step costs one chord iteration, proposing and judging cannot be much cheaper.
"""

from __future__ import annotations

import time
from pathlib import Path
from statistics import median
from typing import Any

from cosolve.core.arrays import Array
from cosolve.core.bench import BenchReport
from cosolve.core.errors import BadInputError
from cosolve.core.governor import Governor
from cosolve.core.loop import LoopState
from cosolve.core.model_file import load_surrogate
from cosolve.core.query import Query
from cosolve.core.registry import Registry
from cosolve.core.result import Result
from cosolve.core.surrogate import Surrogate
from cosolve.couplings.time_loop import time_loop
from cosolve.examples.heat.options import HeatOptions, draw
from cosolve.examples.heat.problem import HeatProblem
from cosolve.plugins.fenicsx import FormSolver
from mpi4py import MPI

MODEL = Path(__file__).with_name("heat.safetensors")
"""The trained model, made by `cosolve train examples/heat/case.toml`."""

REPEATS = 3


def bench(*, quick: bool, seed: int, progress: Any = None) -> BenchReport:
    """Measure unseen runs (serial).

    Args:
        quick: Six runs rather than twenty.
        seed: Draws their parameters.
        progress: Called with the share that is done and a sentence; None is quiet.

    Raises:
        BadInputError: The model file is missing.
    """
    if not MODEL.is_file():
        raise BadInputError(f"the model {MODEL} is missing; make it: cosolve train {MODEL.with_name('case.toml')}")
    surrogate = load_surrogate(MODEL, Registry.discover())
    count = 6 if quick else 20
    cases: list[dict[str, Any]] = []
    for index in range(count):
        # Another family than the training runs', whose seeds start at a million.
        problem = HeatProblem(HeatOptions().model_copy(update=draw(seed, index)))
        cases.append({"case": index, "seed": seed, **dict(problem.parameters), **run_case(problem, surrogate)})
        if progress is not None:
            progress((index + 1) / count, f"heat {index + 1} of {count}: {cases[-1]['accepted_share']:.0%} accepted")
    speedups = [case["speedup"] for case in cases]
    card = surrogate.model_card
    metrics = {
        "heat_accepted_share": median(case["accepted_share"] for case in cases),
        "heat_accepted_share_min": min(case["accepted_share"] for case in cases),
        "heat_corrected_share": median(case["corrected_share"] for case in cases),
        "heat_judged": sum(case["judged"] for case in cases),
        "heat_speedup_median": median(speedups),
        "heat_speedup_range": [min(speedups), max(speedups)],
        "heat_bad_accepted": sum(case["bad_accepted"] for case in cases),
        "heat_difference_max": max(case["difference"] for case in cases),
        "heat_training_seconds": card.cost_data_seconds + card.cost_training_seconds if card else None,
    }
    return BenchReport(
        "heat", metrics, cases, {"heat_accepted_share": "> 0.5", "heat_bad_accepted": "== 0", "heat_judged": "> 0"}
    )


def run_case(problem: HeatProblem, surrogate: Surrogate) -> dict[str, Any]:
    """Run one problem both ways, interleaved; return its figures."""
    start, end, dt = problem.time_span
    with problem.make_solver(MPI.COMM_SELF, {"prefix": "heat_bench_"}) as solver:
        accepted: list[tuple[Query, Array]] = []
        last: list[LoopState] = []

        def keep(state: LoopState) -> None:
            outcome = state.outcome
            assert outcome is not None
            if outcome.solve is None:
                before = state.history[0]
                query = Query(before.state, before.t, dt, state.step - 1, parameters=problem.parameters)
                accepted.append((query, outcome.value))
            last[:] = [state]

        def march(proposers: list[Surrogate]) -> tuple[float, Result]:
            solver.newton.forget()
            begun = time.process_time()
            result = time_loop(
                solver,
                proposers,
                t=start,
                t_end=end,
                dt=dt,
                mode="replace" if proposers else "off",
                parameters=problem.parameters,
                # Asked in every step, whether it pays or not: the share that is accepted is what is measured here.
                governor=Governor("off"),
                on_step=keep if proposers else None,
            )
            return time.process_time() - begun, result

        times: list[tuple[float, float]] = []
        for _ in range(REPEATS):
            accepted.clear()
            classical_seconds, classical = march([])
            hybrid_seconds, hybrid = march([surrogate])
            times.append((classical_seconds, hybrid_seconds))
        stats = hybrid.stats
        return {
            "steps": stats["steps"],
            "accepted_share": stats["accepted"] / stats["steps"],
            "corrected_share": stats["corrected"] / stats["steps"],
            "judged": stats["judged"],
            "speedup": median(c / h for c, h in times),
            "classical_seconds": median(c for c, _ in times),
            "hybrid_seconds": median(h for _, h in times),
            "bad_accepted": _bad(solver, accepted),
            "difference": solver.norm(hybrid.value - classical.value) / solver.norm(classical.value),
        }


def _bad(solver: FormSolver, accepted: list[tuple[Query, Array]]) -> int:
    """Count the accepted values that the solver itself would not have stopped at, looked at anew."""
    return sum(not solver.measure(query, value).ratio <= 1.0 for query, value in accepted)
