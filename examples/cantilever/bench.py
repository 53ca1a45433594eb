"""`cosolve bench newton`: large-bending solves from learned starts against every classical way that we know.

Unseen beams, one thread, CPU seconds, methods interleaved on each beam. Every method stops at the same absolute
residual norm, 1e-8 of the norm of the load. Each answer is compared with a slow and careful continuation, so that a
solution of another branch counts as a failure. All settings are chosen by the same small search on validation beams.
"""

from __future__ import annotations

import tempfile
import time
import tomllib
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from statistics import mean, median
from typing import Any

import numpy as np
from cosolve.core.arrays import Array
from cosolve.core.bench import BenchReport
from cosolve.core.errors import BadInputError
from cosolve.core.model_file import load_surrogate
from cosolve.core.query import Query
from cosolve.core.registry import Registry
from cosolve.core.surrogate import Surrogate
from cosolve.core.training import TrainingSettings
from cosolve.core.trajectory import Trajectory
from cosolve.examples.cantilever import methods
from cosolve.examples.cantilever.bare import BareStepping
from cosolve.examples.cantilever.methods import Answer, Method
from cosolve.examples.cantilever.options import draw
from cosolve.examples.cantilever.plate_bench import measure_plate
from cosolve.examples.cantilever.problem import CantileverProblem, form_solver
from cosolve.examples.cantilever.training import follow_paths
from cosolve.plugins.fenicsx import FormSolver
from mpi4py import MPI

MODEL = Path(__file__).with_name("cantilever.safetensors")
"""Made, with its `_fine` companion, by `cosolve train examples/cantilever/case.toml`."""

VALIDATION = 900_001
"""Seed of the beams that settings are chosen on."""

CELLS = (80, 16)

STEPPING: tuple[dict[str, Any], ...] = (
    {"reuse": False, "order": 1, "growth": 1.5, "corrector_iterations": 5, "easy_iterations": 3, "loose": 1e4},
    {"reuse": False, "order": 2, "growth": 2.0, "corrector_iterations": 4, "easy_iterations": 2, "loose": 1e6},
    {"reuse": False, "order": 2, "growth": 2.0, "corrector_iterations": 5, "easy_iterations": 3, "loose": 1e5},
    {"reuse": True, "order": 2, "growth": 1.5, "corrector_iterations": 8, "easy_iterations": 4, "loose": 1e6},
    {"reuse": True, "order": 2, "growth": 2.0, "corrector_iterations": 12, "easy_iterations": 6, "loose": 1e5},
)
_COMMON: dict[str, Any] = {"first_step": 0.1, "shrink": 0.5}
CAREFUL: dict[str, Any] = {
    "reuse": False,
    "first_step": 0.05,
    "order": 1,
    "growth": 1.3,
    "corrector_iterations": 5,
    "easy_iterations": 3,
    "loose": 1e3,
}
"""The continuation that answers are compared with."""

LOOSE = (1.0, 1e4, 1e6)
"""Tolerances on coarser meshes, as multiples of the fine one, that grid sequencing and ours may choose from."""

SAME = 1e-5
"""Relative distance below which two answers are the same solution."""

TARGETS = {
    "fine_solves_ratio_vs_stepping": ">= 12",
    "time_ratio_vs_stepping": ">= 8",
    "time_ratio_vs_grid_sequencing": ">= 2",
    "success_rate": "== 1",
    "break_even_queries": "<= 300",
    "rival_vs_bare": "<= 1.05",
}


def bench(*, quick: bool, seed: int, progress: Any = None) -> BenchReport:
    """Measure unseen beams (serial).

    Args:
        quick: 20 beams on 80 x 16 rather than 100, and on 160 x 32, too; 10 plates rather than 50.
        seed: Draws their parameters.
        progress: Called with the share that is done and a sentence; None is quiet.

    Raises:
        BadInputError: A model file is missing.
    """
    tell: Callable[[float, str], None] = progress or (lambda share, sentence: None)
    surrogate, correction = _models() if quick else trained_afresh(seed)
    count = 20 if quick else 100
    metrics, cases, notes = measure_family(CELLS, surrogate, correction, seed, count, tell, 1.0 if quick else 0.4)
    if not quick:
        finer, more, _ = measure_family(
            (160, 32), surrogate, None, seed, count, lambda share, text: tell(0.4 + 0.6 * share, text), 1.0
        )
        metrics |= {f"{name}_160x32": value for name, value in finer.items()}
        cases += more
    metrics |= measure_plate(seed, 10 if quick else 50, [{**_COMMON, **one} for one in STEPPING])
    return BenchReport("newton", metrics, cases, TARGETS, notes)


