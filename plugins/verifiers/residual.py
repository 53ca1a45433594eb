"""The residual verifier: what the solver itself would accept."""

from __future__ import annotations

import math
from typing import ClassVar

from cosolve.core.errors import BadInputError
from cosolve.core.prediction import Prediction
from cosolve.core.query import Query
from cosolve.core.solver import ResidualMeasure, Solver
from cosolve.core.verdict import Decision, Grade, Verdict
from cosolve.core.verifier import Verifier


class Residual(Verifier):
    """Compares the residual of the very step with the tolerance at which the solver itself would stop.

    Tolerances are absolute, from the solver's reference norm, which does not depend on the start. All blocks (fields,
    boundary conditions) must pass; the worst decides.

    Args:
        accept_fraction: Accepted at or below this fraction of the tolerance.
        correct_ratio: A start for a few iterations at or below this many times the tolerance; above, rejected.

    Raises:
        BadInputError: A number has no meaning.
    """

    name: ClassVar[str] = "residual"
    grade: ClassVar[Grade] = Grade.CERTIFIED
    guarantees: ClassVar[str] = (
        "the residual of the very equations that the classical step solves is below the stated fraction of the "
        "tolerance at which the solver itself would stop, in every block and over all ranks"
    )
    does_not_guarantee: ClassVar[str] = (
        "a small error: a residual bounds the error only by the conditioning of the step, errors of many steps add up, "
        "and the error of the discretisation is not seen"
    )

    def __init__(self, accept_fraction: float = 0.5, correct_ratio: float = 100.0) -> None:
        if not 0.0 < accept_fraction <= 1.0:
            raise BadInputError(f"accept_fraction must lie in (0, 1], found {accept_fraction!r}; 0.5 is the default")
        if not 0.0 <= correct_ratio < math.inf:
            raise BadInputError(f"correct_ratio must be finite and not negative, found {correct_ratio!r}")
        self.accept_fraction = accept_fraction
        self.correct_ratio = correct_ratio

    def _judge(self, solver: Solver, query: Query, prediction: Prediction) -> Verdict:
        measured = solver.measure(query, prediction.value)
        block, norm, tolerance = worst_block(measured)
        ratio = measured.ratio
        where = "residual" if block == "residual" else f"residual of block {block!r}"
        if math.isnan(ratio):
            decision, relation = Decision.REJECT, "is not a number, the tolerance is"
        elif ratio <= self.accept_fraction:
            decision, relation = Decision.ACCEPT, f"is below {self.accept_fraction:g} of the tolerance"
        elif ratio <= self.correct_ratio:
            decision, relation = Decision.CORRECT, f"is {ratio:.3g} times the tolerance"
        else:
            decision, relation = Decision.REJECT, f"is {ratio:.3g} times the tolerance"
        reason = f"{where} {norm:.3g} {relation} {tolerance:.3g}"
        return Verdict(decision, Grade.CERTIFIED, norm, tolerance, reason)


def worst_block(measured: ResidualMeasure) -> tuple[str, float, float]:
    """Return name, norm and tolerance of the block with the largest ratio; one that is not a number comes first."""

    def badness(name: str) -> float:
        ratio = ResidualMeasure({name: measured.norms[name]}, {name: measured.tolerances[name]}).ratio
        return math.inf if math.isnan(ratio) else ratio

    name = max(measured.norms, key=badness)
    return name, measured.norms[name], measured.tolerances[name]
