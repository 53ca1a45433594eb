"""Families of programs by name, each at three levels of hardness, each instance by its seed; and folders of files.

Frozen: what a family, a level and a seed give never changes (a test compares digests), so figures can be repeated.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final
from zlib import crc32

import numpy as np
from cosolve.core.errors import BadInputError, unknown_name
from cosolve.examples.mips.assignment import assignment
from cosolve.examples.mips.auctions import auctions
from cosolve.examples.mips.facility_location import facility_location
from cosolve.examples.mips.independent_set import independent_set
from cosolve.examples.mips.knapsack import knapsack
from cosolve.examples.mips.lot_sizing import lot_sizing
from cosolve.examples.mips.program import MixedIntegerProgram
from cosolve.examples.mips.set_cover import set_cover

LEVELS: Final = ("easy", "medium", "hard")
FIRST_UNSEEN: Final = 1_000_000
"""Seeds from here on belong to benches: never train or race on them. Training takes 0 to 999, races 1000 to 1999."""
SUFFIXES: Final = (".mps", ".mps.gz", ".lp", ".lp.gz", ".cip", ".cip.gz", ".opb", ".opb.gz", ".zpl")
"""Of the files that a folder of programs may hold."""


@dataclass(frozen=True, slots=True)
class Family:
    """A distribution of programs.

    Attributes:
        summary: One line.
        draw: Called with name, generator and the sizes of the level.
        sizes: Of each level.
    """

    summary: str
    draw: Callable[..., MixedIntegerProgram]
    sizes: Mapping[str, tuple[int, ...]]


def _levels(*sizes: tuple[int, ...]) -> Mapping[str, tuple[int, ...]]:
    return dict(zip(LEVELS, sizes, strict=True))


FAMILIES: Final[Mapping[str, Family]] = {
    "set-cover": Family("set covering", set_cover, _levels((500, 1000), (1000, 1000), (2000, 1000))),
    "auctions": Family("combinatorial auctions", auctions, _levels((100, 500), (200, 1000), (300, 1500))),
    "facility-location": Family(
        "capacitated facility location", facility_location, _levels((100, 100), (200, 100), (400, 100))
    ),
    "independent-set": Family("maximum independent set", independent_set, _levels((500,), (1000,), (1500,))),
    "assignment": Family("generalised assignment", assignment, _levels((5, 50), (8, 80), (10, 100))),
    "knapsack": Family("multi-dimensional knapsack", knapsack, _levels((5, 60), (10, 70), (10, 100))),
    "lot-sizing": Family("lot sizing with set-up times", lot_sizing, _levels((6, 12), (10, 15), (15, 20))),
}


def generate(family: str, level: str, seed: int) -> MixedIntegerProgram:
    """Return the program of a family, a level and a seed; always the same one.

    Raises:
        BadInputError: There is no such family or level.
    """
    if family not in FAMILIES:
        raise BadInputError(unknown_name("family", family, FAMILIES))
    if level not in LEVELS:
        raise BadInputError(unknown_name("level", level, LEVELS))
    # A digest that does not depend on the process, so that families and levels do not share their random numbers.
    rng = np.random.default_rng([crc32(f"{family} {level}".encode()), seed])
    one = FAMILIES[family]
    return one.draw(f"{family}-{level}-{seed}", rng, *one.sizes[level])


def write_folder(family: str, level: str, seeds: range, folder: Path) -> list[Path]:
    """Write one MPS file for each seed and return the paths; what `cosolve train branching --instances` reads."""
    return [generate(family, level, seed).write(folder / f"{family}-{level}-{seed}.mps") for seed in seeds]


def files(folder: Path) -> list[Path]:
    """Return the programs in a folder, by name: the folder as a distribution.

    Raises:
        BadInputError: There is no such folder, or nothing in it that SCIP reads.
    """
    if not folder.is_dir():
        raise BadInputError(f"{folder}: expected a folder of programs, found none; correct the path.")
    found = sorted(path for path in folder.iterdir() if path.name.endswith(SUFFIXES))
    if not found:
        raise BadInputError(f"{folder}: expected files that end in {', '.join(SUFFIXES)}, found none of them.")
    return found


def unseen(seed: int, count: int) -> list[int]:
    """Return seeds of instances for a bench: drawn by its own seed, none of training or races.

    >>> unseen(0, 2) == unseen(0, 2), min(unseen(3, 100)) >= FIRST_UNSEEN
    (True, True)
    """
    rng = np.random.default_rng([20_260_000, seed])
    return [int(one) for one in FIRST_UNSEEN + rng.choice(10**9, size=count, replace=False)]


def levels_of(family: str) -> Mapping[str, Any]:
    """Return the sizes of a family's levels.

    Raises:
        BadInputError: There is no such family.
    """
    if family not in FAMILIES:
        raise BadInputError(unknown_name("family", family, FAMILIES))
    return FAMILIES[family].sizes