def trained_afresh(seed: int) -> tuple[Surrogate, Surrogate]:
    """Return models that `cosolve train` makes here and now by the shipped case, with another seed."""
    table = tomllib.loads(MODEL.with_name("case.toml").read_text())["training"]
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / MODEL.name
        CantileverProblem().train(TrainingSettings(**table, seed=seed + 1, output=str(path)), lambda share, text: None)
        return _models(path)


def _models(model: Path = MODEL) -> tuple[Surrogate, Surrogate]:
    registry = Registry.discover()
    found = []
    for path in (model, model.with_name(f"{model.stem}_fine.safetensors")):
        if not path.is_file():
            raise BadInputError(f"the model {path} is missing; make it: cosolve train {MODEL.with_name('case.toml')}")
        found.append(load_surrogate(path, registry))
    return found[0], found[1]


def measure_family(
    cells: tuple[int, int],
    surrogate: Surrogate,
    correction: Surrogate | None,
    seed: int,
    count: int,
    progress: Callable[[float, str], None],
    share: float,
) -> tuple[dict[str, Any], list[dict[str, Any]], list[str]]:
    """Choose settings on validation beams, then measure `count` unseen ones on one mesh."""
    progress(0.0, "choosing settings on validation beams")
    validation = [draw(VALIDATION, index) for index in range(6)]
    stepping = {**_COMMON, **_best(STEPPING, validation, lambda s: methods.load_stepping(cells, {**_COMMON, **s}))}
    deepest = 2 if cells == CELLS else 3
    sequences = [
        (levels, {**_COMMON, **coarse}, reuse, loose)
        for levels in range(1, deepest + 1)
        for coarse in (STEPPING[1], STEPPING[3])
        for reuse in (False, True)
        for loose in LOOSE
    ]
    sequence = _best(sequences, validation, lambda s: methods.grid_sequencing(cells, *s))
    choices = [{"loose": loose, "reuse": reuse} for loose in LOOSE for reuse in (False, True)]
    chosen = _best(choices, validation, lambda s: methods.guessed(cells, surrogate, correction, sequence, **s))
    library = follow_library(60)
    nearest, process = library["nearest_snapshot"], library["pod_gp"]
    compared: list[Method] = [
        methods.load_stepping(cells, stepping),
        methods.grid_sequencing(cells, *sequence),
        methods.guessed(cells, surrogate, correction, sequence, **chosen),
    ]
    others = [
        methods.guessed(cells, surrogate, None, sequence, **{**chosen, "polish": 0}, name="network_unpolished"),
        methods.guessed(cells, nearest, None, sequence, **chosen, name="nearest_snapshot"),
        methods.guessed(cells, process, None, sequence, **chosen, name="pod_gp"),
        methods.newton_alone(cells, "line_search", {"snes_linesearch_type": "bt"}),
        methods.newton_alone(cells, "trust_region", {"snes_type": "newtontr"}),
        methods.arc_length(cells, {"reuse": False}),
    ]
    careful = methods.load_stepping(cells, CAREFUL, "careful")
    bare_settings = stepping if not stepping["reuse"] else {**_COMMON, **STEPPING[1]}
    ours = methods.load_stepping(cells, bare_settings, "like_bare")
    bare = BareStepping(cells, bare_settings)
    cases: list[dict[str, Any]] = []
    for method in [*compared, *others, ours]:
        method(validation[0])  # compiled and warm
    bare.solve(validation[0])
    for index in range(count):
        parameters = draw(seed, index)
        truth = careful(parameters)
        case: dict[str, Any] = {"case": index, "cells": list(cells), "bending": _bending(careful, truth.value)}
        for method in _turned([*compared, *others], index):
            repeats = 2 if method in compared else 1
            answers = [method(parameters, index) for _ in range(repeats)]
            case[method.name] = _record(answers, truth, careful, parameters)
        if index % 4 == 0:
            case["vs_bare"] = _against_bare(ours, bare, parameters)
        cases.append(case)
        progress(share * (index + 1) / count, f"beam {index + 1} of {count}, hybrid {case['hybrid']['source']}")
    share = old_share(careful.fine)
    metrics = summary(cases, [method.name for method in [*compared, *others]], surrogate, correction, share)
    for method in [*compared, *others, careful, ours]:
        method.close()
    notes = [
        f"load stepping on {cells[0]} x {cells[1]}: {stepping}",
        f"grid sequencing: {sequence[0]} coarser meshes, old Jacobians {sequence[2]}, tolerance on these x "
        f"{sequence[3]:g}, {sequence[1]}",
        f"hybrid: {chosen}",
    ]
    return metrics, cases, notes


