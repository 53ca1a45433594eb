"""`cosolve bench faults`: the matrix of faults, and what planted lies get past certified and estimated verdicts."""

from __future__ import annotations

import tempfile
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any, Final

from cosolve.core.bench import BenchReport
from cosolve.core.testing.fault_matrix import RANKS, Cell, CellOutcome, cells_of, pairwise
from cosolve.core.verdict import Grade
from cosolve.examples.faults.launching import run_cells
from cosolve.examples.faults.lies import CERTIFIED_SIZES, ESTIMATED_SIZES, certified, estimated, interval
from cosolve.examples.faults.targets import NOT_IN_THE_MATRIX, TARGETS

_LIES_SHARE: Final = 0.1


def bench(*, quick: bool, seed: int, progress: Callable[[float, str], None] | None = None) -> BenchReport:
    """Run the matrix on 1, 2 and 3 ranks.

    Args:
        quick: A pairwise choice of the cells rather than all, and fewer lies.
        seed: Draws the planted lies.
        progress: Called with the share that is done and a sentence; None is quiet.
    """
    told = progress if progress is not None else (lambda share, sentence: None)
    cells, _ = cells_of(TARGETS.values())
    chosen = choice_of(cells) if quick else cells
    outcomes: list[CellOutcome] = []

    def one(outcome: CellOutcome) -> None:
        outcomes.append(outcome)
        told((1.0 - _LIES_SHARE) * len(outcomes) / len(chosen), f"{outcome.cell}: {outcome.ended}")

    with tempfile.TemporaryDirectory(prefix="cosolve-faults-") as folder:
        for ranks in RANKS:
            run_cells([cell for cell in chosen if cell.ranks == ranks], Path(folder), one)
    told(1.0 - _LIES_SHARE, "planted lies")
    lies = certified(CERTIFIED_SIZES, 5 if quick else 50, seed)
    estimates = estimated(ESTIMATED_SIZES, 4 if quick else 40, seed)
    return report_of(outcomes, lies, estimates)


def report_of(
    outcomes: Sequence[CellOutcome], lies: Sequence[dict[str, Any]], estimates: Sequence[dict[str, Any]]
) -> BenchReport:
    """Return the report of cells, certified lies and estimated lies that were run, at once or in pieces."""
    cells, left_out = cells_of(TARGETS.values())
    rows = [asdict(outcome) | {"part": "matrix", "holds": outcome.holds} for outcome in outcomes]
    return BenchReport(
        "faults",
        {**_matrix(outcomes, len(cells) - len(outcomes), left_out), **_lies(outcomes, lies, estimates)},
        [*rows, *lies, *estimates],
        {"cells_failed": "== 0", "dead_locks": "== 0", "silent_bad_answers": "== 0"},
        (
            "A cell holds when it ends with the classical answer to tolerance or with an error of cosolve's own that "
            "is the same on every rank; cells of the kinds hang and collective end by the watchdog, with stacks, exit "
            "code 5 and a whole checkpoint.",
            *(f"Left out, {count} cells: {reason}." for reason, count in Counter(why for _, why in left_out).items()),
            *(f"Left out, coupling {name}: {reason}." for name, reason in NOT_IN_THE_MATRIX.items()),
            "A bad answer of a certified verdict is one whose residual, measured anew, misses the solver's tolerance: "
            "that is what such a verdict promises, not a bound of the error.",
            "An estimate is missed when a run that it let pass errs by more than the tolerance; the interval is "
            "Wilson's, of 95 %.",
        ),
    )


def choice_of(cells: Sequence[Cell]) -> list[Cell]:
    """Return a pairwise choice of the cells that do not block, and for each number of ranks one that does."""
    chosen = pairwise([cell for cell in cells if not cell.blocks])
    blocking = (
        Cell("hang", "solver", "time_loop", 1),
        Cell("collective", "verifier", "cycle_jump", 2),
        Cell("collective", "surrogate", "time_loop", 3),
    )
    return chosen + [cell for cell in blocking if cell in cells]


def _matrix(outcomes: Sequence[CellOutcome], not_chosen: int, left_out: Sequence[tuple[Cell, str]]) -> dict[str, Any]:
    ended = Counter(outcome.ended for outcome in outcomes)
    failed = [outcome for outcome in outcomes if not outcome.holds]
    return {
        "cells_run": len(outcomes),
        "cells_failed": len(failed),
        "dead_locks": sum(outcome.ended == "watchdog" for outcome in failed),
        "failed": [f"{outcome.cell}: {outcome.why[:200]}" for outcome in failed],
        "cells_not_chosen": not_chosen,
        "cells_left_out": len(left_out),
        "ended": dict(ended),
        "longest_seconds": max((outcome.seconds for outcome in outcomes), default=0.0),
    }


def _lies(
    outcomes: Sequence[CellOutcome], lies: Sequence[dict[str, Any]], estimates: Sequence[dict[str, Any]]
) -> dict[str, Any]:
    sure = [one for one in outcomes if TARGETS[Cell.named(one.cell).target].grade is Grade.CERTIFIED]
    judged = sum(case["judged"] for case in lies)
    wrong = sum(case["bad_values"] for case in lies)
    believed = [case for case in estimates if case["accepted_blocks"] > 0]
    missed = sum(case["missed"] for case in believed)
    return {
        "silent_bad_answers": wrong + sum(one.bad_answers for one in sure),
        "certified_judged": judged,
        "certified_bad_accepted": sum(case["bad_accepted"] for case in lies),
        "certified_bad_rate_interval": interval(wrong, judged),
        "oracle_accepted": next(case["accepted"] / case["judged"] for case in lies if case["size"] == 0.0),
        "estimated_runs": len(estimates),
        "estimated_believed": len(believed),
        "estimated_missed": missed,
        "estimated_miss_rate": missed / len(believed) if believed else 0.0,
        "estimated_miss_rate_interval": interval(missed, len(believed)),
    }
