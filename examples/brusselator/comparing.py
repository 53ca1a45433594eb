"""The Brusselator by `TS.solve` alone and with each proposer: `python -m cosolve.examples.brusselator.comparing`.

Runs are interleaved.

Prints CPU seconds of the whole solve (median and range over the repeats), Newton iterations, what was accepted, and the
distance from the classical run.
"""

from __future__ import annotations

import argparse
import time
from dataclasses import dataclass, field
from statistics import median
from typing import Final

import numpy as np
from cosolve.core.arrays import Array
from cosolve.core.communicator import SerialCommunicator
from cosolve.core.governor import Governor
from cosolve.core.outcome import Outcome
from cosolve.core.registry import Registry
from cosolve.core.session import Session
from cosolve.core.surrogate import Surrogate
from cosolve.examples.brusselator.network import WEIGHTS
from cosolve.examples.brusselator.options import BrusselatorOptions
from cosolve.examples.brusselator.problem import BrusselatorProblem
from cosolve.plugins.petsc import TsAttachment

WAYS: Final = ("classical", "quadratic_extrapolation", "local_regression", "patch network")


@dataclass(slots=True)
class Measured:
    """What one way took and gave.

    Attributes:
        seconds: CPU seconds of each repeat.
        iterations: Newton iterations of one run.
        accepted: Steps whose proposal the SNES accepted at iteration 0.
        started: Steps that the SNES began from a proposal.
        value: The last state.
    """

    seconds: list[float] = field(default_factory=list)
    iterations: int = 0
    accepted: int = 0
    started: int = 0
    value: Array = field(default_factory=lambda: np.zeros(0))


def proposer(way: str) -> list[Surrogate]:
    """Return who proposes."""
    if way == "classical":
        return []
    registry = Registry.discover()
    if way != "patch network":
        made: Surrogate = registry.load("surrogate", way, where="comparing")()
        return [made]
    module = registry.load("surrogate", "torch_module", where="comparing")
    where = "cosolve.examples.brusselator.network:PatchNetwork"
    return [module(where, weights=str(WEIGHTS), residual=True)]


def run(way: str, options: BrusselatorOptions, measured: Measured) -> None:
    """Run one way once, from the start of the problem (serial)."""
    iterations = [0]

    def count(t: float, value: Array, outcome: Outcome) -> None:
        iterations[0] += 0 if outcome.solve is None else outcome.solve.iterations

    solver = BrusselatorProblem(options).make_solver(SerialCommunicator(), {})
    proposers = proposer(way)
    verifier = Registry.discover().load("verifier", "residual", where="comparing")() if proposers else None
    session = Session(solver, verifier, mode="replace" if proposers else "off", governor=Governor("off"))
    with session, TsAttachment(session, solver, proposers, on_commit=count) as attached:
        began = time.process_time()
        measured.value = attached.run(options.end_time, options.dt)
        measured.seconds.append(time.process_time() - began)
    measured.iterations, measured.accepted = iterations[0], int(session.stats["accepted"])
    measured.started = int(session.stats["corrected"])
    solver.close()


def compare(options: BrusselatorOptions, repeats: int) -> dict[str, Measured]:
    """Run all ways, interleaved (serial)."""
    found = {way: Measured() for way in WAYS}
    for _ in range(repeats):
        for way, measured in found.items():
            run(way, options, measured)
    return found


def main() -> None:
    """Compare and print a table."""
    reader = argparse.ArgumentParser(description=__doc__)
    reader.add_argument("--cells", type=int, default=128)
    reader.add_argument("--repeats", type=int, default=7)
    reader.add_argument("--seed", type=int, default=0)
    given = reader.parse_args()
    found = compare(BrusselatorOptions(cells=given.cells, seed=given.seed, end_time=5.0), given.repeats)
    classical = found["classical"]
    print(f"{'':24} {'CPU s (range)':>22} {'speed-up':>8} {'Newton':>7} {'accepted':>8} {'started':>8} {'distance':>9}")
    for way, one in found.items():
        away = float(np.linalg.norm(one.value - classical.value) / np.linalg.norm(classical.value))
        ratio = median(base / own for base, own in zip(classical.seconds, one.seconds, strict=True))
        words = f"{median(one.seconds):.3f} ({min(one.seconds):.3f} to {max(one.seconds):.3f})"
        print(f"{way:24} {words:>22} {ratio:8.3f} {one.iterations:7} {one.accepted:8} {one.started:8} {away:9.2g}")


if __name__ == "__main__":
    main()
