"""`TsSolver`: a user's own TS as a solver, one step of its own method at a time.

The loop over `TS.solve`, with its events, adaptivity and multistep methods, is `cosolve.plugins.petsc.ts_attachment`.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any, ClassVar

import numpy as np
from cosolve.core import petsc_database
from cosolve.core.arrays import Array
from cosolve.core.query import Query, Transaction
from cosolve.core.solver import SolveResult
from cosolve.plugins.petsc.base import PetscSolver, Update
from cosolve.plugins.petsc.callbacks import GuessSlot
from cosolve.plugins.petsc.compat import set_divergence_tolerance
from cosolve.plugins.petsc.reference import Reference, Tolerance
from cosolve.plugins.petsc.snes import REUSING, reason_of
from cosolve.plugins.petsc.vectors import placed
from petsc4py import PETSc

THETA = ("beuler", "theta", "cn")
"""Types whose step is one equation that this module can write down."""

ONE_SOLVE = (*THETA, "bdf")
"""Types whose SNES is solved once for each step, at a known place: proposals can enter there."""


class TsSolver(PetscSolver):
    """Advances by a user's own TS, and measures any candidate by the residual of that very step.

    Example::

        ts.setOptionsPrefix("myrun_")
        with TsSolver(ts, u, rtol=1e-6) as solver:
            result = cosolve.time_loop(solver, surrogate, t_end=1.0, dt=0.01)

    *The equation.* With `F(t, u, u_t) = G(t, u)` as the TS was given it, a step of the methods `beuler`, `theta` and
    `cn` is one equation for its stage; `residual` writes it down, term by term as PETSc does. Other methods are run
    through `TS.solve` by the coupling `petsc_ts`, and cannot be stepped by a time loop of ours.

    *Tolerance.* The SNES of the TS stops at `max(rtol * reference, atol)`. The reference is that of the initial state
    `u_0`: the norm of `F(t, 0, u_0 / (theta dt)) - F(t, 0, 0)` plus that of `F(t, 0, 0) - G(t, 0)`, so that `rtol` is
    about the relative error of the state that the algebra adds in a step. It depends on no start.

    Args:
        ts: The TS, with its functions and Jacobians set. It stays the user's.
        u: Vector of the unknown with the initial state; None takes the solution of the TS.
        update: Called with each new query before it is solved or measured, on every rank alike.
        rtol: Relative tolerance; None for that of the SNES of the TS. `-<prefix>snes_rtol` wins.
        atol: Absolute tolerance; None for that of the SNES. `-<prefix>snes_atol` wins.
        reference: Reference norm: a number, a function of the query, or None for the rule above.
        coordinates: Where the owned values live; None asks the DM.

    Attributes:
        ts: The TS.
        measured: The candidate that was measured last.
        stage: Inside a solve of the SNES: the vector that it solves for, at which candidates are measured; else None.

    Raises:
        BadInputError: An option, tolerance or vector cannot be used; raised on every rank alike.
    """

    name: ClassVar[str] = "petsc_ts"

    def __init__(
        self,
        ts: Any,
        u: Any = None,
        *,
        update: Update | None = None,
        rtol: float | None = None,
        atol: float | None = None,
        reference: Reference = None,
        coordinates: Array | None = None,
    ) -> None:
        super().__init__(ts, ts.getSolution() if u is None else u, coordinates, update)
        self.ts, self.snes = ts, ts.getSNES()
        self.stage: Any = None
        self.measured: Array | None = None
        self._own = self.snes.getTolerances()
        self._start = (ts.getTime(), ts.getTimeStep(), ts.getStepNumber())
        self.callbacks.ts(ts)
        self.guess = GuessSlot(self.snes)
        set_divergence_tolerance(self.snes)
        self._tolerance = Tolerance(
            "snes",
            self.prefix,
            rtol=rtol,
            atol=atol,
            own=(self._own[0], self._own[1]),
            reference=reference,
            default=self._reference,
        )
        self._udot = self._x.duplicate()
        self._work = self._x.duplicate()
        self._parts: tuple[float, float] | None = None

    @property
    def theta(self) -> float:
        """Where the stage of a step lies, as a fraction of it: 1 where the SNES solves for the end of the step."""
        if self.ts.getType() != "theta" or self.ts.getThetaEndpoint():
            return 1.0
        return float(self.ts.getTheta())

    @property
    def _weight(self) -> float:
        """Return theta: the SNES solves with the derivative `(x - u) / (theta dt)`."""
        kind = self.ts.getType()
        return 0.5 if kind == "cn" else float(self.ts.getTheta()) if kind == "theta" else 1.0

    def unfit(self, transaction: Transaction, dt: float) -> str:
        """Return why this solver cannot take such transactions, empty when it can (not collective)."""
        why = super().unfit(transaction, dt)
        if why or self.stage is not None or dt == 0.0:
            return why
        kind = self.ts.getType()
        if kind not in THETA or (kind == "theta" and not self.ts.getThetaEndpoint() and self.theta != 1.0):
            return (
                f"a step of the TS type {kind!r} is not one equation for the state at its end, so cosolve cannot step "
                f"it by itself. Let TS.solve run: coupling 'petsc_ts', or -{self.prefix}ts_type beuler or cn"
            )
        return ""

    def tolerance(self, query: Query) -> float:
        """Return the absolute tolerance of the SNES for `query` (collective)."""
        self._load(query)
        return self._tolerance.at(query)

    def enter_stage(self, x: Any) -> None:
        """Measure by the SNES that is about to solve for `x`, until `leave_stage` (not collective)."""
        self.stage, self.measured = x, None

    def leave_stage(self) -> None:
        """Measure by the equation of a step again (not collective)."""
        self.stage = None

    # Residual
    def _evaluate(self, query: Query, candidate: Array) -> float:
        self.measured = candidate
        return super()._evaluate(query, candidate)

    def _compute_residual(self, query: Query, x: Any, f: Any) -> None:
        if self.stage is not None:
            self.snes.computeFunction(x, f)
            return
        weight, u = self._weight, self._work
        with placed(u, query.state, self.copies):
            if weight < 1.0:
                self._udot.set(0.0)
                self.ts.computeIFunction(query.t, u, self._udot, f)
                affine = (weight - 1.0) / weight * f.array_r
            x.copy(self._udot)
            self._udot.axpy(-1.0, u)
        self._udot.scale(1.0 / (weight * query.dt))
        self.ts.computeIFunction(query.t_end, x, self._udot, f)
        if weight < 1.0:
            f.array[:] -= affine

    def _reference(self, query: Query) -> float:
        if self._parts is None:
            zero, u_0 = np.zeros_like(self._initial), self._initial.copy()
            load = self._value(query.t, zero, zero)
            history = self._value(query.t, zero, u_0) - load
            sizes = [self.norm(values) for values in (history, load)]
            if sizes[0] == 0.0:
                sizes[0] = self.norm(self._value(query.t, zero, np.ones_like(zero)) - load)
            self._parts = (sizes[0], sizes[1])
        history_norm, load_norm = (size if math.isfinite(size) else 0.0 for size in self._parts)
        return history_norm / (self._weight * query.dt) + load_norm

    def _value(self, t: float, u: Array, udot: Array) -> Array:
        """Return `F(t, u, udot) - G(t, u)`; a fault there only says that it is no place for a reference."""
        with placed(self._work, u, self.copies), placed(self._udot, udot, self.copies), np.errstate(all="ignore"):
            self.ts.computeIFunction(t, self._work, self._udot, self._f)
        self.faults.error = None
        self.callbacks.known.forget()
        values: Array = self._f.array_r.copy()
        return values

    # Stepping
    def _step(self, query: Query, x0: Array | None) -> SolveResult:
        return self._advance(query, x0, int(self._own[3]))

    def _correct(self, query: Query, x0: Array, max_iterations: int) -> SolveResult:
        return self._advance(query, x0, min(max_iterations, int(self._own[3])))

    def _advance(self, query: Query, start: Array | None, limit: int) -> SolveResult:
        self._meet(query)
        ts, snes = self.ts, self.snes
        tolerance = self.tolerance(query)
        snes.setTolerances(rtol=0.0, atol=tolerance, stol=0.0, max_it=limit)
        value = query.state.copy()
        self.copies.add(value.nbytes, "the state, which the step overwrites")
        ts.setTime(query.t)
        ts.setTimeStep(query.dt)
        ts.setStepNumber(0)
        ts.setMaxTime(query.t_end)
        ts.setExactFinalTime(PETSc.TS.ExactFinalTime.MATCHSTEP)
        ts.setConvergedReason(PETSc.TS.ConvergedReason.CONVERGED_ITERATING)
        failure = ""
        self.guess.ours = None if start is None else _first(start, self.guess.users_own, snes)
        try:
            with placed(self._x, value, self.copies):
                ts.solve(self._x)
        except PETSc.Error as error:
            failure = f" (PETSc error {error.ierr}: {petsc_database.words(error)})"
        finally:
            self.guess.ours = None
        iterations, linear = snes.getIterationNumber(), int(snes.getLinearSolveIterations())
        ratio = float(snes.getFunctionNorm()) / tolerance if tolerance > 0.0 else math.nan
        reason = reason_of_ts(ts) + failure
        arrived = abs(ts.getTime() - query.t_end) <= 1e-9 * abs(query.dt)
        if failure or ts.getConvergedReason() < 0 or snes.getConvergedReason() < 0 or not arrived:
            return self._failed(query, reason, iterations, linear)
        if snes.getType() == "ksponly" or math.isnan(ratio):
            # Solved once and never tested: the answer is measured here.
            ratio = self._evaluate(query, value) / tolerance if tolerance > 0.0 else math.nan
        converged = ratio <= 1.0 + 1e-9
        if not converged:
            reason += f", but the residual is {ratio:.3g} times the tolerance {tolerance:.3g}"
        return SolveResult(value, converged, reason, iterations, linear, ratio, notes={"tolerance": tolerance})

    def recover(self) -> None:
        """Forget a Jacobian that a fault left half-assembled, and its failed factorisation (collective)."""
        super().recover()
        self.snes.getKSP().getPC().reset()

    def can_reuse(self) -> bool:
        """Return whether the SNES first evaluates the residual at its start, so that a known one serves."""
        return self.callbacks.has_residual and self.snes.getType() in REUSING and not self.snes.hasNPC()

    def _give_back(self) -> None:
        rtol, atol, stol, limit = self._own
        self.snes.setTolerances(rtol=rtol, atol=atol, stol=stol, max_it=limit)

    def _free(self) -> None:
        self._udot.destroy()
        self._work.destroy()
        # Our reference to the SNES of the TS: were it the last one, petsc4py would only put the SNES off for later.
        self.snes.destroy()


def reason_of_ts(ts: Any) -> str:
    """Return PETSc's own reason of a TS, with that of its SNES where it is the cause (not collective)."""
    text = petsc_database.reason_name(PETSc.TS, ts.getConvergedReason())
    if ts.getSNES().getConvergedReason() < 0:
        text += f" ({reason_of(ts.getSNES())})"
    return text


def _first(start: Array, users_own: Callable[[Any, Any], None], snes: Any) -> Callable[[Any], None]:
    """Return a guess that is given once: further solves within the step start as they would without us."""
    left = [start]

    def guess(x: Any) -> None:
        if left:
            x.array[:] = left.pop()
        else:
            users_own(snes, x)

    return guess
