"""`SnesSolver`: a user's own SNES as a solver."""

from __future__ import annotations

import math
from typing import Any, ClassVar

import numpy as np
from cosolve.core import petsc_database
from cosolve.core.arrays import Array
from cosolve.core.query import Query
from cosolve.core.solver import SolveResult
from cosolve.plugins.petsc.base import PetscSolver, Update
from cosolve.plugins.petsc.callbacks import GuessSlot
from cosolve.plugins.petsc.compat import set_divergence_tolerance
from cosolve.plugins.petsc.reference import Reference, Tolerance
from cosolve.plugins.petsc.vectors import placed
from petsc4py import PETSc

REUSING = ("newtonls", "newtontr", "newtontrdc")
"""Types whose first evaluation is the residual at the start itself."""


class SnesSolver(PetscSolver):
    """Solves `F(x) = b` by a user's own SNES, and measures any candidate by the same residual.

    Example::

        snes.setOptionsPrefix("myrun_")
        solver = SnesSolver(snes, x, rtol=1e-8)
        result = solver.solve(x0)

    *Tolerance.* The norm of `F(x) - b` must be at most `max(rtol * reference, atol)`, with the reference from
    `F(0) - b`, or, where that is zero or no number, from the residual at the initial state: neither depends on the
    start. `stol` is zero: a small update is no convergence.

    Args:
        snes: The SNES, with function and Jacobian set. It stays the user's.
        x: Vector of the unknown with the initial state; None takes the SNES's own solution, or zero by its DM.
        b: Right-hand side, or None.
        update: Called with each new query before it is solved or measured, on every rank alike: sets the parameters
            that the callbacks read.
        rtol: Relative tolerance; None for that of the SNES. `-<prefix>snes_rtol` wins.
        atol: Absolute tolerance; None for that of the SNES. `-<prefix>snes_atol` wins.
        reference: Reference norm: a number, a function of the query, or None for the rule above.
        coordinates: Where the owned values live; None asks the DM.

    Raises:
        BadInputError: An option, tolerance or vector cannot be used; raised on every rank alike.
    """

    name: ClassVar[str] = "petsc_snes"

    def __init__(
        self,
        snes: Any,
        x: Any = None,
        b: Any = None,
        *,
        update: Update | None = None,
        rtol: float | None = None,
        atol: float | None = None,
        reference: Reference = None,
        coordinates: Array | None = None,
    ) -> None:
        super().__init__(snes, _unknown(snes) if x is None else x, coordinates, update)
        self.snes, self.b = snes, b
        self._own = snes.getTolerances()
        self._limit = int(self._own[3])
        self.callbacks.snes(snes)
        self._guess = GuessSlot(snes)
        set_divergence_tolerance(snes)
        self._tolerance = Tolerance(
            "snes",
            self.prefix,
            rtol=rtol,
            atol=atol,
            own=(self._own[0], self._own[1]),
            reference=reference,
            default=self._reference,
        )
        self._default_reference: tuple[Query, float] | None = None
        self._measured: tuple[Query, Array] | None = None

    def tolerance(self, query: Query) -> float:
        """Return the absolute tolerance for `query` (collective)."""
        self._load(query)
        return self._tolerance.at(query)

    def _step(self, query: Query, x0: Array | None) -> SolveResult:
        return self._run(query, query.state if x0 is None else x0, self._limit)

    def _correct(self, query: Query, x0: Array, max_iterations: int) -> SolveResult:
        return self._run(query, x0, min(max_iterations, self._limit))

    def _run(self, query: Query, start: Array, limit: int) -> SolveResult:
        self._meet(query)
        snes, tolerance = self.snes, self.tolerance(query)
        snes.setTolerances(rtol=0.0, atol=tolerance, stol=0.0, max_it=limit)
        value = start.copy()
        self.copies.add(value.nbytes, "the start, which the solve overwrites")
        measured = self._measured is not None and self._measured[0] is query and self._measured[1] is start
        if measured and snes.getType() in REUSING and not snes.hasNPC():
            self.callbacks.known.arm()
        self._measured = None
        failure = ""
        self._guess.ours = _keep  # a guess of the user's own would overwrite the start
        try:
            with placed(self._x, value, self.copies):
                snes.solve(self.b, self._x)
        except PETSc.Error as error:
            failure = f" (PETSc error {error.ierr}: {petsc_database.words(error)})"
        finally:
            self.callbacks.known.forget()
            self._guess.ours = None
        iterations, linear = snes.getIterationNumber(), self._linear_iterations()
        code, ratio = snes.getConvergedReason(), _ratio(float(snes.getFunctionNorm()), tolerance)
        reason = reason_of(snes) + failure
        if code <= 0 or failure or not math.isfinite(ratio):
            return self._failed(query, reason, iterations, linear)
        if ratio > 1.0 + 1e-9:
            reason += f", but the residual is {ratio:.3g} times the tolerance {tolerance:.3g}"
        notes = {"tolerance": tolerance}
        return SolveResult(value, ratio <= 1.0 + 1e-9, reason, iterations, linear, ratio, notes=notes)

    def _linear_iterations(self) -> int:
        return 0 if self.snes.getKSP().getType() == "preonly" else int(self.snes.getLinearSolveIterations())

    def _evaluate(self, query: Query, candidate: Array) -> float:
        norm = super()._evaluate(query, candidate)
        self._measured = (query, candidate) if self.callbacks.has_residual else None
        return norm

    def _compute_residual(self, query: Query, x: Any, f: Any) -> None:
        self.snes.computeFunction(x, f)
        if self.b is not None:
            f.axpy(-1.0, self.b)

    def _reference(self, query: Query) -> float:
        last = self._default_reference
        if last is None or (self.update is not None and last[0] is not query):
            reference = self._quiet_norm(query, np.zeros_like(self._initial))
            if not (math.isfinite(reference) and reference > 0.0):
                reference = self._quiet_norm(query, self._initial.copy())
            last = self._default_reference = (query, reference if math.isfinite(reference) else 0.0)
        return last[1]

    def _quiet_norm(self, query: Query, state: Array) -> float:
        """Return the norm of the residual at `state`; a fault there only says that it is no place for a reference."""
        with placed(self._x, state, self.copies), np.errstate(all="ignore"):
            self._compute_residual(query, self._x, self._f)
        norm = float(self._f.norm())
        self.faults.error = None
        self.callbacks.known.forget()
        return norm

    def recover(self) -> None:
        """Forget a Jacobian that a fault left half-assembled, and its failed factorisation (collective)."""
        super().recover()
        self.snes.getKSP().getPC().reset()

    def _give_back(self) -> None:
        rtol, atol, stol, limit = self._own
        self.snes.setTolerances(rtol=rtol, atol=atol, stol=stol, max_it=limit)


def reason_of(snes: Any) -> str:
    """Return PETSc's own reason, with that of the linear solver where it is the cause (not collective)."""
    code = snes.getConvergedReason()
    text = petsc_database.reason_name(PETSc.SNES, code)
    if code == PETSc.SNES.ConvergedReason.DIVERGED_LINEAR_SOLVE:
        text += f" ({petsc_database.reason_name(PETSc.KSP, snes.getKSP().getConvergedReason())})"
    return text


def _keep(x: Any) -> None:
    """Leave the start as it is."""


def _unknown(snes: Any) -> Any:
    solution = snes.getSolution()
    if solution is not None and solution.handle:
        return solution
    dm = snes.getDM()
    return dm.createGlobalVec()


def _ratio(norm: float, tolerance: float) -> float:
    return norm / tolerance if tolerance > 0.0 else (0.0 if norm == 0.0 else math.inf)
