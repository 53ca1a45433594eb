"""Newton's method by PETSc's SNES, stopped by absolute block-wise norms of the unpreconditioned residual."""

from __future__ import annotations

import logging
import math
from collections.abc import Mapping
from typing import Any

import numpy as np
from cosolve.core import petsc_database
from cosolve.core.arrays import Array
from cosolve.core.errors import BadInputError
from cosolve.core.solver import SolveResult
from cosolve.plugins.fenicsx.assembly import Assembly
from cosolve.plugins.fenicsx.blocks import Blocks
from petsc4py import PETSc

logger = logging.getLogger(__name__)

DIRECT: dict[str, Any] = {"ksp_type": "preonly", "pc_type": "lu", "pc_factor_mat_solver_type": "mumps"}
"""The default linear solver: direct, so that results do not depend on the number of ranks."""

SINGULAR: dict[str, Any] = {"mat_mumps_icntl_24": 1, "mat_mumps_icntl_25": 0}
"""What a direct solver needs besides when the matrix has a null space: detect null pivots, take one solution."""

SLOW = 0.3
"""A reused Jacobian is assembled anew when one iteration shrinks the residual by less than this factor."""


class Newton:
    """SNES over an `Assembly`. All methods are collective.

    Every PETSc option of SNES, KSP and PC works under the prefix, and the command line wins over `options`. `snes_rtol`
    and `snes_atol` given there replace the solver's own (both in their absolute meaning, see
    `cosolve.plugins.fenicsx.reference`); `snes_stol` is not consulted: a small step is no small residual.

    Args:
        assembly: The forms.
        blocks: The blocks of the norm.
        prefix: Prefix of all options.
        options: Options from code, names without the prefix.
        max_iterations: Largest number of iterations of a full solve.
        reuse_jacobian: Keep the factorised Jacobian over iterations and steps until convergence slows down or dt
            changes by more than a fifth.

    Attributes:
        jacobians: Jacobians assembled so far.
        linear_solves: Linear systems solved so far, with fresh or old Jacobians.
        linearised: The state at which the Jacobian was last assembled, owned values.

    Raises:
        BadInputError: PETSc knows no such type or value of an option; in its own words, on every rank alike.
    """

    def __init__(
        self,
        assembly: Assembly,
        blocks: Blocks,
        *,
        prefix: str,
        options: Mapping[str, Any],
        max_iterations: int,
        reuse_jacobian: bool,
    ) -> None:
        self.assembly, self.blocks, self.prefix = assembly, blocks, prefix
        self.reuse_jacobian = reuse_jacobian
        self.jacobians = 0
        self.linear_solves = 0
        self.linearised: Array = np.zeros(0)
        self._tolerances: Array = np.zeros(len(blocks.names))
        self._ratio = math.nan
        self._stale = True
        self._fresh = False
        self._dt = 0.0
        self._known: tuple[Array, Array] | None = None
        self._linearisation: dict[str, Any] = {}
        self.snes = PETSc.SNES().create(assembly.mesh.comm)
        self.snes.setOptionsPrefix(prefix)
        self._f = assembly.b.duplicate()
        self._x = PETSc.Vec().createMPI(
            (assembly.n_owned, assembly.b.getSize()), bsize=assembly.b.getBlockSize(), comm=assembly.mesh.comm
        )
        self.snes.setFunction(self._function, self._f)
        self.snes.setJacobian(self._jacobian, assembly.matrix)
        self.snes.setTolerances(rtol=1e-50, atol=1e-300, stol=0.0, max_it=max_iterations)
        self.snes.setConvergenceTest(self._converged)
        linear = {} if any(key.lstrip("-") in ("ksp_type", "pc_type") for key in options) else dict(DIRECT)
        if linear and assembly.null_space is not None:
            linear |= SINGULAR
        self._inserted = petsc_database.insert_defaults(prefix, linear | dict(options))
        try:
            self.snes.setFromOptions()
        except PETSc.Error as error:
            found = petsc_database.given(prefix)
            self.close()
            raise BadInputError(
                f"PETSc refuses an option of the prefix -{prefix}: {petsc_database.words(error)}. Correct it in "
                f"petsc_options, in [petsc] or on the command line; found {found}"
            ) from None
        self.max_iterations = int(self.snes.getTolerances()[3])
        logger.info("PETSc options of this solver have the prefix -%s", prefix)

    def solve(
        self,
        start: Array,
        tolerances: Array,
        *,
        dt: float,
        max_iterations: int | None = None,
        known_residual: Array | None = None,
    ) -> SolveResult:
        """Iterate from `start`, owned values, until each block's norm is at most its tolerance.

        Args:
            start: First iterate; not changed.
            tolerances: Absolute tolerance of each block.
            dt: Length of the step, for the reuse of the Jacobian.
            max_iterations: Fewer iterations than a full solve.
            known_residual: Residual at `start` if it was measured just now; spares its first evaluation.

        Returns:
            The result; `converged` is False with PETSc's own reason when the tolerance was not met.
        """
        if not self.reuse_jacobian or abs(dt - self._dt) > 0.2 * abs(self._dt):
            self._stale = True
        limit = self.max_iterations if max_iterations is None else min(max_iterations, self.max_iterations)
        jacobians = self.jacobians
        result = self._run(start, tolerances, dt, limit, known_residual)
        if not result.converged and self.jacobians == jacobians and max_iterations is None:
            # It went wrong with an old Jacobian only: once more, with a new one.
            self._stale = True
            again = self._run(start, tolerances, dt, limit, known_residual)
            result = SolveResult(
                again.value,
                again.converged,
                again.reason,
                result.iterations + again.iterations,
                result.linear_iterations + again.linear_iterations,
                again.residual,
            )
        return result

    def _run(self, start: Array, tolerances: Array, dt: float, limit: int, known: Array | None) -> SolveResult:
        self._tolerances, self._ratio, self._fresh = tolerances, math.nan, False
        self._pending_dt = dt
        self._known = None if known is None else (start, known)
        self._x.array[:] = start
        # stol and the relative test are never asked, see `_converged`.
        self.snes.setTolerances(max_it=limit)
        try:
            self.snes.solve(None, self._x)
        except PETSc.Error as error:
            reason = f"PETSc error {error.ierr}: {petsc_database.words(error)}"
            self._stale = True
            return SolveResult(np.full(self.assembly.n_owned, np.nan), False, reason)
        code = self.snes.getConvergedReason()
        self.linear_solves += self.snes.getIterationNumber()
        if code < 0:
            self._stale = True
        return SolveResult(
            value=self._x.array_r.copy(),
            converged=code > 0,
            reason=self._reason(code),
            iterations=self.snes.getIterationNumber(),
            linear_iterations=self._linear_iterations(),
            residual=self._ratio,
        )

    def _linear_iterations(self) -> int:
        return 0 if self.snes.getKSP().getType() == "preonly" else int(self.snes.getLinearSolveIterations())

    def _reason(self, code: int) -> str:
        text = petsc_database.reason_name(PETSc.SNES, code)
        if code == PETSc.SNES.ConvergedReason.DIVERGED_LINEAR_SOLVE:
            inner = self.snes.getKSP().getConvergedReason()
            text += f" ({petsc_database.reason_name(PETSc.KSP, inner)})"
        return text

    # Callbacks: a fault of this rank becomes NaN, and no communication is added to what assembly needs.
    def _function(self, snes: Any, x: Any, f: Any) -> None:
        if self._known is not None:
            (_, known), self._known = self._known, None
            f.array[:] = known
            # The Jacobian is assembled from the state that the forms see.
            return
        f.array[:] = self.assembly.residual(x.array_r)

    def _jacobian(self, snes: Any, x: Any, matrix: Any, preconditioner: Any) -> None:
        if not self._stale:
            return
        self.assembly.assemble_jacobian(x.array_r)
        self.jacobians += 1
        self.linearised = x.array_r.copy()
        self._dt = self._pending_dt
        self._stale = not self.reuse_jacobian
        self._fresh = True
        if self.reuse_jacobian:
            self._linearisation = self.assembly.linearisation(x.array_r)

    def _converged(self, snes: Any, iteration: int, norms: tuple[float, float, float]) -> int:
        f = snes.getFunction()[0]
        # Plain numbers: for one or two blocks arrays take several times longer, and this is asked in each iteration.
        measured = self.blocks.norms(f.array_r).tolist()
        ratio, before = 0.0, self._ratio
        for norm, tolerance in zip(measured, self._tolerances.tolist(), strict=True):
            if not math.isfinite(norm):
                return int(PETSc.SNES.ConvergedReason.DIVERGED_FNORM_NAN)
            if norm > 0.0:
                ratio = max(ratio, norm / tolerance if tolerance > 0.0 else math.inf)
        self._ratio = ratio
        if ratio <= 1.0:
            return int(PETSc.SNES.ConvergedReason.CONVERGED_FNORM_ABS)
        if iteration > 0 and not self._fresh and ratio > SLOW * before:
            self._stale = True
        self._fresh = False
        return 0

    def restart_memory(self) -> dict[str, Any]:
        """Return where the Jacobian in use was assembled; empty where the next solve assembles its own."""
        return {} if self._stale else self._linearisation

    def restart_from(self, memory: Mapping[str, Any]) -> None:
        """Assemble the Jacobian where `restart_memory` says (collective), so that a restart iterates alike."""
        self.forget()
        if memory and self.reuse_jacobian:
            self.assembly.linearise(memory)
            self._linearisation = dict(memory)
            self._dt = float(memory["dt"])
            self._stale = False

    def negative_pivots(self) -> int | None:
        """Return the number of negative pivots of the factorised Jacobian; None where the factors do not tell."""
        preconditioner = self.snes.getKSP().getPC()
        if preconditioner.getType() != "cholesky":
            return None
        return int(preconditioner.getFactorMatrix().getInertia()[0])

    def forget(self) -> None:
        """Assemble the Jacobian anew in the next solve, as for a new run (not collective, but on every rank)."""
        self._stale = True

    def close(self) -> None:
        """Destroy SNES and its vectors and take its options from the database; warn of those that nobody read."""
        left = [f"-{name}" for name in self._inserted if f"-{name}" in petsc_database.unused(self.prefix)]
        if left and self.assembly.mesh.comm.rank == 0:
            logger.warning("PETSc options of the prefix -%s that nobody used: %s", self.prefix, ", ".join(left))
        petsc_database.remove(self._inserted)
        # Factors are freed here and now: whoever still holds a wrapper of the SNES would free them alone, later.
        self.snes.reset()
        self.snes.destroy()
        self._f.destroy()
        self._x.destroy()
