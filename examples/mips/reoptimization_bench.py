"""`cosolve bench reoptimization`: series of related programs in their order, learning from one to the next.

Scored as the computational competition of the MIP Workshop 2023 did (Bolusani et al., arXiv 2311.14834): share of the
time limit that was used, plus the gap that was left, plus one where no solution was found; lower is better. Instance i
may use files 1 to i only. Rivals: SCIP's default, and SCIP that starts from the last solution.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, Final

from cosolve.core.bench import BenchReport, data_folder
from cosolve.examples.mips.families import files
from cosolve.examples.mips.options import ReoptimizationOptions
from cosolve.examples.mips.program import read
from cosolve.plugins.scip.measured import Measured, measure, shifted_geometric_mean
from cosolve.plugins.scip.series import Series, SeriesOptions
from cosolve.plugins.scip.settings import Settings, portfolio

OURS, DEFAULT, LAST = "learning", "default", "last solution"
SERIES: Final = {"vary_obj": "series_1", "vary_bounds": "series_1", "vary_rhs": "series_2"}
"""Folders of the competition's data."""
RACES: Final = (0,)
"""Instances after which the settings are raced, on that very instance."""
RACE_SHARE: Final = 0.5
"""Of the limit, for each of the settings in a race."""


def candidates() -> list[Settings]:
    """Return the settings that a series chooses from: with and without cuts, dear heuristics and strong branching."""
    known = portfolio()
    return [
        known["default"],
        known["fast heuristics"],
        known["fast heuristics"].with_rule("pscost"),
        known["lean"],
        known["lean"].with_rule("pscost"),
    ]


def learner() -> Series:
    """Return a series that makes use of all it can."""
    return Series(SeriesOptions(settings=candidates()))


@dataclass(frozen=True, slots=True)
class Scored:
    """One instance by one row.

    Attributes:
        measured: Time, nodes, bounds.
        score: Share of the limit, plus gap, plus one without a solution.
        gap: What was left, at most 1.
        settings: What was chosen.
    """

    measured: Measured
    score: float
    gap: float
    settings: str = ""


def scored(measured: Measured, limit: float, settings: str = "") -> Scored:
    """Return the competition's score of a solve."""
    used = 1.0 if not measured.solved else min(measured.seconds / limit, 1.0)
    gap = 0.0 if measured.solved else relative_gap(measured.primal, measured.dual)
    return Scored(measured, used + gap + math.isnan(measured.primal), gap, settings)


def relative_gap(primal: float, dual: float) -> float:
    """Return the distance of two bounds over the larger one, at most 1; 1 where one is missing or the signs differ.

    >>> relative_gap(10.0, 9.0), relative_gap(1.0, -1.0), relative_gap(0.0, 0.0)
    (0.1, 1.0, 0.0)
    """
    if math.isnan(primal) or math.isnan(dual) or primal * dual < 0.0:
        return 1.0
    larger = max(abs(primal), abs(dual))
    return min(abs(primal - dual) / larger, 1.0) if larger > 0.0 else 0.0


def solve(path: Path, limit: float, memory: Series | None, seed: int) -> Scored:
    """Solve one file, with the memory of earlier ones, and let the memory learn from it.

    Reading is left out for all rows alike; preparing counts, and so does remembering.
    """
    model = read(path)
    found = measure(
        model,
        Settings("default"),
        time_limit=limit,
        seed_shift=seed,
        prepare=None if memory is None else memory.prepare,
    )
    name = "default" if memory is None or memory.chosen is None else memory.chosen.name
    start = time.process_time()
    if memory is not None:
        memory.learn(model)
    learning = time.process_time() - start
    charged = Measured(**{**found.as_json(), "seconds": found.seconds + learning, "primal": found.primal})
    return scored(charged, limit, name)


def run_series(
    paths: Sequence[Path], limit: float, seed: int, progress: Callable[[float, str], None]
) -> tuple[dict[str, list[Scored]], float]:
    """Solve a series by all rows, interleaved; return the scores, and the CPU seconds of our races."""
    ours = learner()
    memories = {DEFAULT: None, LAST: Series(SeriesOptions(starts="last", pseudo_costs=False)), OURS: ours}
    rows: dict[str, list[Scored]] = {name: [] for name in memories}
    order = list(memories)
    race_limit = RACE_SHARE * limit

    def race_score(run: Measured) -> float:
        return scored(run, race_limit).score

    for number, path in enumerate(paths):
        turn = number % len(order)
        for name in (*order[turn:], *order[:turn]):
            rows[name].append(solve(path, limit, memories[name], seed))
        if number in RACES:
            ours.race(partial(read, path), race_limit, race_score)
        now = {name: sum(one.score for one in own) / len(own) for name, own in rows.items()}
        progress((number + 1) / len(paths), ", ".join(f"{name} {value:.2f}" for name, value in now.items()))
    return rows, ours.race_seconds


