"""PETSc: a user's own KSP, SNES or TS as a solver, learned preconditioners, proposals inside a user's own `TS.solve`.

The classes are loaded when they are first used: registering loads no petsc4py.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

from cosolve.core.entries import Entry
from cosolve.core.hookspecs import hookimpl

if TYPE_CHECKING:
    from cosolve.plugins.petsc.adaptive_start import AdaptiveStart
    from cosolve.plugins.petsc.coarse_space import CoarseSpace, slow_modes
    from cosolve.plugins.petsc.energy_projection import EnergyProjection
    from cosolve.plugins.petsc.ksp import KspSolver
    from cosolve.plugins.petsc.snes import SnesSolver
    from cosolve.plugins.petsc.ts import TsSolver
    from cosolve.plugins.petsc.ts_attachment import TsAttachment
    from cosolve.plugins.petsc.vectors import owned, placed, wrapped

COSOLVE_API_VERSION = 1

__all__ = [
    "AdaptiveStart",
    "CoarseSpace",
    "EnergyProjection",
    "KspSolver",
    "SnesSolver",
    "TsAttachment",
    "TsSolver",
    "owned",
    "placed",
    "slow_modes",
    "wrapped",
]

_LAZY = {
    "AdaptiveStart": "cosolve.plugins.petsc.adaptive_start",
    "CoarseSpace": "cosolve.plugins.petsc.coarse_space",
    "EnergyProjection": "cosolve.plugins.petsc.energy_projection",
    "KspSolver": "cosolve.plugins.petsc.ksp",
    "SnesSolver": "cosolve.plugins.petsc.snes",
    "TsAttachment": "cosolve.plugins.petsc.ts_attachment",
    "TsSolver": "cosolve.plugins.petsc.ts",
    "owned": "cosolve.plugins.petsc.vectors",
    "placed": "cosolve.plugins.petsc.vectors",
    "slow_modes": "cosolve.plugins.petsc.coarse_space",
    "wrapped": "cosolve.plugins.petsc.vectors",
}
_REQUIRES = ("petsc4py", "mpi4py")


def __getattr__(name: str) -> Any:
    if name in _LAZY:
        return getattr(importlib.import_module(_LAZY[name]), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


@hookimpl
def cosolve_solvers() -> list[Entry]:
    """Register the solvers of a user's own PETSc objects."""
    return [
        Entry(
            name="petsc_ksp",
            summary="your own KSP as a solver: your operator, options, DM and prefix",
            factory="cosolve.plugins.petsc.ksp:KspSolver",
            contract="cosolve.plugins.petsc.contract:KspContract",
            requires=_REQUIRES,
            capabilities=("certified", "residual", "mpi"),
        ),
        Entry(
            name="petsc_snes",
            summary="your own SNES as a solver: your functions, options, DM and prefix",
            factory="cosolve.plugins.petsc.snes:SnesSolver",
            contract="cosolve.plugins.petsc.contract:SnesContract",
            requires=_REQUIRES,
            capabilities=("certified", "residual", "mpi"),
        ),
        Entry(
            name="petsc_ts",
            summary="your own TS as a solver, one implicit step at a time",
            factory="cosolve.plugins.petsc.ts:TsSolver",
            contract="cosolve.plugins.petsc.contract:TsContract",
            requires=_REQUIRES,
            capabilities=("certified", "residual", "mpi"),
        ),
    ]


@hookimpl
def cosolve_couplings() -> list[Entry]:
    """Register the coupling whose loop is TS.solve."""
    return [
        Entry(
            name="petsc_ts",
            summary="TS.solve runs the loop; its SNES accepts proposals at iteration 0, or starts from them",
            factory="cosolve.plugins.petsc.ts_coupling:PetscTs",
            contract="cosolve.plugins.petsc.contract:PetscTsContract",
            options="cosolve.plugins.petsc.options:PetscTsOptions",
            requires=_REQUIRES,
            capabilities=("certified", "mpi"),
        ),
    ]


@hookimpl
def cosolve_surrogates() -> list[Entry]:
    """Register the starts of a sequence of linear solves, and the learned coarse space."""
    return [
        Entry(
            name="coarse_space",
            summary="corrections over trained modes or past solutions by a Galerkin matrix, for a preconditioner",
            factory="cosolve.plugins.petsc.coarse_space:CoarseSpace",
            contract="cosolve.plugins.petsc.contract:CoarseSpaceContract",
            options="cosolve.plugins.petsc.options:CoarseSpaceOptions",
            requires=_REQUIRES,
            capabilities=("mpi",),
        ),
        Entry(
            name="adaptive_start",
            summary="the cheapest start of a KSP, found while it solves: classical ones, or with proposals joined",
            factory="cosolve.plugins.petsc.adaptive_start:AdaptiveStart",
            contract="cosolve.plugins.petsc.contract:AdaptiveStartContract",
            options="cosolve.plugins.petsc.options:AdaptiveStartOptions",
            requires=_REQUIRES,
            baseline=True,
            capabilities=("mpi",),
        ),
        Entry(
            name="energy_projection",
            summary="best start of a KSP over the last solutions, in the energy norm; proposals may join the space",
            factory="cosolve.plugins.petsc.energy_projection:EnergyProjection",
            contract="cosolve.plugins.petsc.contract:EnergyProjectionContract",
            options="cosolve.plugins.petsc.options:EnergyProjectionOptions",
            requires=_REQUIRES,
            baseline=True,
            capabilities=("mpi",),
        ),
    ]
