"""Options of the benches; imports nothing heavy."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

from cosolve.core.options import Count, ExistingFile, Options


class BranchingOptions(Options):
    """`cosolve bench branching`.

    Attributes:
        family: Which programs are drawn.
        level: How large they are.
        guide: The guide that is measured; without one, the shipped guide of the family, trained on its easy level.
        instances: A folder of programs (MPS, LP, what else SCIP reads) instead of a family; needs a guide of its own.
        count: Number of instances; without one, 12 in the quick form and 20 in the full one.
        minutes: CPU minutes that the whole bench may take; without one, 14 in the quick form and 240 in the full one.
    """

    family: Literal[
        "set-cover", "auctions", "facility-location", "independent-set", "assignment", "knapsack", "lot-sizing"
    ] = "set-cover"
    level: Literal["easy", "medium", "hard"] = "easy"
    guide: ExistingFile | None = None
    instances: Path | None = None
    count: Count | None = None
    minutes: Count | None = None


class ReoptimizationOptions(Options):
    """`cosolve bench reoptimization`.

    Attributes:
        series: Folder of one series, in the order of its file names; without one, each series of the data folder.
        seconds: CPU seconds for each instance and row; without them, 40 in the quick form and 100 in the full one.
        count: Instances from the start of each series; without one, 10 in the quick form and all in the full one.
    """

    series: Path | None = None
    seconds: Count | None = None
    count: Count | None = None


class ShiftOptions(Options):
    """`cosolve bench branching-shift`.

    Attributes:
        guide: A guide that was trained on other programs; without one, each shipped guide in turn.
        seconds: CPU seconds for each run; without them, 20 in the quick form and 120 in the full one.
        seeds: Seed shifts of SCIP; without them, 2 in the quick form and 5 in the full one.
    """

    guide: ExistingFile | None = None
    seconds: Count | None = None
    seeds: Count | None = None
