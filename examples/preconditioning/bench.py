"""`cosolve bench preconditioner`: learned preconditioners, noise and a liar, against multigrid, ILU and LU."""

from __future__ import annotations

import math
import statistics
from collections.abc import Callable
from contextlib import ExitStack
from typing import Any, Final

import numpy as np
from cosolve.core.bench import BenchReport
from cosolve.examples.preconditioning.bases import BASES
from cosolve.examples.preconditioning.proposers import COARSE, NOISE, PLUGINS, VCYCLE, make_plugin
from cosolve.examples.preconditioning.race import Method, race, tuned
from cosolve.examples.preconditioning.sequences import (
    Helmholtz2D,
    Helmholtz3D,
    Inclusions,
    ManySources3D,
    Sequence,
    Smooth,
)

_BLOCK: Final = 5
_DRAWS: Final = 2000
_SAME: Final = 1e-4
"""Largest relative distance between answers whose residuals meet the same tolerance, for these condition numbers."""


def bench(*, quick: bool, seed: int, progress: Callable[..., Any] | None = None) -> BenchReport:
    """Solve five sequences by the best classical method, with and without plugins, in turn (CPU time; serial).

    Args:
        quick: Sequences of 100 solves instead of 240.
        seed: Of meshes, training, sequences and bootstrap.
        progress: Unused: the bench takes minutes.
    """
    mesh = np.random.default_rng([seed, 4])
    makers: list[Callable[[], Sequence]] = [
        lambda: Inclusions(127),
        lambda: Smooth(191),
        lambda: Helmholtz2D(191),
        lambda: Helmholtz3D(28, 12.5, mesh),
        lambda: ManySources3D(25, 12.0),
    ]
    return compare(makers, 100 if quick else 240, seed)


def compare(makers: list[Callable[[], Sequence]], count: int, seed: int) -> BenchReport:
    """Race the plugins of each sequence over `count` solves."""
    cases: list[dict[str, Any]] = []
    regrets: dict[str, dict[str, tuple[float, float, float]]] = {}
    charged: dict[str, dict[str, float]] = {}
    worst_residual = distance = 0.0
    unsolved = 0
    for make in makers:
        sequence = make()
        sequence.set(np.random.default_rng([seed, 3]))
        chosen = _chosen(sequence, seed, cases)
        with ExitStack() as stack:
            alone = [Method(base, sequence, stack) for base in chosen]
            methods = list(alone)
            for name in PLUGINS:
                plugin = make_plugin(name, sequence, BASES[chosen[0]], seed)
                if plugin is not None:
                    methods.append(Method(chosen[0], sequence, stack, plugin, name))
            residual, apart = race(sequence, methods, count, seed)
        worst_residual, distance = max(worst_residual, residual), max(distance, apart)
        unsolved += sum(method.unsolved for method in methods)
        best = min(alone, key=lambda method: sum(method.seconds))
        random = np.random.default_rng([seed, 9])
        for method in methods:
            ratio = _ratio(method.seconds, best.seconds, random)
            if method.plugin is not None:
                regrets.setdefault(sequence.name, {})[method.name] = ratio
                training = method.plugin.training_seconds
                charged.setdefault(sequence.name, {})[method.name] = ratio[1] + training / sum(best.seconds)
            cases.append(_row(sequence, method, best, ratio))
    return _report(cases, regrets, charged, count, worst_residual, distance, unsolved)


def _chosen(sequence: Sequence, seed: int, cases: list[dict[str, Any]]) -> list[str]:
    """Return the two fastest classical methods on validation solves, the better one first."""
    seconds = tuned(sequence, sequence.bases, 3, [seed, 5])
    two = sorted(seconds, key=lambda name: seconds[name])[:2]
    again = tuned(sequence, two, 10, [seed, 10])
    for name, spent in seconds.items():
        cases.append(
            {
                "sequence": sequence.name,
                "unknowns": sequence.b.size,
                "tuned_classical": name,
                "seconds_per_solve": spent / 3.0 if math.isfinite(spent) else None,
                "again": again.get(name, math.nan) / 10.0 if name in again else None,
            }
        )
    return sorted(again, key=lambda name: again[name])


