"""What `cosolve check-plugin` needs to know to make these objects."""

from __future__ import annotations

import numpy as np
from cosolve.core.query import Query
from cosolve.core.solver import Solver
from cosolve.core.testing import SolverContract
from cosolve.plugins.numba_kernels.options import ReactionDiffusionOptions
from cosolve.plugins.numba_kernels.reaction_diffusion import ReactionDiffusion


class ReactionDiffusionContract(SolverContract):
    """A spot that spreads on a small grid."""

    def make(self) -> ReactionDiffusion:
        """Return the solver."""
        x, y = np.meshgrid(*[(np.arange(16) + 0.5) / 16] * 2, indexing="ij")
        spot = np.exp(-60.0 * ((x - 0.3) ** 2 + (y - 0.4) ** 2))
        options = ReactionDiffusionOptions(n=16, rtol=1e-8)
        return ReactionDiffusion(spot, diffusivity=0.02, nonlinearity=4.0, reaction=0.5, options=options)

    def query(self, solver: Solver) -> Query:
        """Return the first step."""
        return Query(solver.initial_state(), 0.0, 0.1)
