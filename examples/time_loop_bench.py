"""The bench `time-loop`: the flagship's slow-time part and the step-level parts, as one report."""

from __future__ import annotations

import importlib
from typing import Any

from cosolve.core.bench import BenchReport, merge
from cosolve.core.entries import Entry

PARTS = (
    ("cosolve.examples.curing.bench", 0.8),
    ("cosolve.examples.heat.bench", 0.1),
    ("cosolve.examples.cahn_hilliard.bench", 0.1),
)
"""Module of each part, whose `bench` has the signature of a bench, and its share of the time."""

BENCHES = (
    Entry(
        name="time-loop",
        summary="hybrid time loops against the best stepping and the classical cycle jump, at equal error (FEniCSx)",
        factory="cosolve.examples.time_loop_bench:bench",
        requires=("dolfinx", "petsc4py", "mpi4py"),
    ),
)


def bench(*, quick: bool, seed: int, progress: Any) -> BenchReport:
    """Run all parts, one after the other, and merge their metrics.

    Args:
        quick: Minutes instead of hours.
        seed: Draws the unseen cases of every part.
        progress: Called with the share that is done and a sentence.
    """
    reports = []
    done = 0.0
    for module, share in PARTS:
        part = importlib.import_module(module).bench
        begun = done

        def report(fraction: float, sentence: str, begun: float = begun, share: float = share) -> None:
            progress(begun + share * fraction, sentence)

        reports.append(part(quick=quick, seed=seed, progress=report))
        done += share
    return merge("time-loop", reports)
