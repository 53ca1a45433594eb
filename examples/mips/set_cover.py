"""Set covering in the style of Balas and Ho (1980, doi:10.1007/BFb0120885), in the sizes of Gasse et al. (2019).

Every column covers at least two rows, every row is covered at least once, costs are integers from 1 to 100.
"""

from __future__ import annotations

import numpy as np
from cosolve.examples.mips.program import MixedIntegerProgram

DENSITY = 0.05
HIGHEST_COST = 100


def set_cover(name: str, rng: np.random.Generator, rows: int, columns: int) -> MixedIntegerProgram:
    """Draw a set covering program.

    Args:
        name: Of the program.
        rng: Draws it.
        rows: What is to be covered.
        columns: The sets.
    """
    sizes = 2 + rng.multinomial(round(rows * columns * DENSITY) - 2 * columns, np.full(columns, 1.0 / columns))
    covered_by: list[list[int]] = [[] for _ in range(rows)]
    deck = rng.permutation(rows)  # dealt first, so that no row is left uncovered
    dealt = 0
    for column, size in enumerate(np.minimum(sizes, rows)):
        own = deck[dealt : dealt + size]
        dealt += len(own)
        if len(own) < size:
            others = np.setdiff1d(np.arange(rows), own, assume_unique=True)
            own = np.concatenate([own, rng.choice(others, size - len(own), replace=False)])
        for row in own:
            covered_by[row].append(column)
    program = MixedIntegerProgram(name)
    program.add_variables(rng.integers(1, HIGHEST_COST + 1, columns))
    for members in covered_by:
        program.add_row(members, lower=1.0)
    return program
