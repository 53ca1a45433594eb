"""Lies of growing size: how many a certified verdict lets pass (none), and how many an estimated one."""

from __future__ import annotations

import math
from typing import Any, Final

import numpy as np
from cosolve.core.communicator import SerialCommunicator
from cosolve.core.governor import Governor
from cosolve.core.query import Query
from cosolve.core.registry import Registry
from cosolve.core.session import Session
from cosolve.core.testing.faulty_parts import OracleSurrogate
from cosolve.core.testing.mean_field import MeanFieldSolver
from cosolve.examples.faults.cycle_jump_case import planted_lie

CERTIFIED_SIZES: Final = (0.0, *(10.0**power for power in range(-14, 1)))
ESTIMATED_SIZES: Final = (0.0, 0.03, 0.1, 0.3, 1.0)
STEPS: Final = 10
_DT: Final = 0.1


def certified(sizes: tuple[float, ...], repeats: int, seed: int) -> list[dict[str, Any]]:
    """Judge answers of a small time loop that are wrong by a random field of each size; one record for each size."""
    rng = np.random.default_rng([seed, 1])
    solver = MeanFieldSolver(comm=SerialCommunicator())
    states = [solver.initial_state()]
    for step in range(STEPS):
        states.append(solver.step(Query(states[-1], _DT * step, _DT, step)).value)
    verifier = Registry.discover().load("verifier", "residual", where="bench faults")()
    cases = []
    for size in sizes:
        counts = {"accepted": 0, "corrected": 0, "rejected": 0, "bad_accepted": 0, "bad_values": 0}
        for _ in range(repeats):
            lies = [size * rng.standard_normal(state.shape) for state in states]
            liar = OracleSurrogate(lambda query, lies=lies: states[query.step + 1] + lies[query.step], solver.comm)  # type: ignore[misc]  # a default binds the loop's variable
            session = Session(solver, verifier, governor=Governor("off"))
            for step in range(STEPS):
                query = Query(states[step], _DT * step, _DT, step)
                outcome = session.attempt(query, (liar,))
                decision = outcome.verdicts[0].decision.value
                counts["accepted" if decision == "accept" else f"{decision}ed"] += 1
                ratio = solver.measure(query, outcome.value).ratio
                bad = not ratio <= 1.0 + 1e-9
                counts["bad_values"] += bad
                counts["bad_accepted"] += bad and decision == "accept"
            session.close()
        cases.append({"part": "certified lies", "size": size, "judged": repeats * STEPS, **counts})
    solver.close()
    return cases


def estimated(sizes: tuple[float, ...], repeats: int, seed: int) -> list[dict[str, Any]]:
    """Run small cycle jumps whose surrogate's rate is wrong by each size; one record for each run."""
    return [
        {"part": "estimated lies", **planted_lie(size, 10_000 * (seed + 1) + repeat)}
        for repeat in range(repeats)
        for size in sizes
    ]


def interval(hits: int, trials: int) -> list[float]:
    """Return Wilson's interval of 95 % for a rate.

    E. B. Wilson, J. Am. Stat. Assoc. 22 (1927) 209, doi:10.1080/01621459.1927.10502953.

    >>> [round(end, 4) for end in interval(0, 100)]
    [0.0, 0.037]
    """
    if trials == 0:
        return [0.0, 1.0]
    z, share = 1.96, hits / trials
    centre = share + z * z / (2 * trials)
    spread = z * math.sqrt(share * (1.0 - share) / trials + z * z / (4 * trials**2))
    scale = 1.0 + z * z / trials
    return [max(0.0, (centre - spread) / scale), min(1.0, (centre + spread) / scale)]
