"""`cosolve bench scaling`: collectives and bytes of an attempt, and the gate's share of a step on 1 and 2 ranks."""

from __future__ import annotations

import importlib.util
import json
import subprocess
from collections.abc import Callable
from statistics import median
from typing import Any, Final

from cosolve.core.bench import BenchReport
from cosolve.core.errors import PluginError
from cosolve.examples.faults.launching import command_for, environment
from cosolve.examples.scaling.attempts import WHATS

COUNTED_RANKS: Final = (2, 3)
MEASURED_RANKS: Final = (1, 2)
SIZES: Final = (30, 3000)
_TIMEOUT_SECONDS: Final = 1200.0


def bench(*, quick: bool, seed: int, progress: Callable[[float, str], None] | None = None) -> BenchReport:
    """Count on 2 and 3 ranks, measure on 1 and 2.

    Args:
        quick: A smaller mesh, fewer steps and repeats.
        seed: Unused: nothing is drawn. Every bench takes it.
        progress: Called with the share that is done and a sentence; None is quiet.
    """
    told = progress if progress is not None else (lambda share, sentence: None)
    counts = [one for ranks in COUNTED_RANKS for one in measured(ranks, "count", *SIZES)]
    told(0.2, "collectives counted")
    cells, steps, repeats = (32, 40, 3) if quick else (64, 100, 7)
    shares: list[dict[str, Any]] = []
    if importlib.util.find_spec("dolfinx") is not None:
        for repeat in range(repeats):  # interleaved: a slow moment of the machine meets both
            for ranks in MEASURED_RANKS:
                shares += [{"repeat": repeat, **one} for one in measured(ranks, "gate", cells, steps)]
            told(0.2 + 0.8 * (repeat + 1) / repeats, f"gate's share, repeat {repeat + 1} of {repeats}")
    metrics: dict[str, Any] = {"constant": is_constant(counts)}
    for what in WHATS:
        first = next(one for one in counts if one["attempt"] == what)
        key = what.replace(" ", "_")
        metrics[f"collectives_{key}"], metrics[f"bytes_{key}"] = first["collectives"], first["bytes"]
    for ranks in MEASURED_RANKS:
        for name in ("gate_share", "agreement_share"):
            found = [one[name] for one in shares if one["ranks"] == ranks]
            if found:
                metrics[f"{name}_{ranks}_ranks"] = median(found)
                metrics[f"{name}_{ranks}_ranks_range"] = [min(found), max(found)]
    return BenchReport(
        "scaling",
        metrics,
        [*({"part": "counts", **one} for one in counts), *({"part": "share", **one} for one in shares)],
        {"constant": "yes"},
        (
            "Collectives of one attempt, the solver's own step left out; bytes are what one rank puts in. A proposal "
            "is judged by two reductions of the solver's norm here; each of them meets first, and each section of "
            "propose, judge and solve ends with a meeting of 56 bytes.",
            "The gate's share is judging and agreement over the solver's step, agreement alone is the machinery over "
            "the step; both from the wall clock, medians over the steps, then over interleaved repeats, with their "
            "range. Ranks that share cores with other processes wait for each other: read it as an upper bound.",
        ),
    )


def measured(ranks: int, *words: object) -> list[dict[str, Any]]:
    """Run the worker on so many ranks; return its records.

    Raises:
        PluginError: It failed; with what it printed.
    """
    command = [*command_for(ranks, "cosolve.examples.scaling.worker"), *(str(word) for word in words)]
    done = subprocess.run(
        command, capture_output=True, text=True, timeout=_TIMEOUT_SECONDS, check=False, env=environment()
    )
    lines = [line for line in done.stdout.splitlines() if line.startswith("[{")]
    if done.returncode != 0 or not lines:
        raise PluginError(f"bench scaling on {ranks} ranks ended with code {done.returncode}: {done.stderr[-2000:]}")
    found: list[dict[str, Any]] = json.loads(lines[-1])
    return found


def is_constant(counts: list[dict[str, Any]]) -> bool:
    """Return whether collectives and bytes of each kind of attempt are the same on all ranks and for all sizes."""
    for what in WHATS:
        rows = [one for one in counts if one["attempt"] == what]
        if len({(one["collectives"], one["bytes"]) for one in rows}) != 1:
            return False
    return True
