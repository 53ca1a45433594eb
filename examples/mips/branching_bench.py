"""`cosolve bench branching`: guided branch and bound against SCIP's default and its best tuned rules.

One thread, SCIP's CPU clock, unseen instances, all rows interleaved, shifted geometric means. A rival's settings come
from a race on training instances where one was run, and the notes say where not. A run that hits its limit counts with
the limit.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any, Final

from cosolve.core.bench import BenchReport
from cosolve.core.errors import BadInputError
from cosolve.couplings.branching import load_guide
from cosolve.examples.mips.comparing import (
    Budget,
    Row,
    Run,
    cases,
    compare,
    mean_seconds,
    percentile_95,
    ratios,
    same_optima,
    speedup,
)
from cosolve.examples.mips.families import files, generate, unseen
from cosolve.examples.mips.guides import first_use_seconds, guided, shipped_guide
from cosolve.examples.mips.options import BranchingOptions
from cosolve.examples.mips.program import read
from cosolve.examples.mips.raced import raced, told_of_races
from cosolve.plugins.scip.instance import rehearse
from cosolve.plugins.scip.settings import Settings, portfolio, settings_named
from pyscipopt import Model

OURS, DEFAULT, OTHER_SEED = "guided", "default", "default, other seed"
CLASSICAL: Final = ("tuned relpscost", "tuned pscost")
ABLATION: Final = {
    "settings alone": {"branching": False, "start": False},
    "settings and start": {"branching": False},
    "settings and branching": {"start": False},
    "branching alone": {"settings": False, "start": False},
    "start alone": {"branching": False, "settings": False},
}
"""What is left on in each row of the ablation: the other points of the guide are switched off."""
DEAR: Final = ("branching alone", "start alone")
"""Rows under SCIP's default settings: the quick bench runs them on its first instances only."""
EMPHASES: Final = ("easycip", "feasibility", "optimality", "hardlp", "phaseproof")

Instances = Sequence[tuple[str, Callable[[], Model]]]

TARGETS: Final[Mapping[tuple[str, str], Mapping[str, str]]] = {
    ("set-cover", "easy"): {"speedup_vs_default": ">= 7", "speedup_vs_best_classical": ">= 1.5"},
    ("auctions", "easy"): {"speedup_vs_default": ">= 6", "speedup_vs_best_classical": ">= 2"},
    ("set-cover", "medium"): {"speedup_vs_default": ">= 5", "speedup_vs_best_classical": ">= 2"},
    ("auctions", "medium"): {"speedup_vs_default": ">= 5", "speedup_vs_best_classical": ">= 2"},
    ("facility-location", "easy"): {"speedup_vs_default": ">= 2", "speedup_vs_best_classical": ">= 1.1"},
    ("independent-set", "easy"): {"speedup_vs_default": ">= 2", "speedup_vs_best_classical": ">= 1.1"},
}
ALWAYS: Final = {"ratio_p95": "<= 1.05", "optima_equal": "== 1", "inference_share": "<= 0.02"}


def rows_of(guide: Path, family: str, *, quick: bool) -> list[Row]:
    """Return the rows of a bench: ours, the rivals, the ablation."""
    few = 4 if quick else None
    rows = [
        Row(OURS, guide=guided(guide)),
        Row(DEFAULT),
        Row(OTHER_SEED, seed_shift=1),
        *(Row(name, raced(family, name.removeprefix("tuned "))) for name in CLASSICAL),
        *(
            Row(name, guide=guided(guide, **switches), only=few if name in DEAR else None)
            for name, switches in ABLATION.items()
        ),
    ]
    if quick:
        return rows
    ours = without_a_rule(guide)
    known = portfolio()
    return [
        *rows,
        *(Row(f"our settings, {rule}", ours.with_rule(rule)) for rule in ("pscost", "relpscost")),
        *(Row(f"our settings, {rule}", ours.with_rule(rule), only=8) for rule in ("vanillafullstrong", "fullstrong")),
        *(Row(name, settings_named(name)) for name in ("lean+pscost", "lean+relpscost", "gasse+relpscost")),
        *(Row(f"emphasis {name}", known[name]) for name in EMPHASES),
    ]


