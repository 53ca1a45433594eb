"""`cosolve bench branching-shift`: guides on programs that they were never trained for (MIPLIB 3).

What is asked: how little a guide costs where it cannot help. Each instance is solved with several seed shifts of SCIP,
with and without the guide, because the seed alone changes the time of a tree by as much as a poor rule does.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, Final

from cosolve.core.bench import BenchReport, data_folder
from cosolve.core.errors import BadInputError
from cosolve.examples.mips.branching_bench import DEFAULT, OURS, from_folder
from cosolve.examples.mips.comparing import Row, Run, cases, percentile_95, ratios, run_row, same_optima, speedup
from cosolve.examples.mips.guides import GUIDES, first_use_seconds, guided
from cosolve.examples.mips.options import ShiftOptions
from pyscipopt import Model

FOLDER: Final = "miplib3"


def bench(*, quick: bool, seed: int, progress: Any, options: ShiftOptions) -> BenchReport:
    """Measure guides on MIPLIB 3 (serial).

    Args:
        quick: Two seed shifts at 20 s; else five at 120 s.
        seed: First of the seed shifts.
        progress: Called with the share that is done and a sentence.
        options: Which guide, how long, how many seed shifts.

    Raises:
        BadInputError: There are no guides, or no data.
    """
    instances = from_folder(data_folder() / FOLDER, None)
    guides = [options.guide] if options.guide is not None else sorted(GUIDES.glob("*.safetensors"))
    if not guides:
        raise BadInputError(
            "no guide comes with cosolve; train one with `cosolve train branching`, name it by --guide."
        )
    limit = float(options.seconds or (20 if quick else 120))
    shifts = range(seed, seed + max(2, options.seeds or (2 if quick else 5)))
    first_use = sum(first_use_seconds(guide, instances[0][1]) for guide in guides)
    runs = solve_all(instances, guides, shifts, limit, progress)
    metrics: dict[str, Any] = {guide.stem: summary(runs, guide.stem, shifts) for guide in guides}
    metrics["first_use_seconds"] = first_use
    metrics["time_ratio"] = max(metrics[guide.stem]["time_ratio"] for guide in guides)
    metrics["ratio_p95"] = max(metrics[guide.stem]["ratio_p95"] for guide in guides)
    metrics["default_ratio_p95"] = percentile_95(default_ratios(runs, shifts))
    metrics["optima_equal"] = int(all(same_optima(runs, number) for number in range(len(instances))))
    notes = [
        f"{len(instances)} instances of MIPLIB 3, {len(shifts)} seed shifts, at most {limit:.0f} CPU s a run; "
        "shifted geometric means (shift 1 s), the guide's set-up included.",
        "default_ratio_p95 is SCIP's default against itself under the next seed shift: what chance alone does.",
    ]
    targets = {"time_ratio": "<= 1.05", "optima_equal": "== 1"}
    return BenchReport("branching-shift", metrics, cases(instances, runs), targets, notes)


def solve_all(
    instances: Sequence[tuple[str, Callable[[], Model]]],
    guides: Sequence[Path],
    shifts: Sequence[int],
    limit: float,
    progress: Callable[[float, str], None],
) -> dict[str, list[Run | None]]:
    """Solve each instance with each shift, with and without each guide, interleaved."""
    rows = [
        row
        for shift in shifts
        for row in (
            Row(f"{DEFAULT} {shift}", seed_shift=shift),
            *(Row(f"{OURS} {guide.stem} {shift}", guide=guided(guide), seed_shift=shift) for guide in guides),
        )
    ]
    runs: dict[str, list[Run | None]] = {row.name: [] for row in rows}
    for number, (name, make) in enumerate(instances):
        turn = number % len(rows)
        for row in (*rows[turn:], *rows[:turn]):
            runs[row.name].append(run_row(row, make(), limit))
        progress((number + 1) / len(instances), name)
    return runs


def summary(runs: dict[str, list[Run | None]], guide: str, shifts: Sequence[int]) -> dict[str, Any]:
    """Return the figures of one guide over all shifts."""
    ours = [run for shift in shifts for run in runs[f"{OURS} {guide} {shift}"]]
    default = [run for shift in shifts for run in runs[f"{DEFAULT} {shift}"]]
    asked = [run for run in ours if run is not None]
    return {
        "time_ratio": 1.0 / speedup(ours, default),
        "ratio_p95": percentile_95(ratios(ours, default)),
        "declined": sum(not run.guided.get("decisions") for run in asked),
        "handed_back": sum(bool(run.guided.get("governed")) for run in asked),
        "runs": len(asked),
    }


def default_ratios(runs: dict[str, list[Run | None]], shifts: Sequence[int]) -> list[float]:
    """Return the times of the default under each shift over those under the one before."""
    pairs = zip(shifts[1:], shifts[:-1], strict=True)
    return [value for a, b in pairs for value in ratios(runs[f"{DEFAULT} {a}"], runs[f"{DEFAULT} {b}"])]
