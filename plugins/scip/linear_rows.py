"""The linear rows of a model as arrays, and the check of a solution in exact rational numbers."""

from __future__ import annotations

from dataclasses import dataclass
from fractions import Fraction
from typing import Any

import numpy as np
import numpy.typing as npt
from cosolve.core.arrays import Array
from cosolve.core.errors import BadInputError
from pyscipopt import Model


@dataclass(frozen=True, slots=True)
class LinearRows:
    """A linear mixed-integer program: entries in the order of the rows.

    Attributes:
        names: Names of the variables.
        row: Row of each entry.
        column: Variable of each entry.
        value: Value of each entry.
        left: Lower side of each row.
        right: Upper side of each row.
        lower: Lower bound of each variable.
        upper: Upper bound of each variable.
        integer: Whether each variable is integer.
        costs: Objective coefficient of each variable.
        offset: Constant of the objective.
        others: Constraints that are not linear; they are not among the rows.
    """

    names: tuple[str, ...]
    row: npt.NDArray[np.int64]
    column: npt.NDArray[np.int64]
    value: Array
    left: Array
    right: Array
    lower: Array
    upper: Array
    integer: npt.NDArray[np.bool_]
    costs: Array
    offset: float
    others: int

    def activities(self, x: Array) -> Array:
        """Return the left-hand side of every row."""
        sums: Array = np.bincount(self.row, self.value * x[self.column], minlength=len(self.left)).astype(np.float64)
        return sums

    def violation(self, x: Array) -> float:
        """Return by how much the worst row is violated; NaN for a candidate that is not finite."""
        if not len(self.left):
            return 0.0
        activities = self.activities(x)
        return float(np.maximum(np.maximum(self.left - activities, activities - self.right), 0.0).max())

    def bound_violation(self, x: Array) -> float:
        """Return by how much the worst bound is violated."""
        return float(np.maximum(np.maximum(self.lower - x, x - self.upper), 0.0).max(initial=0.0))

    def fraction(self, x: Array) -> float:
        """Return how far the worst integer variable is from an integer."""
        y = x[self.integer]
        return float(np.abs(y - np.round(y)).max(initial=0.0))

    def objective(self, x: Array) -> float:
        """Return the objective."""
        return float(self.costs @ x) + self.offset


@dataclass(frozen=True, slots=True)
class ExactCheck:
    """Feasibility of a solution, decided in rational numbers without any tolerance.

    This proves feasibility, not optimality: the bound that proves optimality is SCIP's, in floating point.

    Attributes:
        feasible: Whether all rows, bounds and integralities hold exactly.
        objective: The exact objective.
        worst: The largest violation.
        checked: Number of rows.
        unchecked: Constraints that are not linear.
    """

    feasible: bool
    objective: Fraction
    worst: Fraction
    checked: int
    unchecked: int


def linear_rows(model: Model) -> LinearRows:
    """Return the original problem's linear rows (not collective)."""
    variables = model.getVars(transformed=False)
    index = {variable.name: j for j, variable in enumerate(variables)}
    infinity = model.infinity()
    rows: list[int] = []
    columns: list[int] = []
    values: list[float] = []
    left: list[float] = []
    right: list[float] = []
    others = 0
    for constraint in model.getConss(transformed=False):
        if constraint.getConshdlrName() != "linear":
            others += 1
            continue
        entries = model.getValsLinear(constraint)
        for name, value in entries.items():
            rows.append(len(left))
            columns.append(index[name])
            values.append(value)
        left.append(_side(model.getLhs(constraint), infinity))
        right.append(_side(model.getRhs(constraint), infinity))
    return LinearRows(
        names=tuple(index),
        row=np.array(rows, np.int64),
        column=np.array(columns, np.int64),
        value=np.array(values),
        left=np.array(left),
        right=np.array(right),
        lower=np.array([_side(variable.getLbOriginal(), infinity) for variable in variables]),
        upper=np.array([_side(variable.getUbOriginal(), infinity) for variable in variables]),
        integer=np.array([variable.vtype() in ("BINARY", "INTEGER") for variable in variables], bool),
        costs=np.array([variable.getObj() for variable in variables]),
        offset=float(model.getObjoffset()),
        others=others,
    )


def _side(value: float, infinity: float) -> float:
    return float(np.copysign(np.inf, value)) if abs(value) >= infinity else float(value)


def check_exactly(rows: LinearRows, solution: Any) -> ExactCheck:
    """Check a solution in rational numbers (not collective).

    Integer variables are rounded to the nearest integer first: SCIP's own tolerance allows 0.9999999 for a one, and the
    question is whether the integer point behind it is a solution. Floating-point data are taken as the rational numbers
    that they are, so with integer data there is no rounding anywhere.

    Args:
        rows: The original problem.
        solution: Value of each variable, in the order of `rows.names`.

    Raises:
        BadInputError: A value is missing or not finite.
    """
    x = np.asarray(solution, float)
    if x.shape != (len(rows.names),) or not np.isfinite(x).all():
        raise BadInputError(f"an exact check needs a finite value for each of {len(rows.names)} variables")
    exact = [
        Fraction(round(float(value))) if whole else Fraction(float(value))
        for value, whole in zip(x, rows.integer, strict=True)
    ]
    sums = [Fraction(0)] * len(rows.left)
    for i, j, value in zip(rows.row, rows.column, rows.value, strict=True):
        if exact[j]:
            sums[i] += Fraction(float(value)) * exact[j]
    worst = Fraction(0)
    for found, low, high in (
        *zip(sums, rows.left, rows.right, strict=True),
        *zip(exact, rows.lower, rows.upper, strict=True),
    ):
        if np.isfinite(low):
            worst = max(worst, Fraction(float(low)) - found)
        if np.isfinite(high):
            worst = max(worst, found - Fraction(float(high)))
    costs = (Fraction(float(cost)) * value for cost, value in zip(rows.costs, exact, strict=True))
    objective = sum(costs, Fraction(float(rows.offset)))
    return ExactCheck(worst == 0, objective, worst, len(sums), rows.others)