def without_a_rule(guide: Path) -> Settings:
    """Return a guide's settings for SCIP's own rules: with SCIP's heuristics, since there is no start.

    Raises:
        BadInputError: The file is no guide.
    """
    found = load_guide(guide).root_settings
    params = {} if found is None else found.params
    return Settings(
        "ours",
        {
            name: value
            for name, value in params.items()
            if not name.startswith("heuristics/") and not (name.startswith("branching/") and name.endswith("/priority"))
        },
    )


def transfer_rows(guide: Path, family: str) -> list[Row]:
    """Return the rows on larger programs than the guide was trained on."""
    rivals = (Row(name, raced(family, name.removeprefix("tuned "))) for name in CLASSICAL)
    return [Row(OURS, guide=guided(guide)), Row(DEFAULT), *rivals]


def drawn(family: str, level: str, seed: int, count: int) -> Instances:
    """Return unseen instances of a family."""
    programs = [generate(family, level, one) for one in unseen(seed, count)]
    return [(program.name, program.model) for program in programs]


def from_folder(folder: Path, count: int | None) -> Instances:
    """Return the programs of a folder.

    Raises:
        BadInputError: There is none, or a file crashes SCIP's reader.
    """
    paths = files(folder)[:count]
    for path in paths:
        rehearse(path)
    return [(path.name, partial(read, path)) for path in paths]


def bench(*, quick: bool, seed: int, progress: Any, options: BranchingOptions) -> BenchReport:
    """Measure a guide on unseen instances (serial).

    Args:
        quick: 12 instances, four rivals; else 20, all rivals and the next level, which no guide was trained on.
        seed: Draws the instances.
        progress: Called with the share that is done and a sentence.
        options: Family, level, guide.

    Raises:
        BadInputError: There is no guide, or no instance.
    """
    if options.instances is not None and options.guide is None:
        raise BadInputError("--instances needs a guide that was trained on such programs: name it with --guide.")
    guide = options.guide or shipped_guide(options.family)
    count = options.count or (12 if quick else 20)
    seconds = 60.0 * (options.minutes or (14 if quick else 240))
    if options.instances is not None:
        instances = from_folder(options.instances, options.count)
        family, label, targets = "folder", options.instances.name, {}
    else:
        instances = drawn(options.family, options.level, seed, count)
        family, label = options.family, f"{options.family} {options.level}"
        targets = dict(TARGETS.get((options.family, options.level), {}))
    share = 1.0 if quick or options.level != "easy" or options.instances is not None else 0.7
    first_use = first_use_seconds(guide, instances[0][1])
    rows = rows_of(guide, family, quick=quick)
    runs = compare(instances, rows, Budget(share * seconds, len(instances)), _part(progress, 0.0, share))
    metrics = {**summary(runs), "first_use_seconds": first_use}
    records = cases(instances, runs)
    if share < 1.0:
        larger = drawn(options.family, "medium", seed + 1, 8)
        budget = Budget((1.0 - share) * seconds, len(larger), least=30.0)
        transferred = compare(larger, transfer_rows(guide, family), budget, _part(progress, share, 1.0 - share))
        metrics["trained_on_easy_solves_medium"] = {
            key: value for key, value in summary(transferred).items() if key in ("speedup_vs_default", *_TRANSFER)
        }
        records += [{"level": "medium", **record} for record in cases(larger, transferred)]
    notes = [
        f"{label}: {len(instances)} instances, unseen seeds; CPU seconds of SCIP's own clock, one thread, the guide's "
        "set-up included, shifted geometric means (shift 1 s).",
        "Compiling the guide's rule and its self-test, once on a machine, are in first_use_seconds and in no row.",
        "The best classical row is the fastest of SCIP's own rules that solved every instance, with their own raced "
        "settings or with the guide's (settings alone). "
        + told_of_races(family, [name.removeprefix("tuned ") for name in CLASSICAL]),
    ]
    hit = sum(not run.measured.solved for own in runs.values() for run in own if run is not None)
    if hit:
        notes.append(f"{hit} runs hit their limit and count with it, which makes the slower row look faster.")
    said = () if options.instances is not None else ("--family", options.family, "--level", options.level)
    return BenchReport("branching", {"instances": label, **metrics}, records, {**targets, **ALWAYS}, notes, said)


