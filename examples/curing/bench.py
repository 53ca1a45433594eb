"""The flagship's part of `cosolve bench time-loop`: hybrid cycle jumps against the best classical ways, at equal error.

Unseen schedules, one thread, hybrid and rivals interleaved. Building (mesh, matrices, factors, the bases at the nodes)
is left out for all of them alike and printed; data and training are charged in the break-even figures.
"""

from __future__ import annotations

import time
from dataclasses import replace
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np
from cosolve.core.bench import BenchReport
from cosolve.core.errors import BadInputError
from cosolve.core.loop import LoopState
from cosolve.core.model_file import load_surrogate
from cosolve.core.registry import Registry
from cosolve.core.result import Result
from cosolve.couplings.cycle_jump import cycle_jump
from cosolve.couplings.cycle_jump_verifier import CycleSweeps
from cosolve.couplings.cycle_solver import CycleSolver
from cosolve.examples.curing.bare import BareStepping
from cosolve.examples.curing.cyclic_solver import SETTINGS, CuringSolver, blocks_of
from cosolve.examples.curing.discretisation import Discretisation
from cosolve.examples.curing.planted import SIZES, OracleSurrogate, PlantedSurrogate, alone, outcome, rates
from cosolve.examples.curing.process import RANGES, Block, FloatArray, Load, Schedule
from cosolve.examples.curing.rivals import (
    CONTROLLED,
    Row,
    at_equal_error,
    best_classical,
    classical_rows,
    controlled_rows,
    errors,
    reference,
    stepping_rows,
)
from cosolve.examples.curing.surrogate import CuringSurrogate
from mpi4py import MPI

MODEL = Path(__file__).with_name("curing.safetensors")
"""The trained model, made by `cosolve train examples/curing/case.toml`."""

TOLERANCE = 0.005
REPEATS = 3
TARGETS = {
    "speedup_median": ">= 10",
    "speedup_min": ">= 6",
    "speedup_vs_cycle_jump": ">= 1.3",
    "steps_ratio_vs_cycle_jump": ">= 1.5",
    "silent_failures": "== 0",
    "estimate_covers": "== 1",
    "accepted_share": ">= 0.9",
    "refused_or_right": "== 1",
    "rival_vs_bare": "<= 1.05",
}


class Bench:
    """Solvers and model of one mesh, made once."""

    def __init__(self, cells: int) -> None:
        """Build mesh, solvers and model (serial)."""
        start = time.process_time()
        self.discretisation = Discretisation(MPI.COMM_SELF, cells)
        self.solvers = {name: CuringSolver(self.discretisation, name) for name in ("cn-ab2", "bdf3")}
        loaded = load_surrogate(MODEL, Registry.discover())
        assert isinstance(loaded, CuringSurrogate)
        self.surrogate = loaded
        self.build_seconds = time.process_time() - start

    @property
    def solver(self) -> CuringSolver:
        """The solver of the hybrid."""
        return self.solvers["cn-ab2"]

    def hybrid(
        self, schedule: Schedule, seed: int, surrogate: CuringSurrogate | None = None
    ) -> tuple[Result, list[FloatArray], CycleSolver, float]:
        """Run the hybrid; return its result, alpha at the block ends, its solver and CPU seconds."""
        ends: list[FloatArray] = []
        start = time.process_time()
        solver = CycleSolver(
            self.solver, self.solver.initial(schedule), blocks_of(schedule), replace(SETTINGS, tolerance=TOLERANCE)
        )

        def keep(state: LoopState) -> None:
            ends.append(-np.expm1(-solver.parts(state.value)[0]))

        result = cycle_jump(
            solver,
            surrogate or self.surrogate,
            verifier=CycleSweeps(audit_seed=seed),
            on_block=keep,
            raise_on_failure=False,
        )
        return result, ends, solver, time.process_time() - start


