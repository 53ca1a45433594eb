"""The classical methods: Krylov type, preconditioner, options, and for how many solves a set-up is kept."""

from __future__ import annotations

import itertools
from dataclasses import dataclass, field
from typing import Any, Final

from cosolve.core import petsc_database
from cosolve.examples.preconditioning.sequences import Sequence
from petsc4py import PETSc

_NUMBER = itertools.count()


@dataclass(frozen=True, slots=True)
class Base:
    """One classical method.

    Attributes:
        ksp: Type of the KSP.
        pc: Type of the PC.
        options: Further options of PETSc.
        kept: Solves for which a set-up is kept.
        grids: Number of geometric grids, 0 for none.
    """

    ksp: str
    pc: str
    options: dict[str, Any] = field(default_factory=dict)
    kept: int = 1
    grids: int = 0


_MUMPS: Final = {"pc_factor_mat_solver_type": "mumps"}
_BELOW: Final = {"mg_coarse_pc_type": "lu", "mg_coarse_pc_factor_mat_solver_type": "mumps"}
_SMOOTHED: Final = {"mg_levels_ksp_type": "richardson", "mg_levels_pc_type": "sor", "mg_levels_ksp_max_it": 2}
_LONG: Final = {"ksp_gmres_restart": 200}

BASES: Final = {
    "CG + BoomerAMG": Base("cg", "hypre"),
    "CG + BoomerAMG, kept for 5": Base("cg", "hypre", kept=5),
    "CG + GAMG": Base("cg", "gamg"),
    "CG + geometric multigrid": Base(
        "cg",
        "mg",
        {
            "pc_mg_galerkin": "both",
            "mg_levels_ksp_type": "richardson",
            "mg_levels_pc_type": "sor",
            "mg_levels_pc_sor_symmetric": "",
            "mg_levels_ksp_max_it": 1,
            **_BELOW,
        },
        grids=4,
    ),
    "CG + ICC(1)": Base("cg", "icc", {"pc_factor_levels": 1}),
    "LU (MUMPS)": Base("preonly", "lu", _MUMPS),
    "LU (PETSc)": Base("preonly", "lu", {"pc_factor_mat_ordering_type": "nd"}),
    "GMRES + LU, kept for 5": Base("gmres", "lu", {**_MUMPS, **_LONG}, kept=5),
    "GMRES + ILU(0)": Base("gmres", "ilu", _LONG),
    "GMRES + ILU(1)": Base("gmres", "ilu", {"pc_factor_levels": 1, **_LONG}),
    "GMRES + ILU(2)": Base("gmres", "ilu", {"pc_factor_levels": 2, **_LONG}),
    "BiCGStab + ILU(0)": Base("bcgs", "ilu"),
    "BiCGStab + ILU(1)": Base("bcgs", "ilu", {"pc_factor_levels": 1}),
    "FGMRES + two-grid": Base("fgmres", "mg", {"pc_mg_galerkin": "both", **_SMOOTHED, **_BELOW, **_LONG}, grids=2),
    "FGMRES + GAMG, LU below": Base(
        "fgmres", "gamg", {"pc_mg_levels": 2, "pc_gamg_coarse_eq_limit": 3000, **_SMOOTHED, **_BELOW, **_LONG}
    ),
}
INNER: Final = {"ILU(0)": ("ilu", {}), "ILU(1)": ("ilu", {"pc_factor_levels": 1})}
"""Base preconditioners of a learned coarse space by themselves."""

MOST_ITERATIONS: Final = 600


def make_ksp(base: Base, sequence: Sequence) -> Any:
    """Return a KSP of a classical method for a sequence; the options stay in PETSc's database for its prefix."""
    ksp = PETSc.KSP().create(PETSc.COMM_SELF)
    prefix = f"preconditioning_{next(_NUMBER)}_"
    ksp.setOptionsPrefix(prefix)
    petsc_database.insert_defaults(prefix, base.options)
    ksp.setType(base.ksp)
    ksp.setOperators(sequence.matrix)
    ksp.setTolerances(max_it=MOST_ITERATIONS)
    pc = ksp.getPC()
    pc.setType(base.pc)
    if base.grids:
        pc.setMGLevels(base.grids)
        for level, transfer in zip(range(base.grids - 1, 0, -1), sequence.transfers, strict=True):
            pc.setMGInterpolation(level, transfer)
    return ksp


def make_inner(name: str, sequence: Sequence) -> Any:
    """Return a base preconditioner by itself, set up by PETSc whenever the operator has changed."""
    kind, options = INNER[name]
    pc = PETSc.PC().create(PETSc.COMM_SELF)
    prefix = f"preconditioning_{next(_NUMBER)}_"
    pc.setOptionsPrefix(prefix)
    petsc_database.insert_defaults(prefix, options)
    pc.setType(kind)
    pc.setOperators(sequence.matrix, sequence.matrix)
    pc.setFromOptions()
    return pc