def _best(settings: Iterable[Any], validation: Sequence[Mapping[str, Array]], make: Callable[[Any], Method]) -> Any:
    """Return the settings with the smallest CPU time over the validation beams; a failure is infinitely slow."""
    best: tuple[float, Any] | None = None
    for one in settings:
        method = make(one)
        method(validation[0])
        answers = [method(parameters) for parameters in validation]
        method.close()
        seconds = sum(answer.seconds for answer in answers) if all(a.converged for a in answers) else float("inf")
        if best is None or seconds < best[0]:
            best = (seconds, one)
    assert best is not None
    return best[1]


def follow_library(count: int) -> dict[str, Surrogate]:
    """Return the surrogates that need snapshots rather than training, from `count` paths on the coarse mesh."""
    from cosolve.examples.cantilever.problem import COARSE

    with form_solver(MPI.COMM_SELF, *COARSE, prefix="cantilever_library_", reuse_jacobian=False) as coarse:
        paths = follow_paths(coarse, 0, count, float("inf"), lambda share, text: None, slopes=False)
    runs = [sample.run() for path in paths for sample in path if sample is path[-1]]
    runs = [Trajectory(run.times[1:], run.states[1:], run.parameters) for run in runs]
    registry = Registry.discover()
    found: dict[str, Surrogate] = {}
    for name in ("nearest_snapshot", "pod_gp"):
        found[name] = registry.load("surrogate", name, where="bench")()
        found[name].fit(runs)
    return found


def _turned(items: Sequence[Method], by: int) -> list[Method]:
    by %= len(items)
    return [*items[by:], *items[:by]]


def _bending(method: Method, value: Array) -> float:
    """Return the largest displacement of the free end."""
    places = method.fine.coordinates()
    end = np.isclose(places[:, 0], places[:, 0].max())
    return float(np.linalg.norm(value[end].reshape(-1, 2), axis=1).max())


def _record(answers: Sequence[Answer], truth: Answer, judge: Method, parameters: Mapping[str, Array]) -> dict[str, Any]:
    """Return the figures of one method for one beam; the time is the median of the repetitions."""
    first = answers[0]
    query = Query(judge.fine.initial_state(), parameters=parameters, transaction="solve")
    met = first.converged and judge.fine.measure(query, first.value).ratio <= 1.0 + 1e-6
    away = float(np.linalg.norm(first.value - truth.value)) / max(float(np.linalg.norm(truth.value)), 1e-300)
    return {
        "right": bool(met and away <= SAME),
        "seconds": median(answer.seconds for answer in answers),
        "fine_solves": first.fine_solves,
        "factorisations": first.factorisations,
        "source": first.source,
    }


def _against_bare(ours: Method, bare: BareStepping, parameters: Mapping[str, Array]) -> dict[str, Any]:
    """Return CPU seconds of our load stepping and of the bare script, interleaved."""
    pairs = []
    for _ in range(5):
        begun = time.process_time()
        bare.solve(parameters)
        middle = time.process_time()
        ours(parameters)
        pairs.append((time.process_time() - middle, middle - begun))
    # What is sought is the difference of two equal computations: the least disturbed repetition of each shows it.
    return {"ours": min(pair[0] for pair in pairs), "bare": min(pair[1] for pair in pairs)}


