"""Primal starts: values by name given to a model, or searched for where the program allows it. SCIP checks them all."""

from __future__ import annotations

from collections.abc import Mapping

from cosolve.plugins.scip.covering import covering_of
from cosolve.plugins.scip.library import UnboundError
from pyscipopt import Model


def add_start(model: Model, values: Mapping[str, float]) -> tuple[bool, str]:
    """Give SCIP a start; it completes what is missing and checks all.

    Args:
        model: In stage PROBLEM.
        values: Value by name of variable; some or all variables of the model.

    Returns:
        Whether SCIP took it in (it is checked when the search begins), and a sentence about it.
    """
    known = {variable.name: variable for variable in model.getVars()}
    usable = {name: value for name, value in values.items() if name in known}
    if not usable:
        return False, "no name of the start is a variable of this model"
    partial = len(usable) < len(known)
    solution = model.createPartialSol() if partial else model.createSol()
    for name, value in usable.items():
        if value or partial:
            model.setSolVal(solution, known[name], float(value))
    if partial and model.getParam("heuristics/completesol/freq") < 0:
        model.setParam("heuristics/completesol/freq", 0)
    kept = model.addSol(solution)
    ignored = len(values) - len(usable)
    told = f"{len(usable)} of {len(known)} variables" + (f", {ignored} unknown names" if ignored else "")
    return bool(kept), told


def propose_start(model: Model, steps: int) -> tuple[bool, str]:
    """Search for a start and give it to SCIP.

    Args:
        model: In stage PROBLEM.
        steps: Of the local search, see `cosolve.plugins.scip.covering_search`.

    Returns:
        Whether SCIP took it in, and a sentence about it.
    """
    if model.getNSols():
        return False, "there is a start of the user"
    try:
        program = covering_of(model)
        if isinstance(program, str):
            return False, f"the instance is no covering or packing program: {program}"
        # Imported here: it loads numba.
        from cosolve.plugins.scip.covering_search import search
    except (UnboundError, ImportError) as error:
        return False, str(error)
    return add_start(model, program.values(search(program, steps)))
