"""Krylov methods that take another preconditioner in each iteration, chosen by what probes found."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final

from cosolve.core import petsc_database
from cosolve.plugins.petsc.ksp import KspSolver
from cosolve.plugins.petsc.learned_pc import LearnedPc
from petsc4py import PETSc

FLEXIBLE: Final = ("fgmres", "fcg", "gcr", "pipefgmres", "pipefcg", "pipegcr")
"""Types of KSP that take another preconditioner in each iteration."""

SYMMETRIC: Final = ("cg", "fcg", "groppcg", "pipecg", "pipecgrr", "pipeprcg", "pipefcg", "pipecg2")
"""Types that say: operator and base preconditioner are symmetric and positive definite."""

_RESTART: Final = 50


class FlexibleMethods:
    """The flexible methods round one user's KSP, made when they are first needed.

    Args:
        solver: The user's KSP.
        pc: Context of the preconditioner.
        test: Convergence test: takes the KSP, the iteration and the unpreconditioned norm, returns PETSc's reason.
        restart: Directions that are kept; None for those of the user's GMRES, or 50.
    """

    def __init__(
        self, solver: KspSolver, pc: LearnedPc, test: Callable[[Any, int, float], int], restart: int | None
    ) -> None:
        self._solver, self._pc, self._test = solver, pc, test
        given = petsc_database.number(solver.prefix, "ksp_gmres_restart", float(_RESTART))
        self._restart = int(given) if restart is None else restart
        self._made: dict[str, tuple[Any, dict[str, str]]] = {}
        self._inserted: list[str] = []

    def choose(self, fixed: bool) -> tuple[Any, dict[str, str]]:
        """Return a flexible KSP, and for the record its type and why it is not the user's (collective).

        Args:
            fixed: Whether proposals and a symmetric base make one symmetric preconditioner, as far as probes can tell.
        """
        wanted = "fcg" if fixed and str(self._solver.ksp.getType()) in SYMMETRIC else "fgmres"
        if wanted not in self._made:
            self._made[wanted] = self._make(wanted)
        return self._made[wanted]

    def close(self) -> None:
        """Free the methods and take their options out of the database (collective)."""
        for ksp, _ in self._made.values():
            ksp.destroy()
        self._made.clear()
        petsc_database.remove(self._inserted)

    def _make(self, wanted: str) -> tuple[Any, dict[str, str]]:
        own, prefix = self._solver.ksp, f"{self._solver.prefix}learned_"
        outer = PETSc.KSP().create(comm=own.getComm())
        outer.setOptionsPrefix(prefix)
        outer.setType(wanted)
        if wanted == "fcg":
            # One direction: the preconditioner is fixed and symmetric as far as probes can tell.
            self._inserted += petsc_database.insert_defaults(prefix, {"ksp_fcg_mmax": 1})
        pc = outer.getPC()
        pc.setType("python")
        pc.setPythonContext(self._pc)
        outer.setOperators(*own.getOperators())
        outer.setFromOptions()
        told = {}
        kind, owns = str(outer.getType()), str(own.getType())
        if kind not in FLEXIBLE:
            told["outer_because"] = (
                f"-{prefix}ksp_type {kind} takes one fixed preconditioner; {wanted!r} was used. "
                f"Types that may be chosen: {', '.join(FLEXIBLE)}"
            )
            outer.setType(wanted)
        elif owns not in FLEXIBLE:
            told["outer_because"] = (
                f"{owns!r} takes one fixed preconditioner; proposals go through {kind!r}, all else through {owns!r}"
            )
        if str(outer.getType()) == "fgmres":
            outer.setGMRESRestart(self._restart)
        outer.setInitialGuessNonzero(True)
        outer.setNormType(PETSc.KSP.NormType.UNPRECONDITIONED)
        outer.setConvergenceTest(self._test)
        return outer, {"outer": str(outer.getType()), **told}