def old_share(fine: FormSolver) -> float:
    """Return what an iteration with an old Jacobian costs, in iterations with a fresh one; the least of ten each."""
    values, factor = fine.initial_state(), fine.newton.snes.getKSP()
    right, move = fine.assembly.matrix.createVecs()
    right.set(1.0)
    fresh, old = [], []
    for _ in range(10):
        begun = time.process_time()
        fine.assembly.residual(values)
        fine.assembly.assemble_jacobian(values)
        factor.solve(right, move)
        middle = time.process_time()
        fine.assembly.residual(values)
        factor.solve(right, move)
        fresh.append(middle - begun)
        old.append(time.process_time() - middle)
    fine.newton.forget()
    right.destroy()
    move.destroy()
    return min(old) / min(fresh)


def summary(
    cases: Sequence[Mapping[str, Any]],
    names: Sequence[str],
    surrogate: Surrogate,
    correction: Surrogate | None,
    share: float,
) -> dict[str, Any]:
    """Return the metrics: means over the beams, fallbacks charged, ratios of means.

    A fine solve is a linear solve with a Jacobian of its own, assembled and factorised. One with an old Jacobian counts
    as its share of the work of a fresh one, for all methods alike: else the count would depend on whether the tuning
    for time has taken stepping with old Jacobians or with fresh ones. The plain counts stand beside.
    """
    seconds = {name: mean(case[name]["seconds"] for case in cases) for name in names}
    linear = {name: mean(case[name]["fine_solves"] for case in cases) for name in names}
    factorisations = {name: mean(case[name]["factorisations"] for case in cases) for name in names}
    solves = {name: factorisations[name] + share * (linear[name] - factorisations[name]) for name in names}
    hybrid = [case["hybrid"] for case in cases]
    cards = [card for one in (surrogate, correction) if (card := getattr(one, "model_card", None)) is not None]
    training = sum(card.cost_data_seconds + card.cost_training_seconds for card in cards)
    gains = {name: seconds[name] - seconds["hybrid"] for name in ("load_stepping", "grid_sequencing")}
    against = [case["vs_bare"] for case in cases if "vs_bare" in case]
    return {
        "queries": len(cases),
        "fine_solves_ratio_vs_stepping": solves["load_stepping"] / solves["hybrid"],
        "linear_solves_ratio_vs_stepping": linear["load_stepping"] / linear["hybrid"],
        "factorisations_ratio_vs_stepping": factorisations["load_stepping"] / factorisations["hybrid"],
        "time_ratio_vs_stepping": seconds["load_stepping"] / seconds["hybrid"],
        "time_ratio_vs_grid_sequencing": seconds["grid_sequencing"] / seconds["hybrid"],
        "success_rate": mean(float(one["right"]) for one in hybrid),
        "success_rate_before_fallback": mean(float(one["right"] and one["source"] != "solver") for one in hybrid),
        "break_even_queries": _queries(training, gains["load_stepping"]),
        "break_even_queries_vs_grid_sequencing": _queries(training, gains["grid_sequencing"]),
        "training_seconds": training,
        "rival_vs_bare": median(one["ours"] / one["bare"] for one in against),
        "bending_median": median(case["bending"] for case in cases),
        "seconds_mean": seconds,
        "seconds_median": {name: median(case[name]["seconds"] for case in cases) for name in names},
        "share_of_an_old_jacobian": share,
        "fine_solves_mean": solves,
        "linear_solves_mean": linear,
        "factorisations_mean": factorisations,
        "right_branch": {name: mean(float(case[name]["right"]) for case in cases) for name in names},
        "from_the_start": {
            name: mean(float(case[name]["source"] != "solver" and case[name]["right"]) for case in cases)
            for name in ("hybrid", "network_unpolished", "nearest_snapshot", "pod_gp")
        },
    }


def _queries(training: float, gain: float) -> float:
    return float(np.ceil(training / gain)) if gain > 0.0 else float("inf")
