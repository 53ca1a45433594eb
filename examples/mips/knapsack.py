"""Multi-dimensional knapsacks whose profits follow the weights: Chu and Beasley (1998, doi:10.1023/A:1009642405419).

Freville and Plateau's scheme: weights up to 1000, capacities half of what all items weigh.
"""

from __future__ import annotations

import numpy as np
from cosolve.examples.mips.program import MixedIntegerProgram

TIGHTNESS = 0.5


def knapsack(name: str, rng: np.random.Generator, dimensions: int, items: int) -> MixedIntegerProgram:
    """Draw a multi-dimensional knapsack.

    Args:
        name: Of the program.
        rng: Draws it.
        dimensions: Capacities.
        items: What may be packed.
    """
    weight = rng.integers(1, 1001, (dimensions, items))
    profit = np.floor(weight.mean(axis=0) + 500.0 * rng.random(items))
    program = MixedIntegerProgram(name, maximise=True)
    packed = list(program.add_variables(profit))
    for row in weight:
        program.add_row(packed, row.tolist(), upper=float(np.floor(TIGHTNESS * row.sum())))
    return program