def _row(sequence: Sequence, method: Method, best: Method, ratio: tuple[float, float, float]) -> dict[str, Any]:
    plugin = method.plugin
    saved = statistics.fmean(best.seconds) - statistics.fmean(method.seconds)
    pays = plugin is not None and saved > 0.0 and ratio[2] < 1.0
    return {
        "sequence": sequence.name,
        "method": method.name,
        "base": method.base,
        "ms_per_solve": 1e3 * statistics.median(method.seconds),
        "over_best_base": ratio[1],
        "interval": f"{ratio[0]:.3f} to {ratio[2]:.3f}",
        "iterations": statistics.fmean(method.iterations),
        "asked, with success": f"{method.asked}, {method.used}" if plugin else "",
        "solves_that_repay_training": plugin.training_seconds / saved
        if plugin and pays
        else ("never" if plugin else ""),
        "seconds": method.seconds,
        "probe": method.probe,
    }


def _report(
    cases: list[dict[str, Any]],
    regrets: dict[str, dict[str, tuple[float, float, float]]],
    charged: dict[str, dict[str, float]],
    count: int,
    residual: float,
    distance: float,
    unsolved: int,
) -> BenchReport:
    everything = [(found, sequence, name) for sequence, plugins in regrets.items() for name, found in plugins.items()]
    worst = max(everything, key=lambda item: item[0][2])
    best = min(everything, key=lambda item: item[0][1])
    wins = {f"{name}, {sequence}": 1.0 / found[1] for found, sequence, name in everything if found[2] < 1.0}
    lost = [sequence for sequence in regrets if not any(sequence in win for win in wins)]
    metrics = {
        "worst_regret": worst[0][2],
        "worst_regret_mean": worst[0][1],
        "worst_regret_of": f"{worst[2]}, {worst[1]}",
        "same_answer": int(residual <= 1.0 and distance <= _SAME and unsolved == 0),
        "worst_residual_over_tolerance": residual,
        "largest_distance": distance,
        "best_speedup": 1.0 / best[0][1],
        "best_speedup_lower": 1.0 / best[0][2],
        "best_speedup_of": f"{best[2]}, {best[1]}",
        "wins": wins or "none was found",
        "no_win_found": lost or "on none",
        "regret": {s: {name: found[1] for name, found in plugins.items()} for s, plugins in regrets.items()},
        "regret_upper": {s: {name: found[2] for name, found in plugins.items()} for s, plugins in regrets.items()},
        "ratio_training_charged": {
            s: {name: value for name, value in plugins.items() if name in (COARSE, VCYCLE)}
            for s, plugins in charged.items()
        },
        "noise_regret_upper": max(plugins[NOISE][2] for plugins in regrets.values()),
        "solves_per_sequence": count,
    }
    return BenchReport(
        "preconditioner",
        metrics,
        cases,
        {"worst_regret": "<= 1.1", "same_answer": "== 1"},
        (
            "Regret is the CPU time over the sequence, set-ups, probes and learning included, over that of the best "
            "classical method alone on this very sequence; the metric is the upper end of a bootstrap interval of 95 % "
            f"over blocks of {_BLOCK} solves, of the worst plugin and sequence.",
            "All classical methods of a sequence are timed on three validation solves, the best two on ten more. These "
            "two run alone over the sequence, and the plugins sit behind the better one; regret is against that of the "
            "two which was faster in the end. A method without a time failed on a validation solve, or took more than "
            "five times as long as another.",
            "All solve to the same absolute tolerance of the true residual, from zero. same_answer asks for that, and "
            f"for a relative distance below {_SAME:g} from the best classical answer.",
            "Training is not in the regret; it is in ratio_training_charged and in solves_that_repay_training.",
            f"Sequences in which no plugin won: {', '.join(lost) or 'none'}. Algebraic and geometric multigrid leave "
            "no slow modes on diffusion, a factorisation is cheap in two dimensions, and a coarser grid that resolves "
            "the waves does the same for less where there is one.",
            "The learned coarse space has modes of a mean operator; its Galerkin matrix is made anew in each solve "
            "whose operator changed. Behind GMRES + ILU(1) or (2) it uses ILU(0), which is cheaper and enough with it.",
        ),
    )


def _ratio(ours: list[float], best: list[float], random: np.random.Generator) -> tuple[float, float, float]:
    """Return lower end, value and upper end of the ratio of the totals, by a bootstrap over blocks."""
    blocks = np.array([(sum(ours[i : i + _BLOCK]), sum(best[i : i + _BLOCK])) for i in range(0, len(ours), _BLOCK)])
    drawn = blocks[random.integers(0, len(blocks), (_DRAWS, len(blocks)))].sum(axis=1)
    low, high = np.quantile(drawn[:, 0] / drawn[:, 1], (0.025, 0.975))
    return float(low), float(blocks[:, 0].sum() / blocks[:, 1].sum()), float(high)
