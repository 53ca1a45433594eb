"""`KspSolver`: a user's own KSP as a solver."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np
from cosolve.core import petsc_database
from cosolve.core.arrays import Array
from cosolve.core.query import Query
from cosolve.core.solver import SolveResult
from cosolve.plugins.petsc.base import PetscSolver, Update
from cosolve.plugins.petsc.reference import Reference, Tolerance
from cosolve.plugins.petsc.vectors import placed
from petsc4py import PETSc

if TYPE_CHECKING:
    from cosolve.core.surrogate import Surrogate
    from cosolve.plugins.petsc.learned_krylov import LearnedKrylov

NO_LIMIT = 1e100

CONJUGATE_GRADIENTS = ("cg", "fcg", "groppcg", "pipecg", "pipecgrr", "pipecg2", "pipefcg", "pipelcg", "pipeprcg")
"""Types whose operator is symmetric positive definite, or they would not be used."""

ROUNDS = 4
"""How often a KSP that stops by another norm is started again with a harder tolerance."""


class KspSolver(PetscSolver):
    """Solves `A x = b` by a user's own KSP, and measures any candidate by `b - A x`.

    Example::

        ksp.setOptionsPrefix("myrun_")
        solver = KspSolver(ksp, b, rtol=1e-8)
        result = solver.solve(x0)

    *Tolerance.* The unpreconditioned norm of `b - A x` must be at most `max(rtol * reference, atol)`, by default with
    the norm of `b` as reference. The KSP is told to stop by that norm; where its type or side of preconditioning
    offers another one only, the true residual is computed at the end, and the KSP goes on with a harder tolerance.

    Args:
        ksp: The KSP, with operators set. It stays the user's.
        b: Right-hand side, a vector.
        x: Vector of the unknown with the initial state; None for zero.
        update: Called with each new query before it is solved or measured, on every rank alike; sets the values of
            `b`, and of the operator where it changes. May communicate by PETSc.
        rtol: Relative tolerance; None for that of the KSP. `-<prefix>ksp_rtol` wins.
        atol: Absolute tolerance; None for that of the KSP. `-<prefix>ksp_atol` wins.
        reference: Reference norm: a number, a function of the query, or None for the norm of `b`.
        coordinates: Where the owned values live; None asks the DM.

    Attributes:
        iterations: Iterations of the last solve.
        limit: Most iterations of a solve.

    Raises:
        BadInputError: An option, tolerance or vector cannot be used; raised on every rank alike.
    """

    name: ClassVar[str] = "petsc_ksp"

    def __init__(
        self,
        ksp: Any,
        b: Any,
        x: Any = None,
        *,
        update: Update | None = None,
        rtol: float | None = None,
        atol: float | None = None,
        reference: Reference = None,
        coordinates: Array | None = None,
    ) -> None:
        if x is None:
            zero = b.duplicate()
            zero.set(0.0)
            super().__init__(ksp, zero, coordinates, update)
            zero.destroy()
        else:
            super().__init__(ksp, x, coordinates, update)
        self.ksp, self.b = ksp, b
        self._own = ksp.getTolerances()
        self._own_nonzero = ksp.getInitialGuessNonzero()
        self._own_norm = ksp.getNormType()
        self._skips = self._own_norm == PETSc.KSP.NormType.NONE
        self.limit = int(self._own[3])
        self._tolerance = Tolerance(
            "ksp",
            self.prefix,
            rtol=rtol,
            atol=atol,
            own=(self._own[0], self._own[1]),
            reference=reference,
            default=lambda query: float(self.b.norm()),
        )
        self._ready = False
        self.iterations = 0
        self._pair: tuple[Any, ...] = ()
        self._learned: LearnedKrylov | None = None

    def tolerance(self, query: Query) -> float:
        """Return the absolute tolerance for `query` (collective)."""
        self._load(query)
        return self._tolerance.at(query)

    def product(self, value: Array) -> Array:
        """Return the operator of now times `value`, owned values (collective)."""
        operator, _ = self.ksp.getOperators()
        if not self._pair:
            # Vectors of its own: it is called inside solves, which use the others.
            self._pair = (self.vector(), self.vector())
        x, y = self._pair
        with placed(x, value, self.copies):
            operator.mult(x, y)
        result: Array = y.array_r.copy()
        return result

    def joining(self) -> str:
        """Return `adaptive_start` for methods of conjugate gradients: their operator has an energy norm."""
        return "adaptive_start" if self.ksp.getType() in CONJUGATE_GRADIENTS else ""

    def _compute_residual(self, query: Query, x: Any, f: Any) -> None:
        operator, _ = self.ksp.getOperators()
        operator.mult(x, f)
        f.aypx(-1.0, self.b)

    def _correct(self, query: Query, x0: Array, max_iterations: int) -> SolveResult:
        # A few iterations of Newton's method are one linear solve.
        return self._step(query, x0)

    def _step(self, query: Query, x0: Array | None) -> SolveResult:
        self._meet(query)
        self._load(query)
        tolerance = self.tolerance(query)
        value = (query.state if x0 is None else x0).copy()
        self.copies.add(value.nbytes, "the start, which the solve overwrites")
        self.iterations = 0
        if float(self.b.norm()) == 0.0:
            return SolveResult(np.zeros_like(value), True, "the right-hand side is zero", 0, 0, 0.0)
        if self._learned is not None:
            result = self._learned.solve(query, value, tolerance)
            self.iterations = result.linear_iterations
            return result
        return self.solve_classically(query, value, tolerance)

    def precondition(self, proposer: Surrogate | None, **settings: Any) -> None:
        """Let a surrogate propose corrections inside the solves (collective); see `LearnedKrylov` for the settings.

        Raises:
            BadInputError: A setting has no meaning for this KSP.
        """
        if self._learned is not None:
            self._learned.close()
            self._learned = None
        if proposer is not None:
            # Imported here: most solves have no use for it.
            from cosolve.plugins.petsc.learned_krylov import LearnedKrylov

            self._learned = LearnedKrylov(self, proposer, **settings)

    def solve_classically(self, query: Query, value: Array, tolerance: float) -> SolveResult:
        """Solve by the KSP alone from `value`, which is overwritten, to an absolute tolerance (collective)."""
        self._prepare()
        return self._solve(query, value, tolerance)

    def set_up(self) -> None:
        """Set the KSP's preconditioner up for the operator of now (collective).

        Raises:
            PETSc.Error: It cannot be set up.
        """
        self._prepare()
        self.ksp.setUp()

    def _solve(self, query: Query, value: Array, tolerance: float) -> SolveResult:
        ksp, inner, iterations, failure = self.ksp, tolerance, 0, ""
        ratio = math.inf
        for _ in range(ROUNDS):
            # PETSc's divergence test is relative to the norm of b: a bad start would end the solve at once.
            ksp.setTolerances(rtol=0.0, atol=inner, divtol=NO_LIMIT, max_it=max(self.limit - iterations, 1))
            try:
                with placed(self._x, value, self.copies):
                    ksp.solve(self.b, self._x)
            except PETSc.Error as error:
                failure = f" (PETSc error {error.ierr}: {petsc_database.words(error)})"
            iterations += ksp.getIterationNumber()
            self.iterations = iterations
            code = ksp.getConvergedReason()
            if code < 0 or failure:
                break
            with placed(self._x, value, self.copies):
                self._compute_residual(query, self._x, self._f)
            ratio = float(self._f.norm()) / tolerance if tolerance > 0.0 else math.inf
            if ratio <= 1.0 or not math.isfinite(ratio) or ksp.getType() == "preonly":
                break
            inner *= 0.5 / ratio
        reason = petsc_database.reason_name(PETSc.KSP, code) + failure
        if code < 0 or failure or not math.isfinite(ratio):
            return self._failed(query, reason, 1, iterations)
        if ratio > 1.0:
            reason += f", but the true residual is {ratio:.3g} times the tolerance {tolerance:.3g}"
        notes = {"tolerance": tolerance}
        return SolveResult(value, ratio <= 1.0, reason, min(1, iterations), iterations, ratio, notes=notes)

    def _prepare(self) -> None:
        """Ask for the unpreconditioned norm and a start that is used, before the first solve."""
        if self._ready:
            return
        self._ready = True
        ksp = self.ksp
        ksp.setInitialGuessNonzero(ksp.getType() != "preonly")
        if ksp.getType() == "preonly":
            return
        ksp.setNormType(PETSc.KSP.NormType.UNPRECONDITIONED)
        try:
            ksp.setUp()
        except PETSc.Error:
            # This type knows another norm only: the true residual decides, see `_solve`.
            ksp.setNormType(PETSc.KSP.NormType.DEFAULT if self._skips else self._own_norm)
        if self._skips:
            # Without a norm PETSc had put a test in place that never looks at the residual, which a norm does not undo.
            ksp.setConvergenceTest(None)

    def _free(self) -> None:
        if self._learned is not None:
            self._learned.close()
        for vector in self._pair:
            vector.destroy()

    def _give_back(self) -> None:
        rtol, atol, divtol, limit = self._own
        self.ksp.setTolerances(rtol=rtol, atol=atol, divtol=divtol, max_it=limit)
        self.ksp.setNormType(self._own_norm)
        self.ksp.setInitialGuessNonzero(self._own_nonzero)
