"""How a solution moves with the parameters of its equations: cheap data for surrogates."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
from cosolve.core.arrays import Array
from cosolve.core.consensus import Consensus
from cosolve.core.query import Query
from cosolve.plugins.fenicsx.form_solver import FormSolver

_SMALL = 1e-6
"""Change of a parameter in a difference quotient, in units of the direction."""


def sensitivities(solver: FormSolver, query: Query, state: Array, directions: Sequence[Mapping[str, Any]]) -> Array:
    """Return how the solution of a steady problem moves along directions of the parameters (collective).

    The linear systems -J du = dF/dp share one factorisation; dF/dp is a difference quotient of the residual at the
    fixed solution, so that whatever `update` computes is differentiated, too.

    Args:
        solver: Solves the problem.
        query: The question.
        state: Its solution, owned values.
        directions: For each derivative the changes of parameters by name; those that are left out stay.

    Returns:
        Shape `(len(directions), n_owned)`.

    Raises:
        RankFaultError: `update` or a form failed on a rank; raised on every rank.
    """
    assembly, newton = solver.assembly, solver.newton
    before = solver.residual(query, state)
    assembly.assemble_jacobian(state)
    linear = newton.snes.getKSP()
    linear.setOperators(assembly.matrix)
    # The matrix is no longer the one that the next solve might reuse.
    newton.forget()
    newton.linearised = state.copy()
    right, move = assembly.matrix.createVecs()
    found = np.zeros((len(directions), solver.n_owned))
    for row, direction in zip(found, directions, strict=True):
        changed = {
            name: np.asarray(query.parameters[name]) + _SMALL * np.asarray(direction[name]) for name in direction
        }
        assembly.load(replace(query, parameters={**query.parameters, **changed}))
        right.array[:] = (before - assembly.residual(state)) / _SMALL
        linear.solve(right, move)
        row[:] = move.array_r
    right.destroy()
    move.destroy()
    assembly.set_state(query.state)
    assembly.forget()
    what = f"the sensitivities of solver {solver.prefix!r}"
    Consensus(solver.comm).run(what, query.step, assembly.faults.raise_kept)
    return found
