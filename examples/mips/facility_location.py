"""Capacitated facility location after Cornuejols, Sridharan and Thizy (1991, doi:10.1016/0377-2217(91)90261-S).

Customers and facilities in the unit square, capacities five times the demand; sizes of Gasse et al. (2019).
"""

from __future__ import annotations

import numpy as np
from cosolve.examples.mips.program import MixedIntegerProgram

RATIO = 5.0
"""Capacity over demand."""


def facility_location(name: str, rng: np.random.Generator, customers: int, facilities: int) -> MixedIntegerProgram:
    """Draw a facility location program.

    Args:
        name: Of the program.
        rng: Draws it.
        customers: Each is served in full, by as many facilities as it takes.
        facilities: Each is open or closed.
    """
    here, there = rng.random((customers, 1, 2)), rng.random((1, facilities, 2))
    demand = rng.integers(5, 36, customers)
    capacity = rng.integers(10, 161, facilities).astype(float)
    fixed = np.floor(rng.integers(100, 111, facilities) * np.sqrt(capacity) + rng.integers(0, 91, facilities))
    capacity = np.floor(capacity * RATIO * demand.sum() / capacity.sum())
    transport = 10.0 * demand[:, None] * np.linalg.norm(here - there, axis=2)
    program = MixedIntegerProgram(name)
    served = np.array(program.add_variables(transport.ravel(), integer=False)).reshape(customers, facilities)
    opened = np.array(program.add_variables(fixed))
    for i in range(customers):
        program.add_row(served[i].tolist(), lower=1.0)
    for j in range(facilities):
        program.add_row([*served[:, j].tolist(), opened[j]], [*demand.tolist(), -capacity[j]], upper=0.0)
    program.add_row(opened.tolist(), capacity.tolist(), lower=float(demand.sum()))
    for i in range(customers):
        for j in range(facilities):
            program.add_row([served[i, j], opened[j]], [1.0, -1.0], upper=0.0)
    return program
