"""Feasibility of a solution in exact rationals: SCIP works to 1e-6, this does not.

It proves that the solution is feasible, not that it is optimal: bounds come from floating point linear programs.
"""

from __future__ import annotations

from fractions import Fraction
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pyscipopt import Model


def exactly_feasible(model: Model) -> bool | None:
    """Check SCIP's best solution of a solved model against its original constraints, without rounding errors.

    Args:
        model: Solved; all its constraints linear, all its variables integer, all its coefficients integers.

    Returns:
        True or False; None where there is no solution, or where the data are not integers, so that a solution in
        floating point cannot be exact.
    """
    if model.getNSols() == 0:
        return None
    variables = model.getVars(transformed=False)
    if any(variable.vtype() == "CONTINUOUS" for variable in variables):
        return None
    best = model.getBestSol()
    values: dict[str, Fraction] = {}
    for variable in variables:
        value = Fraction(round(model.getSolVal(best, variable)))
        values[variable.name] = value
        if not Fraction(variable.getLbOriginal()) <= value <= Fraction(variable.getUbOriginal()):
            return False
    infinity = model.infinity()
    for constraint in model.getConss(transformed=False):
        if not constraint.isLinear():
            return None
        terms = model.getValsLinear(constraint)
        sides = model.getLhs(constraint), model.getRhs(constraint)
        if not all(_whole(number) for number in (*terms.values(), *(side for side in sides if abs(side) < infinity))):
            return None
        total = sum((Fraction(int(a)) * values[name] for name, a in terms.items()), Fraction(0))
        lower, upper = sides
        if (lower > -infinity and total < Fraction(lower)) or (upper < infinity and total > Fraction(upper)):
            return False
    return True


def _whole(number: float) -> bool:
    return float(number).is_integer()
