"""Solvers in numba: what runs where neither MPI nor PETSc nor FEniCSx is installed."""

from __future__ import annotations

from cosolve.core.entries import Entry
from cosolve.core.hookspecs import hookimpl

COSOLVE_API_VERSION = 1


@hookimpl
def cosolve_solvers() -> list[Entry]:
    """Offer the implicit reaction-diffusion solver."""
    return [
        Entry(
            name="reaction_diffusion",
            summary="2D implicit nonlinear reaction-diffusion on a square grid: Newton, multigrid-preconditioned CG",
            factory="cosolve.plugins.numba_kernels.reaction_diffusion:ReactionDiffusion",
            options="cosolve.plugins.numba_kernels.options:ReactionDiffusionOptions",
            contract="cosolve.plugins.numba_kernels.contract:ReactionDiffusionContract",
            requires=("numba",),
            capabilities=("residual", "serial"),
        ),
    ]
