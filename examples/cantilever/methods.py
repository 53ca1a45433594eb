"""The ways to solve one beam that the bench compares, each with its own solvers, counted and timed alike."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from cosolve.core.arrays import Array
from cosolve.core.governor import Governor
from cosolve.core.query import Query
from cosolve.core.registry import Registry
from cosolve.core.session import Session
from cosolve.core.solver import Solver
from cosolve.core.surrogate import Surrogate
from cosolve.couplings.branch_check import BranchCheck
from cosolve.couplings.coarse_start import CoarseLevel, CoarseStart
from cosolve.couplings.guessed_solves import GuessedSolves
from cosolve.examples.cantilever.problem import SERIAL, coarse_of, form_solver, grown, innermost
from cosolve.plugins.fenicsx import FormSolver, Prolongation
from mpi4py import MPI

FINE_ITERATIONS = 12
"""Iterations of a solve from a proposed start, most of them with an old Jacobian."""


@dataclass(frozen=True, slots=True)
class Answer:
    """What a method did for one beam.

    Attributes:
        value: Its answer.
        converged: Whether it met the tolerance.
        fine_solves: Linear solves with a Jacobian of the fine mesh, fresh or old.
        factorisations: Of Jacobians of the fine mesh.
        seconds: CPU seconds.
        source: Who gave the answer.
    """

    value: Array
    converged: bool
    fine_solves: int
    factorisations: int
    seconds: float
    source: str


class Method:
    """A method with solvers of its own.

    Args:
        name: As in tables.
        fine: Newton's method on the fine mesh, whose work is counted.
        solve: Solves a query; returns value, whether it converged, and who gave the answer.
        close: Frees the solvers.
    """

    def __init__(
        self,
        name: str,
        fine: FormSolver,
        solve: Callable[[Query], tuple[Array, bool, str]],
        close: Callable[[], None],
    ) -> None:
        self.name, self.fine, self._solve, self.close = name, fine, solve, close

    def __call__(self, parameters: Mapping[str, Array], step: int = 0) -> Answer:
        """Solve one beam."""
        newton = self.fine.newton
        newton.forget()
        solves, factorisations = newton.linear_solves, newton.jacobians
        begun = time.process_time()
        query = Query(self.fine.initial_state(), step=step, parameters=parameters, transaction="solve")
        value, converged, source = self._solve(query)
        seconds = time.process_time() - begun
        return Answer(
            value,
            converged,
            newton.linear_solves - solves,
            newton.jacobians - factorisations,
            seconds,
            source,
        )


def _plain(name: str, solver: Solver) -> Method:
    def solve(query: Query) -> tuple[Array, bool, str]:
        result = solver.step(query)
        return result.value, result.converged, name

    return Method(name, innermost(solver), solve, solver.close)


def newton_alone(cells: tuple[int, int], name: str, options: Mapping[str, Any]) -> Method:
    """Return Newton's method from rest with some PETSc options of SNES (line search, trust region)."""
    fine = form_solver(
        MPI.COMM_SELF,
        *cells,
        prefix=f"{name}_",
        reuse_jacobian=False,
        max_iterations=60,
        petsc_options=SERIAL | dict(options),
    )
    return _plain(name, fine)


def load_stepping(cells: tuple[int, int], settings: Mapping[str, Any], name: str = "load_stepping") -> Method:
    """Return adaptive load stepping on the fine mesh.

    Args:
        cells: Of the fine mesh.
        settings: `reuse` of Jacobians, and options of `load_stepping`.
        name: As in tables.
    """
    return _plain(name, _stepping(form_solver(MPI.COMM_SELF, *cells, **_newton(name, settings)), settings))


def arc_length(cells: tuple[int, int], settings: Mapping[str, Any]) -> Method:
    """Return pseudo-arclength continuation on the fine mesh."""
    # It combines Newton steps itself, so that none may be damped.
    undamped = SERIAL | {"snes_linesearch_type": "basic"}
    fine = form_solver(MPI.COMM_SELF, *cells, **_newton("arc_length", settings), petsc_options=undamped)
    chosen = {key: value for key, value in settings.items() if key != "reuse"}
    return _plain("arc_length", Registry.discover().load("solver", "arc_length", where="bench")(fine, grown, **chosen))