_TRANSFER: Final = ("speedup_vs_best_classical", "ratio_p95", "optima_equal", "limit_hits")


def _part(progress: Any, begun: float, share: float) -> Callable[[float, str], None]:
    return lambda done, sentence: progress(begun + share * done, sentence)


def summary(runs: Mapping[str, Sequence[Run | None]]) -> dict[str, Any]:
    """Return the figures of a bench's runs."""
    ours, default = runs[OURS], runs[DEFAULT]
    classical = {name: own for name, own in runs.items() if _classical(name) and all(own)}
    best = min(classical, key=lambda name: mean_seconds(classical[name]))
    defaults = [default] + ([runs[OTHER_SEED]] if OTHER_SEED in runs else [])
    total = sum(run.measured.seconds for run in ours if run is not None)
    asked = sum(float(run.guided.get("inference_seconds") or 0.0) for run in ours if run is not None)
    feasible = [run.feasible for own in runs.values() for run in own if run is not None]
    metrics: dict[str, Any] = {
        "speedup_vs_default": math.prod(speedup(ours, one) for one in defaults) ** (1.0 / len(defaults)),
        "speedup_vs_best_classical": speedup(ours, runs[best]),
        "best_classical": best,
        "ratio_p95": percentile_95(ratios(ours, default)),
        "optima_equal": int(all(same_optima(runs, number) for number in range(len(ours)))),
        "inference_share": asked / max(total, 1e-9),
        "exactly_feasible": int(all(one for one in feasible if one is not None)),
        "exactly_checked": sum(one is not None for one in feasible),
        "seconds": {name: mean_seconds(own) for name, own in runs.items() if all(own)},
        "nodes": {name: _median_nodes(own) for name, own in runs.items() if all(own)},
        "speedups": {name: speedup(own, default) for name, own in runs.items() if any(own) and name != DEFAULT},
        "on_the_first": {name: _shared(own, ours, default) for name, own in runs.items() if any(own) and not all(own)},
        "limit_hits": {name: hits for name, own in runs.items() if (hits := _hits(own))},
        "gain_of": _gains(runs),
        "setup_seconds": max((run.measured.setup_seconds for run in ours if run is not None), default=0.0),
        "handed_back": sum(bool(run.guided.get("governed")) for run in ours if run is not None),
    }
    if OTHER_SEED in runs:
        metrics["default_ratio_p95"] = percentile_95(ratios(runs[OTHER_SEED], default))
    return metrics


_ABOVE: Final = {
    "settings": ("default", "settings alone"),
    "start": ("settings alone", "settings and start"),
    "branching": ("settings and start", OURS),
    "branching, without a start": ("settings alone", "settings and branching"),
}
"""Rows between which one point of the guide is added."""


def _gains(runs: Mapping[str, Sequence[Run | None]]) -> dict[str, float]:
    """Return how many times faster each point of the guide makes the search that has those before it."""
    return {
        point: speedup(runs[after], runs[before])
        for point, (before, after) in _ABOVE.items()
        if before in runs and after in runs
    }


def _classical(name: str) -> bool:
    return name in (*CLASSICAL, "settings alone") or name.startswith(("our settings, ", "lean+", "gasse+"))


def _median_nodes(runs: Sequence[Run | None]) -> float:
    from statistics import median

    return median(run.measured.nodes for run in runs if run is not None)


def _shared(own: Sequence[Run | None], ours: Sequence[Run | None], default: Sequence[Run | None]) -> dict[str, Any]:
    """Return the seconds of a row that solved the first instances only, and of ours and default on the same ones."""
    count = sum(run is not None for run in own)
    seconds = {"seconds": own, OURS: ours, DEFAULT: default}
    return {"instances": count, **{name: mean_seconds(runs[:count]) for name, runs in seconds.items()}}


def _hits(runs: Sequence[Run | None]) -> int:
    return sum(not run.measured.solved for run in runs if run is not None)
