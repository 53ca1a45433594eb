"""`cosolve bench operator-cards`: the test of each card, passed or not, with its number."""

from __future__ import annotations

import importlib
import statistics
import time
from collections.abc import Callable, Mapping
from typing import Any, Final

# Ahead of PETSc: torch that is imported after Debian's PETSc runs on PETSc's BLAS, five times slower.
import torch
from cosolve.core.bench import BenchReport
from cosolve.core.errors import BadInputError, unknown_name
from cosolve.examples.operators.cards.card import Card, Part
from cosolve.examples.operators.options import CardsOptions
from cosolve.plugins.pytorch.placement import limit_threads

CARDS: Final[Mapping[str, str]] = {
    "fno": "resolution:fno",
    "unet": "resolution:unet",
    "local_operator": "resolution:local_operator",
    "mgno": "multigrid:mgno",
    "sinenet": "waves:sinenet",
    "deeponet": "points:deeponet",
    "pod_deeponet": "points:pod_deeponet",
    "multionet": "points:multionet",
    "mt_deeponet": "shapes:mt_deeponet",
    "residual_dmd": "verified:residual_dmd",
    "delta_refinement": "verified:delta_refinement",
    "lion": "parts:lion",
    "lora": "parts:lora",
    "hydra": "parts:hydra",
}
"""Function of each card, below `cosolve.examples.operators.cards`."""


def card(name: str) -> Card:
    """Return the function of a card.

    Raises:
        BadInputError: The name is unknown.
    """
    if name not in CARDS:
        raise BadInputError(f"--cards: {unknown_name('card', name, CARDS)}")
    module, _, function = CARDS[name].partition(":")
    found: Card = getattr(importlib.import_module(f"cosolve.examples.operators.cards.{module}"), function)
    return found


def bench(
    *,
    quick: bool,
    seed: int,
    progress: Callable[[float, str], None] | None = None,
    options: CardsOptions | None = None,
) -> BenchReport:
    """Run all cards (CPU time; serial).

    Args:
        quick: One seed, and short trainings.
        seed: The first one.
        progress: Told the share that is done.
        options: See `CardsOptions`.

    Raises:
        BadInputError: A name of a card is unknown.
    """
    options = options or CardsOptions()
    names = [name.strip() for name in options.cards.split(",") if name.strip()] or list(CARDS)
    chosen = {name: card(name) for name in names}
    limit_threads()
    seeds = range(seed, seed + (options.seeds or (1 if quick else 3)))
    cases: list[dict[str, Any]] = []
    metrics: dict[str, Any] = {}
    for number, (name, run) in enumerate(chosen.items()):
        passed, values, spent = [], [], time.process_time()
        for one in seeds:
            if progress is not None:
                progress(number / len(chosen), f"{name}, seed {one}")
            parts = _flushing(run, one, quick)
            passed.append(all(part.passed for part in parts))
            values.append(parts[0].value)
            cases += [
                {
                    "card": name,
                    "test": part.what,
                    "value": part.value,
                    "aim": part.aim,
                    "passed": part.passed,
                    "seed": one,
                }
                for part in parts
            ]
        metrics[name] = {
            "passed": int(all(passed)),
            "number": statistics.median(values),
            "seeds_passed": f"{sum(passed)} of {len(passed)}",
            "cpu_s": round(time.process_time() - spent, 1),
        }
    targets = {f"{name}.passed": "== 1" for name in chosen}
    return BenchReport(
        "operator-cards",
        metrics,
        cases,
        targets,
        (
            "A card passes when each of its tests keeps its bar on every seed; its number is the median of its first "
            "test, which the table of cases names.",
            "Data are Darcy flow of our own solver, integrals of Gaussian fields, and others that the cards' functions "
            "draw; nothing is tuned to the seeds.",
        ),
    )


def _flushing(run: Card, seed: int, quick: bool) -> list[Part]:
    """Run a card with the smallest numbers flushed to zero: trained networks drown in them, many times slower.

    That is a state of the whole processor, so it ends with the card.
    """
    torch.set_flush_denormal(True)
    try:
        return run(seed, quick)
    finally:
        torch.set_flush_denormal(False)
