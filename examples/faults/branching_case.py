"""A small program whose branch and bound is guided by scores that a fault can spoil; SCIP proves the rest."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from cosolve.core.arrays import Array
from cosolve.core.communicator import Communicator
from cosolve.core.ledger import Ledger
from cosolve.core.registry import Registry
from cosolve.core.result import Result, Status
from cosolve.core.session import Session
from cosolve.core.testing.fault_matrix import CellSettings, FaultCase
from cosolve.core.testing.faults import FaultRole
from cosolve.couplings.guidance import Guidance, Points
from cosolve.examples.mips.program import MixedIntegerProgram
from pyscipopt import Model

_ROWS, _COLUMNS = 40, 80
_PROMISE = 1e-6
_PLAIN = {"separating/maxrounds": 0, "separating/maxroundsroot": 0, "presolving/maxrounds": 0}


class Scores:
    """Scores the candidates of a node by how near to one half they are."""

    def scores(self, inputs: Array) -> Array:
        """Return one score for each row of `inputs`, whose second column is the distance from a whole number."""
        value: Array = inputs[:, 1].copy()
        return value


class BranchingCase(FaultCase):
    """A set covering program of some dozen nodes.

    Args:
        comm: Communicator of the run, of one rank.
        role: Whose fault is planted: the surrogate's.
    """

    def __init__(self, comm: Communicator, role: FaultRole) -> None:
        self._comm, self._scores = comm, Scores()
        alone = _model()
        alone.optimize()
        self._optimum = float(alone.getObjVal())

    def part(self, role: FaultRole) -> Any:
        """Return what scores."""
        return self._scores

    def run(self, settings: CellSettings) -> Result:
        """Solve the program once, guided."""
        model = _model()
        solver = Registry.discover().load("solver", "scip", where="fault matrix")(model)
        ledger = Ledger(settings.directory, self._comm)
        session = Session(solver, None, mode="off", ledger=ledger, heartbeat=settings.heartbeat)
        points = Points(settings=False, start=False)
        guidance = Guidance(session, solver.host, lambda inputs: self._scores.scores(inputs), points).attach()
        try:
            ended = guidance.optimize()
        finally:
            session.close()
            ledger.close()
        status = Status.SUCCESS if ended == "optimal" else Status.NOT_CONVERGED
        return Result(np.array([model.getObjVal()]), status, message=ended, t=math.nan)

    def error(self, result: Result) -> float:
        """Return the distance from the optimum that SCIP finds alone, over what is promised."""
        return abs(float(result.value[0]) - self._optimum) / (_PROMISE * abs(self._optimum))


def _model() -> Model:
    rng = np.random.default_rng(3)
    program = MixedIntegerProgram("faults")
    program.add_variables(rng.integers(20, 30, _COLUMNS))  # costs so near to each other that bounds prune late
    for _ in range(_ROWS):
        program.add_row([int(column) for column in rng.choice(_COLUMNS, 6, replace=False)], lower=1.0)
    model: Model = program.model()
    for name, value in _PLAIN.items():
        model.setParam(name, value)
    return model


def small(comm: Communicator, role: FaultRole) -> BranchingCase:
    """Return the case."""
    return BranchingCase(comm, role)
