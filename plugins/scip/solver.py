"""SCIP as a solver: one mixed-integer program, solved by branch and bound, measured by its own constraints."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cached_property
from typing import ClassVar, Final

import numpy as np
from cosolve.core.arrays import Array
from cosolve.core.communicator import Communicator, SerialCommunicator
from cosolve.core.query import Query
from cosolve.core.solver import ResidualMeasure, Solver, SolveResult
from cosolve.plugins.scip.host import ScipHost
from cosolve.plugins.scip.linear_rows import LinearRows, linear_rows
from pyscipopt import SCIP_STAGE, Model

FINISHED: Final = ("optimal", "infeasible", "unbounded", "inforunbd", "gaplimit", "sollimit", "bestsollimit")
"""SCIP's statuses that answer the question as it was asked."""

_SENTENCES: Final[Mapping[str, str]] = {
    "optimal": "SCIP proved the optimum",
    "infeasible": "the instance is infeasible: SCIP proved that no solution exists",
    "unbounded": "the instance is unbounded: its objective has no limit",
    "inforunbd": "the instance is infeasible or unbounded; SCIP's presolving cannot tell which",
    "timelimit": "the time limit was reached before SCIP proved the optimum",
    "nodelimit": "the node limit was reached before SCIP proved the optimum",
    "totalnodelimit": "the node limit was reached before SCIP proved the optimum",
    "stallnodelimit": "the node limit was reached before SCIP proved the optimum",
    "memlimit": "the memory limit was reached before SCIP proved the optimum",
    "gaplimit": "SCIP closed the gap to the limit that was set",
    "sollimit": "SCIP found as many solutions as were asked for",
    "bestsollimit": "SCIP found as many better solutions as were asked for",
    "userinterrupt": "the solve was interrupted",
}


class ScipSolver(Solver):
    """Solves one model.

    Args:
        model: A `pyscipopt.Model` before `optimize()`.

    Attributes:
        host: The model as a host of guidance.

    Raises:
        BadInputError: The model is empty or solved already.
    """

    name: ClassVar[str] = "scip"

    def __init__(self, model: Model) -> None:
        self.comm: Communicator = SerialCommunicator()
        self.host = ScipHost(model)

    @cached_property
    def _rows(self) -> LinearRows:
        return linear_rows(self.host.model)

    @property
    def n_owned(self) -> int:
        """Number of variables."""
        return int(self.host.model.getNVars(transformed=False))

    def initial_state(self) -> Array:
        """Return a zero for each variable."""
        return np.zeros(self.n_owned)

    def _step(self, query: Query, x0: Array | None) -> SolveResult:
        model = self.host.model
        if x0 is not None:
            if model.getStage() != SCIP_STAGE.PROBLEM:
                model.freeTransform()  # a start is for a search that has not begun
            names = [variable.name for variable in model.getVars(transformed=False)]
            self.host.add_start(dict(zip(names, map(float, x0), strict=True)))
        model.optimize()
        return SolveResult(
            self.solution(),
            self.succeeded(),
            reason=self.ended(),
            iterations=int(model.getNTotalNodes()),
            linear_iterations=int(model.getNLPIterations()),
        )

    def measure(self, query: Query, candidate: Array) -> ResidualMeasure:
        """Measure how far a candidate violates linear rows, bounds and integrality, beside SCIP's own tolerance."""
        rows, tolerance = self._rows, float(self.host.model.feastol())
        norms = {
            "rows": rows.violation(candidate),
            "bounds": rows.bound_violation(candidate),
            "integrality": rows.fraction(candidate),
        }
        return ResidualMeasure(norms, dict.fromkeys(norms, tolerance))

    def solution(self) -> Array:
        """Return the best solution known, or NaN for each variable."""
        model = self.host.model
        if model.getNSols() == 0:
            return np.full(self.n_owned, np.nan)
        best = model.getBestSol()
        return np.array([model.getSolVal(best, variable) for variable in model.getVars(transformed=False)])

    def ended(self) -> str:
        """Return how the last solve ended, as a sentence without its full stop."""
        status = str(self.host.model.getStatus())
        known = "" if self.host.model.getNSols() else ", and no solution is known"
        sentence = _SENTENCES.get(status, f"SCIP ended with the status {status!r}")
        return sentence + (known if "limit was reached" in sentence else "")

    def succeeded(self) -> bool:
        """Whether the last solve answered the question: by an optimum, or by the proof that there is none."""
        return str(self.host.model.getStatus()) in FINISHED

    def quantities(self, state: Array) -> Mapping[str, float]:
        """Return the objective of a state."""
        return {"objective": self._rows.objective(state)}

    def close(self) -> None:
        """Release the model. Idempotent."""