def grid_sequencing(
    cells: tuple[int, int],
    levels: int,
    settings: Mapping[str, Any],
    reuse: bool,
    loose: float = 1.0,
    name: str = "grid_sequencing",
) -> Method:
    """Return grid sequencing from a mesh that is coarser by `levels` halvings.

    Args:
        cells: Of the fine mesh.
        levels: Number of coarser meshes.
        settings: Of the load stepping on the coarsest one.
        reuse: Whether old Jacobians serve on the finer ones.
        loose: Tolerance of the coarser solutions, as a multiple of the fine one.
        name: As in tables.
    """
    return _plain(name, sequence(cells, levels, settings, reuse, loose, name))


def sequence(
    cells: tuple[int, int], levels: int, settings: Mapping[str, Any], reuse: bool, loose: float, name: str
) -> Solver:
    """Return the solver of `grid_sequencing`."""
    registry = Registry.discover()
    sequencing = registry.load("solver", "grid_sequencing", where="bench")
    fine = form_solver(MPI.COMM_SELF, *cells, prefix=f"{name}_{levels}_", reuse_jacobian=reuse)
    below = (cells[0] // 2, cells[1] // 2)
    if levels > 1:
        coarse = sequence(below, levels - 1, settings, reuse, loose, f"{name}_below")
    else:
        coarse = _stepping(form_solver(MPI.COMM_SELF, *below, **_newton(f"{name}_coarse", settings)), settings)
    prolong = Prolongation(innermost(coarse).u.function_space, fine.u.function_space)
    made: Solver = sequencing(_stepping(fine, settings), coarse, prolong, fine_iterations=20, loose=loose)
    return made


def guessed(
    cells: tuple[int, int],
    surrogate: Surrogate,
    correction: Surrogate | None,
    fallback: tuple[int, Mapping[str, Any], bool, float],
    *,
    polish: int = 16,
    loose: float = 1.0,
    reuse: bool = True,
    name: str = "hybrid",
) -> Method:
    """Return the coupling `initial_guess` with grid sequencing as its fallback.

    Args:
        cells: Of the fine mesh.
        surrogate: Proposes on the coarse mesh.
        correction: Adds the discretisation error.
        fallback: Levels, settings, reuse and looseness of the grid sequencing.
        polish: Most iterations on the coarse mesh.
        loose: Tolerance of these, as a multiple of the fine one.
        reuse: Whether old Jacobians serve.
        name: As in tables.
    """
    whole = sequence(cells, *fallback, f"{name}_fallback")
    fine = innermost(whole)
    fine.newton.reuse_jacobian = reuse
    coarse, prolong = coarse_of(fine, f"{name}_coarse_")
    coarse.newton.reuse_jacobian = False
    start = CoarseStart(
        surrogate,
        CoarseLevel(coarse, prolong),
        iterations=polish,
        loose=loose,
        branch=BranchCheck() if polish else None,
        correction=correction,
    )
    session = Session(whole, None, mode="initial_guess", governor=Governor("off"), max_guess_iterations=FINE_ITERATIONS)
    solves = GuessedSolves(session, [start])

    def solve(query: Query) -> tuple[Array, bool, str]:
        coarse.newton.forget()
        outcome = session.attempt(query, solves.proposers)
        return outcome.value, outcome.ok, outcome.source

    def close() -> None:
        session.close()
        coarse.close()
        whole.close()

    return Method(name, fine, solve, close)


def _newton(name: str, settings: Mapping[str, Any]) -> dict[str, Any]:
    return {"prefix": f"{name}_", "reuse_jacobian": bool(settings.get("reuse", False))}


def _stepping(solver: FormSolver, settings: Mapping[str, Any]) -> Solver:
    chosen = {key: value for key, value in settings.items() if key != "reuse"}
    made: Solver = Registry.discover().load("solver", "load_stepping", where="bench")(solver, grown, **chosen)
    return made
