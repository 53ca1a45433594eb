"""Lot sizing of several items that share a machine, with set-up times and costs.

The test bed of Trigeiro, Thomas and McClain (1989, doi:10.1287/mnsc.35.3.353) by its published ranges: demand about
100, a quarter of the early demand missing, set-up times of 10 to 50, capacity for little more than the mean load.
"""

from __future__ import annotations

import numpy as np
from cosolve.examples.mips.program import MixedIntegerProgram

LOAD = 0.85
"""Share of the machine's time that demand and set-ups in every second period take."""


def lot_sizing(name: str, rng: np.random.Generator, items: int, periods: int) -> MixedIntegerProgram:
    """Draw a lot sizing program.

    Args:
        name: Of the program.
        rng: Draws it.
        items: Products.
        periods: Of the plan.
    """
    demand = rng.integers(75, 126, (items, periods)).astype(float)
    demand[:, : max(1, periods // 5)] *= rng.random((items, max(1, periods // 5))) > 0.25
    setup_time = rng.integers(10, 51, items).astype(float)
    setup_cost = rng.integers(200, 1001, items).astype(float)
    holding = rng.integers(1, 6, items).astype(float)
    capacity = np.ceil((demand.sum() / periods + 0.5 * setup_time.sum()) / LOAD)
    program = MixedIntegerProgram(name)
    # What is lacking at the start can be bought dearly, so that every instance has a plan.
    makes, keeps, sets_up = [], [], []
    lacking = program.add_variables(10_000.0 for _ in range(items))
    for i in range(items):
        makes.append(program.add_variables([0.0] * periods, upper=float("inf"), integer=False))
        keeps.append(program.add_variables([holding[i]] * periods, upper=float("inf"), integer=False))
        sets_up.append(program.add_variables([setup_cost[i]] * periods))
    for i in range(items):
        program.integer[lacking[i]] = False
        program.bounds[lacking[i]] = (0.0, float(demand[i].sum()))
        for t in range(periods):
            before = keeps[i][t - 1] if t else lacking[i]
            program.add_row(
                [before, makes[i][t], keeps[i][t]], [1.0, 1.0, -1.0], lower=demand[i, t], upper=demand[i, t]
            )
            most = float(min(capacity - setup_time[i], demand[i, t:].sum()))
            program.add_row([makes[i][t], sets_up[i][t]], [1.0, -most], upper=0.0)
    for t in range(periods):
        columns = [makes[i][t] for i in range(items)] + [sets_up[i][t] for i in range(items)]
        program.add_row(columns, [1.0] * items + setup_time.tolist(), upper=float(capacity))
    return program
