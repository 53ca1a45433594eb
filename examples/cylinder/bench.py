"""`cosolve bench cylinder`: what a surrogate costs where none can pay, with the benchmark's drag and lift as the judge.

The classical solver needs a few products and back-substitutions for a step, so that a proposal, however good, saves
nothing. The bench shows that the run is not slowed by asking (both runs interleaved, blocks of steps in turn), that
nothing bad is accepted, and what the judge makes of planted errors and of an oracle.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np
from cosolve.core.arrays import Array
from cosolve.core.bench import BenchReport
from cosolve.core.errors import BadInputError
from cosolve.core.governor import Governor
from cosolve.core.loop import LoopState
from cosolve.core.model_file import load_surrogate
from cosolve.core.query import Query
from cosolve.core.registry import Registry
from cosolve.core.session import Session
from cosolve.core.surrogate import StoredSurrogate
from cosolve.examples.cylinder import planted
from cosolve.examples.cylinder.interleaved import Pair, peak, run_both
from cosolve.examples.cylinder.options import CylinderOptions, draw
from cosolve.examples.cylinder.problem import DRAG_MAX, LIFT_MAX, CylinderProblem
from cosolve.examples.cylinder.solver import ChannelSolver
from cosolve.examples.cylinder.starts import compare_starts
from cosolve.plugins.verifiers import Residual
from mpi4py import MPI

MODEL = Path(__file__).with_name("cylinder.safetensors")
"""The trained model, made by `cosolve train examples/cylinder/case.toml`."""

WINDOWS = (2.0, 4.0, 5.6)
"""Times of the standard run from which oracle, planted errors and starts are tried."""

WINDOW_STEPS = 40
TARGETS = {
    "cost_ratio_vs_classical": "<= 1.05",
    "judged": ">= 100",
    "accepted_bad": "== 0",
    "oracle_accepted": ">= 0.9",
    "drag_error": "<= 0.01",
    "lift_error": "<= 0.01",
}


@dataclass(slots=True)
class Windows:
    """States of the classical run with which short trials start, and what followed them.

    Attributes:
        firsts: Numbers of the steps with which the windows start.
        states: State before each step of the windows, and after the last, by the number of the step.
    """

    firsts: list[int]
    states: dict[int, Array]

    def keep(self, state: LoopState) -> None:
        """Keep a state that lies in a window."""
        if any(first <= state.step <= first + WINDOW_STEPS for first in self.firsts):
            self.states[state.step] = state.value

    def queries(self, problem: CylinderProblem, first: int) -> list[Query]:
        """Return the questions of one window."""
        start, _, dt = problem.time_span
        return [
            Query(self.states[step], start + step * dt, dt, step, parameters=problem.parameters)
            for step in range(first, first + WINDOW_STEPS)
        ]


def bench(*, quick: bool, seed: int, progress: Any = None) -> BenchReport:
    """Measure (serial).

    Args:
        quick: The standard inflow and one other, rather than eight others.
        seed: Draws the other inflows and the planted errors.
        progress: Called with the share that is done and a sentence; None is quiet.

    Raises:
        BadInputError: The model file is missing.
    """
    if not MODEL.is_file():
        raise BadInputError(f"the model {MODEL} is missing; make it: cosolve train {MODEL.with_name('case.toml')}")
    surrogate = load_surrogate(MODEL, Registry.discover())
    others = 1 if quick else 8
    tell: Callable[[float, str], None] = progress or (lambda share, text: None)
    standard = CylinderProblem(CylinderOptions())
    _, _, dt = standard.time_span
    windows = Windows([round(t / dt) for t in WINDOWS], {})
    share = 0.9 / (others + 1)
    with standard.make_solver(MPI.COMM_SELF, {"prefix": "cylinder_bench_"}) as solver:
        pairs, cases = [], []
        for index in range(others + 1):
            # Another family than the training runs', whose seeds start at a million.
            problem = standard if index == 0 else inflow(seed, index)
            name = "standard" if index == 0 else f"drawn {index}"
            pair = run_both(
                problem,
                solver,
                [surrogate],
                Residual(),
                lambda done, base=share * index, name=name: tell(base + share * done, f"{name} inflow"),  # type: ignore[misc]  # mypy sees no defaults in a lambda
                windows.keep if index == 0 else None,
            )
            pairs.append(pair)
            cases.append({"kind": name, **dict(problem.parameters), **compared(pair, standard=index == 0)})
        tell(0.9, "planted errors, oracle, starts")
        judged = planted.judge(solver, Residual(), exact_steps(standard, solver, windows), solver.rtol, seed)
        oracle = oracle_run(standard, solver, windows)
        starts = compare_starts(solver, surrogate, [windows.queries(standard, first)[::2] for first in windows.firsts])
    first = cases[0]
    metrics = {
        "cost_ratio_vs_classical": median(pair.ratio for pair in pairs),
        "cost_ratio_range": [min(pair.ratio for pair in pairs), max(pair.ratio for pair in pairs)],
        "cost_ratio_of_blocks": [float(q) for q in np.quantile(block_ratios(pairs), (0.25, 0.5, 0.75))],
        "judged": sum(pair.stats["judged"] for pair in pairs),
        "accepted": sum(pair.stats["accepted"] for pair in pairs),
        "accepted_bad": sum(pair.bad for pair in pairs) + oracle["bad"],
        **planted.rates(judged),
        "oracle_accepted": oracle["accepted_share"],
        "oracle_judged": oracle["judged"],
        "oracle_cost_ratio": oracle["cost_ratio"],
        "drag_error": first["drag_error"],
        "lift_error": first["lift_error"],
        "drag_error_hybrid": first["drag_error_hybrid"],
        "lift_error_hybrid": first["lift_error_hybrid"],
        "hybrid_difference_max": max(case["difference"] for case in cases),
        "classical_seconds": first["classical_seconds"],
        "steps": first["steps"],
        **starts.metrics,
        **trained(surrogate),
    }
    cases += [oracle, *starts.cases, *judged_by_kind(judged)]
    return BenchReport("cylinder", metrics, cases, TARGETS, starts.notes)


def inflow(seed: int, index: int) -> CylinderProblem:
    """Return the problem with the unseen inflow number `index` of a seed."""
    return CylinderProblem(CylinderOptions().model_copy(update=draw(seed, index)))


def block_ratios(pairs: list[Pair]) -> Array:
    """Return the ratios of all neighbouring blocks."""
    return np.concatenate([pair.block_ratios() for pair in pairs])


def compared(pair: Pair, *, standard: bool = True) -> dict[str, Any]:
    """Return the figures of one inflow; errors against the reference where it is the standard one."""
    classical, hybrid = pair.classical, pair.hybrid
    seconds = sum(classical.seconds), sum(hybrid.seconds)
    solver_forces, hybrid_forces = np.array(classical.forces), np.array(hybrid.forces)
    values: dict[str, Any] = {
        "steps": pair.stats["steps"],
        "judged": pair.stats["judged"],
        "accepted": pair.stats["accepted"],
        "corrected": pair.stats["corrected"],
        "bad": pair.bad,
        "cost_ratio": pair.ratio,
        "classical_seconds": seconds[0],
        "hybrid_seconds": seconds[1],
        # Of the drag and lift over all steps, relative to their largest values.
        "difference": float(
            np.max(np.abs(hybrid_forces[:, 1:] - solver_forces[:, 1:]) / np.max(np.abs(solver_forces[:, 1:]), axis=0))
        ),
    }
    for column, name, reference in ((1, "drag", DRAG_MAX), (2, "lift", LIFT_MAX)):
        when, largest = peak(classical.forces, column)
        values |= {f"{name}_max": largest, f"{name}_at": when}
        if standard:  # there is no reference for the others
            values |= {
                f"{name}_error": abs(largest / reference - 1.0),
                f"{name}_error_hybrid": abs(peak(hybrid.forces, column)[1] / reference - 1.0),
            }
    return values


def exact_steps(problem: CylinderProblem, solver: ChannelSolver, windows: Windows) -> list[tuple[Query, Array]]:
    """Return a few questions of each window with their answers to rounding."""
    found = []
    for first in windows.firsts:
        for query in windows.queries(problem, first)[:: WINDOW_STEPS // 4]:
            found.append((query, solver.step_exactly(query).value))
    return found


def oracle_run(problem: CylinderProblem, solver: ChannelSolver, windows: Windows) -> dict[str, Any]:
    """Let a surrogate propose the classical run's own next states, for nothing; count what is accepted, and how badly.

    What such a step costs beside a classical one bounds what any surrogate can gain: nobody can be better or cheaper.
    """
    accepted = judged = bad = 0
    classical: list[float] = []
    hybrid: list[float] = []
    for first in windows.firsts:
        oracle = planted.Oracle({step: windows.states[step + 1] for step in range(first, first + WINDOW_STEPS)})
        # Asked in every step: what is measured here is the judge, not what asking costs.
        with (
            Session(solver, Residual(), governor=Governor("off")) as session,
            Session(solver, None, mode="off") as alone,
        ):
            for query in windows.queries(problem, first):
                for run, proposers, seconds in ((alone, [], classical), (session, [oracle], hybrid)):
                    solver.forget()  # each pays for its own assembly
                    begun = time.process_time()
                    outcome = run.attempt(query, proposers)
                    seconds.append(time.process_time() - begun)
                if outcome.source == oracle.name:
                    bad += not solver.measure(query, outcome.value).ratio <= 1.0
            accepted += session.stats["accepted"]
            judged += session.stats["judged"]
    return {
        "kind": "oracle",
        "judged": judged,
        "accepted": accepted,
        "accepted_share": accepted / judged if judged else math.nan,
        "bad": bad,
        "cost_ratio": median(hybrid) / median(classical),
    }


def judged_by_kind(cases: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Return one row for each size and field of planted errors, in the place of a thousand single ones."""
    rows = []
    for size in planted.SIZES:
        for name in planted.FIELDS:
            found = [case for case in cases if case["size"] == size and case["field"] == name]
            outcomes = [case["outcome"] for case in found]
            rows.append(
                {
                    "kind": "planted",
                    "size": size,
                    "field": name,
                    "error": median(case["error"] for case in found),
                    "measured": median(case["measured"] for case in found),
                    **{word: outcomes.count(word) for word in sorted(set(outcomes))},
                }
            )
    return rows


def trained(surrogate: StoredSurrogate) -> dict[str, Any]:
    """Return what the model cost and what it errs by on held-back runs."""
    card = surrogate.model_card
    if card is None:
        return {}
    return {
        "training_seconds": card.cost_data_seconds + card.cost_training_seconds,
        "surrogate_error": card.figures.get("validation_error"),
        "surrogate_residual": card.figures.get("validation_residual"),
    }