def run_case(bench: Bench, schedule: Schedule, seed: int, repeats: int) -> dict[str, Any]:
    """Compare hybrid and rivals on one schedule."""
    exact = reference(bench.solver, schedule)
    bench.hybrid(schedule, seed)  # factors are made when they are first needed: building, not running
    runs = [bench.hybrid(schedule, seed)]
    rows = stepping_rows(bench.solvers, schedule, exact)
    runs.append(bench.hybrid(schedule, seed))
    rows[CONTROLLED] = controlled_rows(bench.solver, schedule, exact)
    classical = classical_rows(bench.solver, schedule, exact)
    runs += [bench.hybrid(schedule, seed) for _ in range(repeats - 2)]
    result, ends, solver, _ = runs[0]
    seconds = median(run[3] for run in runs)
    every = errors(bench.solver, ends, exact)
    error = max(every)
    sources = [record.source for _, record in sorted(solver.records.items())]
    stepping, jump = at_equal_error(rows, error), best_classical(classical, error)
    work = int(result.stats["time_steps"])
    mean = max(_mean_error(bench, one, other) for one, other in zip(ends, exact, strict=True))
    return {
        "error": error,
        "error_of_mean": mean,
        "estimate": float(result.stats["estimated_error"]),
        "seconds": seconds,
        "work": work,
        "true_periods": int(result.stats["true_periods"]),
        "sources": sources,
        "judged": len(result.verdicts),
        "stepping": f"{stepping.name} {stepping.steps}",
        "stepping_seconds": stepping.seconds,
        "speedup_vs_controlled": _controlled(rows, error) / seconds,
        "speedup_lucky": at_equal_error(rows, error, lucky=True).seconds / seconds,
        "jump_error": jump.error,
        "jump_seconds": jump.seconds,
        "jump_work": jump.work,
        "speedup": stepping.seconds / seconds,
        "speedup_vs_cycle_jump": jump.seconds / seconds,
        "steps_ratio_vs_cycle_jump": jump.work / work,
        "steps_ratio": stepping.work / work,
    }


def _controlled(rows: dict[str, list[Row]], error: float) -> float:
    """Return the cost of stepping with error control at `error`; of its finest row where none meets it."""
    runs = rows[CONTROLLED]
    if min(row.error for row in runs) > error:
        return max(row.seconds for row in runs)
    return at_equal_error({CONTROLLED: runs}, error).seconds


def _mean_error(bench: Bench, alpha: FloatArray, exact: FloatArray) -> float:
    one = np.ones_like(alpha)
    mean = bench.discretisation.inner(one, exact)
    return abs(bench.discretisation.inner(one, alpha) - mean) / mean


def out_of_range(bench: Bench, seed: int, count: int) -> list[dict[str, Any]]:
    """Run schedules with one load outside of the training ranges; each must be refused or right."""
    rng = np.random.default_rng([seed, 1])
    cases = []
    for index in range(count):
        schedule = RANGES.draw(rng, (100, 100))
        first = schedule.blocks[0].load
        outside = (
            replace(first, power=float(rng.uniform(10.5, 12.0))),
            replace(first, radius=float(rng.uniform(0.32, 0.38))),
            replace(first, centre_x=float(rng.uniform(0.25, 0.37))),
        )[index % 3]
        schedule = replace(schedule, blocks=(Block(outside, 100), schedule.blocks[1]))
        result, ends, solver, _ = bench.hybrid(schedule, seed)
        error = max(errors(bench.solver, ends, reference(bench.solver, schedule)))
        refused = all(record.source != "surrogate" for record in solver.records.values())
        good = refused or (result.ok and error <= TOLERANCE)
        cases.append({"kind": "out of range", "error": error, "refused": refused, "refused_or_right": good})
    return cases


def planted(bench: Bench, schedule: Schedule, exact: list[FloatArray], seed: int) -> list[dict[str, Any]]:
    """Ask surrogates with planted errors of growing size on one schedule."""
    cases = []
    for size in SIZES:
        liar = PlantedSurrogate(bench.surrogate.arrays, size, seed)
        _, ends, solver, _ = bench.hybrid(schedule, seed, liar)
        error = max(errors(bench.solver, ends, exact))
        taken = any(record.source == "surrogate" for record in solver.records.values())
        by_itself = max(errors(bench.solver, alone(bench.solver, liar, schedule), exact))
        case = {"kind": "planted", "size": size, "error": error, "error_alone": by_itself}
        cases.append({**case, "outcome": outcome(taken, error, by_itself, TOLERANCE)})
    return cases


def oracle(bench: Bench, schedule: Schedule, exact: list[FloatArray], seed: int) -> dict[str, Any]:
    """Ask a surrogate that knows the answer: it should be taken, for as few true periods as the judge allows."""
    knowing = OracleSurrogate(bench.surrogate.arrays, bench.solver, schedule, 32)
    result, ends, solver, _ = bench.hybrid(schedule, seed, knowing)
    taken = sum(record.source == "surrogate" for record in solver.records.values())
    error = max(errors(bench.solver, ends, exact))
    periods = int(result.stats["true_periods"])
    return {"kind": "oracle", "share": taken / len(solver.blocks), "error": error, "true_periods": periods}


def rival_vs_bare(bench: Bench) -> float:
    """Return the cost of a step of our full stepping over that of the bare script, both interleaved (median of 7)."""
    bare, load = BareStepping(bench.discretisation.n, 24, MPI.COMM_SELF), Load(8.5, 0.2, 0.5)
    phi, ratios = np.zeros(bench.discretisation.n_owned), []
    for _ in range(7):
        start = time.process_time()
        bare.run(phi, [(load.power, load.radius, load.centre_x)], 8)
        middle = time.process_time()
        bench.solver.advance(bench.solver.state(phi, np.zeros_like(phi)), load, 8, 24)
        ratios.append((time.process_time() - middle) / (middle - start))
    return median(ratios)


