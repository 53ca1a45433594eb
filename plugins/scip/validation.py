"""Measures a new guide on instances that it was not trained on, and keeps of it only what pays."""

from __future__ import annotations

import copy
import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any, Final

from cosolve.core.progress import Progress, silent
from cosolve.plugins.scip.guide import MIPGuide
from cosolve.plugins.scip.host import PRIORITY, ScipHost
from cosolve.plugins.scip.instance import read_instance
from cosolve.plugins.scip.measured import Measured, measure, shifted_geometric_mean
from cosolve.plugins.scip.settings import Settings
from cosolve.plugins.scip.starts import propose_start
from pyscipopt import Model

DEFAULT, SETTINGS, GUIDE = "SCIP default", "settings alone", "guide"
SHIFT: Final = 0.1
"""Seconds; smaller than for papers' tables, because held-back instances may be solved within a second."""


@dataclass(slots=True)
class Validation:
    """Times on held-back instances, each solved in three ways.

    Attributes:
        solves: By instance, then by way.
        unequal: Instances on which two ways proved different optima; must be empty.
        unsolved: Instances that no way solved within the limit: they say nothing, and are in no mean.
    """

    solves: dict[Path, dict[str, Measured]] = field(default_factory=dict)
    unequal: list[Path] = field(default_factory=list)
    unsolved: list[Path] = field(default_factory=list)

    def mean(self, way: str) -> float:
        """Return the shifted geometric mean of the seconds of one way; NaN where nothing was measured."""
        values = [ways[way].seconds for ways in self.solves.values()]
        return shifted_geometric_mean(values, SHIFT) if values else math.nan

    def figures(self) -> dict[str, float]:
        """Return figures for the card: speed-ups are ratios of shifted geometric means of CPU seconds."""
        if not self.solves:
            return {}
        guide = self.mean(GUIDE)
        ratios = sorted(ways[GUIDE].seconds / max(ways[DEFAULT].seconds, 1e-3) for ways in self.solves.values())
        return {
            "validation_instances": float(len(self.solves)),
            "speedup_vs_default": self.mean(DEFAULT) / guide,
            "speedup_vs_settings_alone": self.mean(SETTINGS) / guide,
            "worst_ratio_to_default": ratios[-1],
            "unequal_optima": float(len(self.unequal)),
        }

    def rows(self) -> list[dict[str, Any]]:
        """Return one row for each instance."""
        return [
            {
                "instance": path.name,
                "seconds": {way: one.seconds for way, one in ways.items()},
                "nodes": {way: one.nodes for way, one in ways.items()},
            }
            for path, ways in self.solves.items()
        ]


def give_start(guide: MIPGuide, model: Model) -> None:
    """Give a model the start that the guide would give it."""
    if guide.start_steps:
        propose_start(model, guide.start_steps)


def attach(guide: MIPGuide, model: Model) -> Any:
    """Let a guide branch in a model and give it a start, and return what must be kept until it is solved."""
    give_start(guide, model)
    return ScipHost(model).attach_branching(guide, priority=PRIORITY, audit=True, trace=0)


def validate(guide: MIPGuide, instances: Sequence[Path], seconds: float, *, progress: Progress = silent) -> Validation:
    """Solve held-back instances by SCIP's default, by the settings (and start) alone, and by the guide, interleaved.

    Args:
        guide: The new guide.
        instances: Instances that it has not seen.
        seconds: CPU seconds in all; an instance that would exceed them is not begun, and its three solves have the
            same limit each.
        progress: What to report to.
    """
    found = Validation()
    root = guide.root_settings or Settings("default")
    ways = (
        (SETTINGS, root, partial(give_start, guide)),
        (GUIDE, root, partial(attach, guide)),
        (DEFAULT, Settings("default"), None),
    )
    if instances and seconds > 0.0:
        attach(guide, read_instance(instances[0]))  # loads the native code, which is not of any one solve
    spent = 0.0
    for number, path in enumerate(instances):
        left = seconds - spent
        if left <= 0.0 or (number and left < spent / number):
            break
        # The same limit for each: a way that is given less would look faster where it hits it.
        limit = max(left / len(ways), 0.1)
        solves = {
            way: measure(read_instance(path), settings, time_limit=limit, prepare=prepare)
            for way, settings, prepare in ways
        }
        spent += sum(one.seconds for one in solves.values())
        if any(one.solved for one in solves.values()):
            found.solves[path] = solves
        else:
            found.unsolved.append(path)
        proved = [one.primal for one in solves.values() if one.status == "optimal"]
        if proved and max(proved) - min(proved) > 1e-6 * max(abs(proved[0]), 1.0):
            found.unequal.append(path)
        progress(min(spent / seconds, 1.0), f"held back: {number + 1} of {len(instances)} instances")
    return found


def gate(guide: MIPGuide, validation: Validation) -> tuple[MIPGuide, list[str]]:
    """Return the guide without what did not pay on held-back instances, and sentences about it."""
    if validation.unequal:
        kept = copy.copy(guide)
        kept.network = kept.plain = kept.root_settings = None
        kept.start_steps = 0
        names = ", ".join(path.name for path in validation.unequal[:5])
        return kept, [
            f"two ways proved different optima on {names}: the guide leaves these instances to SCIP; look at the "
            "tolerances and the numerics of these models"
        ]
    if not validation.solves:
        return guide, ["the budget left nothing to measure on held-back instances: what the guide gains is not known"]
    default, alone, whole = (validation.mean(way) for way in (DEFAULT, SETTINGS, GUIDE))
    kept = copy.copy(guide)
    count = len(validation.solves)
    if min(alone, whole) >= default:
        kept.network = kept.plain = kept.root_settings = None
        kept.start_steps = 0
        return kept, [
            f"on {count} held-back instances neither the settings nor the branching beat SCIP's default "
            f"({alone:.2f} s and {whole:.2f} s against {default:.2f} s): the guide leaves these instances to SCIP"
        ]
    if whole >= alone:
        kept.network = kept.plain = None
        return kept, [
            f"expect {default / alone:.2f} times the speed of SCIP's default from the settings alone ({count} "
            f"held-back instances); the learnt branching is left out: it did not pay ({whole:.2f} s against "
            f"{alone:.2f} s)"
        ]
    advice = [
        f"expect {default / whole:.2f} times the speed of SCIP's default ({count} held-back instances): "
        f"{default / alone:.2f} times by the settings, and {alone / whole:.2f} times more by the branching"
    ]
    slower = [path.name for path, ways in validation.solves.items() if ways[GUIDE].seconds > ways[DEFAULT].seconds]
    if slower:
        advice.append(f"slower than SCIP's default on {len(slower)} of {count}: {', '.join(slower[:5])}")
    else:
        advice.append(f"faster than SCIP's default on all {count}")
    return kept, advice
