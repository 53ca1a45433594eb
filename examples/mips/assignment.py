"""Generalised assignment of type E: costs against weights, the hardest of the five classical types.

Laguna et al. (1995, doi:10.1016/0377-2217(93)E0174-V) and Yagiura, Ibaraki and Glover (2004,
doi:10.1287/ijoc.1030.0036).
"""

from __future__ import annotations

import numpy as np
from cosolve.examples.mips.program import MixedIntegerProgram


def assignment(name: str, rng: np.random.Generator, agents: int, jobs: int) -> MixedIntegerProgram:
    """Draw a generalised assignment program.

    Args:
        name: Of the program.
        rng: Draws it.
        agents: Each has a capacity.
        jobs: Each is done by exactly one agent.
    """
    weight = np.maximum(1.0, np.floor(1.0 - 10.0 * np.log(1.0 - rng.random((agents, jobs)))))
    cost = np.maximum(1.0, np.floor(1000.0 / weight - 10.0 * rng.random((agents, jobs))))
    capacity = np.maximum(np.floor(0.8 * weight.sum(axis=1) / agents), weight.max(axis=1))
    program = MixedIntegerProgram(name)
    does = np.array(program.add_variables(cost.ravel())).reshape(agents, jobs)
    for j in range(jobs):
        program.add_row(does[:, j].tolist(), lower=1.0, upper=1.0)
    for i in range(agents):
        program.add_row(does[i].tolist(), weight[i].tolist(), upper=float(capacity[i]))
    return program