def bench(*, quick: bool, seed: int, progress: Any = None) -> BenchReport:
    """Measure unseen schedules (serial).

    Args:
        quick: Six schedules at 64 x 64; else 60, six at 128 x 128 and six under a constant load, too.
        seed: Draws them.
        progress: Called with the share that is done and a sentence; None is quiet.

    Raises:
        BadInputError: The model file is missing.
    """
    if not MODEL.is_file():
        raise BadInputError(f"the model {MODEL} is missing; make it: cosolve train {MODEL.with_name('case.toml')}")
    tell = progress or (lambda share, sentence: None)
    here = Bench(64)
    rng = np.random.default_rng([seed, 0])
    count = 6 if quick else 60
    cases = []
    for index in range(count):
        schedule = RANGES.draw(rng)
        case = run_case(here, schedule, seed + index, REPEATS)
        cases.append({"kind": "blocks", "case": index, **case})
        tell(0.7 * (index + 1) / count, f"curing {index + 1} of {count}: {case['speedup']:.0f}x, {case['error']:.2%}")
    outside = out_of_range(here, seed, 3 if quick else 12)
    tell(0.85, "runs outside of the training ranges")
    lies, oracles = [], []
    for index in range(2 if quick else 6):
        schedule = RANGES.draw(rng, (100, 100))
        exact = reference(here.solver, schedule)
        lies += planted(here, schedule, exact, seed + index)
        oracles.append(oracle(here, schedule, exact, seed + index))
    tell(0.95, "planted errors and an oracle")
    metrics = summary(here, cases, outside, lies)
    metrics["oracle_share"] = sum(case["share"] for case in oracles) / len(oracles)
    if not quick:
        finer = Bench(128)
        for name, used, periods in (("mesh_128", finer, (100,) * 4), ("constant_load", here, (400,))):
            more = [run_case(used, RANGES.draw(rng, periods), seed + index, REPEATS) for index in range(6)]
            metrics[name] = {key: median(case[key] for case in more) for key in ("speedup", "error", "estimate")}
            metrics[name]["silent_failures"] = sum(case["error"] > TOLERANCE for case in more)
            cases += [{"kind": name, **case} for case in more]
    tell(1.0, "done")
    return BenchReport("curing", metrics, [*cases, *outside, *lies, *oracles], TARGETS)


def summary(
    here: Bench, cases: list[dict[str, Any]], outside: list[dict[str, Any]], lies: list[dict[str, Any]]
) -> dict[str, Any]:
    """Return the metrics of the runs at 64 x 64."""
    speedups = [case["speedup"] for case in cases]
    blocks = [source for case in cases for source in case["sources"]]
    card = here.surrogate.model_card
    training = 0.0 if card is None else card.cost_seconds
    saved = median(case["stepping_seconds"] - case["seconds"] for case in cases)
    saved_jump = median(case["jump_seconds"] - case["seconds"] for case in cases)
    return {
        "speedup_median": median(speedups),
        "speedup_min": min(speedups),
        "speedup_max": max(speedups),
        "speedup_median_if_rival_is_lucky": median(case["speedup_lucky"] for case in cases),
        "speedup_vs_controlled": median(case["speedup_vs_controlled"] for case in cases),
        "steps_ratio_median": median(case["steps_ratio"] for case in cases),
        "speedup_vs_cycle_jump": median(case["speedup_vs_cycle_jump"] for case in cases),
        "steps_ratio_vs_cycle_jump": median(case["steps_ratio_vs_cycle_jump"] for case in cases),
        "error_median": median(case["error"] for case in cases),
        "error_max": max(case["error"] for case in cases),
        "error_of_mean_max": max(case["error_of_mean"] for case in cases),
        "estimate_median": median(case["estimate"] for case in cases),
        "silent_failures": sum(case["error"] > TOLERANCE for case in cases),
        "estimate_covers": sum(case["estimate"] >= case["error"] for case in cases) / len(cases),
        "accepted_share": sum("stepping" not in case["sources"] for case in cases) / len(cases),
        "surrogate_share": blocks.count("surrogate") / len(blocks),
        "judged": sum(case["judged"] for case in cases),
        "hybrid_seconds": median(case["seconds"] for case in cases),
        "true_periods": median(case["true_periods"] for case in cases),
        "out_of_range_error_max": max(case["error"] for case in outside),
        "refused_or_right": sum(case["refused_or_right"] for case in outside) / len(outside),
        "planted": rates(lies),
        "rival_vs_bare": rival_vs_bare(here),
        "build_seconds": here.build_seconds,
        "training_seconds": training,
        "break_even_runs": training / saved if saved > 0.0 else None,
        "break_even_runs_vs_cycle_jump": training / saved_jump if saved_jump > 0.0 else None,
    }