def summary(rows: Mapping[str, Sequence[Scored]]) -> dict[str, Any]:
    """Return the figures of one series."""
    scores = {name: sum(one.score for one in own) / len(own) for name, own in rows.items()}
    return {
        "score": scores[OURS],
        "score_default": scores[DEFAULT],
        "score_last_solution": scores[LAST],
        "better_than_both": int(scores[OURS] < min(scores[DEFAULT], scores[LAST])),
        "solved": {name: sum(one.measured.solved for one in own) for name, own in rows.items()},
        "seconds": {name: shifted_geometric_mean(one.measured.seconds for one in own) for name, own in rows.items()},
        "gap_mean": {name: sum(one.gap for one in own) / len(own) for name, own in rows.items()},
        "optima_equal": int(_agree(rows)),
    }


def _agree(rows: Mapping[str, Sequence[Scored]]) -> bool:
    for number in range(len(rows[OURS])):
        proved = [own[number].measured.primal for own in rows.values() if own[number].measured.solved]
        if proved and max(proved) - min(proved) > 1e-5 * max(1.0, abs(proved[0])):
            return False
    return True


def bench(*, quick: bool, seed: int, progress: Any, options: ReoptimizationOptions) -> BenchReport:
    """Measure learning along series (serial).

    Args:
        quick: 10 instances of each series at 40 s; else all of them at 100 s.
        seed: SCIP's seed shift for all rows.
        progress: Called with the share that is done and a sentence.
        options: Which series, how long.

    Raises:
        BadInputError: There is no such folder, or nothing in it.
    """
    limit = float(options.seconds or (40 if quick else 100))
    count = options.count or (10 if quick else None)
    if options.series is not None:
        folders = {options.series.name: options.series}
        if options.series.name.startswith("series_"):
            folders = {options.series.parent.name: options.series}
    else:
        data = data_folder()
        folders = {name: data / "mipcc23" / name / last for name, last in SERIES.items()}
    found = {name: files(folder)[:count] for name, folder in folders.items()}
    metrics: dict[str, Any] = {}
    records: list[dict[str, Any]] = []
    targets: dict[str, str] = {}
    for number, (name, paths) in enumerate(found.items()):
        begun = number / len(found)

        def tell(done: float, sentence: str, begun: float = begun, name: str = name) -> None:
            progress(begun + done / len(found), f"{name}: {sentence}")

        rows, race_seconds = run_series(paths, limit, seed, tell)
        metrics[name] = {**summary(rows), "race_seconds": race_seconds}
        records += _cases(name, paths, rows)
    metrics["better_than_both"] = int(all(metrics[name]["better_than_both"] for name in found))
    metrics["optima_equal"] = int(all(metrics[name]["optima_equal"] for name in found))
    targets |= {"better_than_both": "== 1", "optima_equal": "== 1"}
    notes = [
        f"{', '.join(f'{name}: {len(paths)} instances' for name, paths in found.items())}, {limit:.0f} CPU s each.",
        "Score: share of the time limit, plus gap, plus one without a solution (MIPcc23); lower is better. Preparing "
        "and remembering are charged.",
        f"Settings are raced once, on the first instance after it was solved, {RACE_SHARE * limit:.0f} CPU s each: "
        "that time lies between two instances; it is in race_seconds, and not in the score.",
    ]
    return BenchReport("reoptimization", metrics, records, targets, notes)


def _cases(series: str, paths: Sequence[Path], rows: Mapping[str, Sequence[Scored]]) -> list[dict[str, Any]]:
    found = []
    for number, path in enumerate(paths):
        for name, own in rows.items():
            one = own[number]
            found.append(
                {
                    "instance": f"{series} {path.name.split('.')[0]}",
                    "row": name,
                    "score": one.score,
                    "seconds": one.measured.seconds,
                    "gap": one.gap,
                    "nodes": one.measured.nodes,
                    "primal": one.measured.primal,
                    "settings": one.settings,
                    "setup_seconds": one.measured.setup_seconds,
                }
            )
    return found
