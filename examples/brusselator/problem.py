"""The problem `brusselator`: a user's own TS on a DMDA, as a case.

See `cosolve.examples.brusselator.grid` for the equations and for what a PETSc user has written anyway.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar

import numpy as np
from cosolve.core.communicator import Communicator
from cosolve.core.problem import Problem
from cosolve.examples.brusselator.grid import Brusselator
from cosolve.examples.brusselator.options import BrusselatorOptions
from cosolve.plugins.petsc import TsSolver
from petsc4py import PETSc

PREFIX = "brusselator_"
RTOL = 1e-4
"""Tolerance of a step's algebra, about what Crank-Nicolson itself errs by in a step through a spike."""


class BrusselatorSolver(TsSolver):
    """The TS with the grid that it lives on, which is freed with it."""

    name: ClassVar[str] = "brusselator"

    def __init__(self, grid: Brusselator, ts: Any, **settings: Any) -> None:
        super().__init__(ts, grid.u, **settings)
        self.grid = grid

    def quantities(self, state: Any) -> Mapping[str, float]:
        """Return the means of u and v over the square (collective)."""
        sums = np.array([state[0::2].sum(), state[1::2].sum(), len(state) / 2.0])
        total = np.zeros_like(sums)
        self.comm.Allreduce(sums, total)
        return {"mean_u": float(total[0] / total[2]), "mean_v": float(total[1] / total[2])}

    def _free(self) -> None:
        super()._free()
        self.ts.destroy()
        self.grid.destroy()


class BrusselatorProblem(Problem):
    """The problem of this module.

    Args:
        options: Grid, times and constants.
    """

    name: ClassVar[str] = "brusselator"

    def __init__(self, options: BrusselatorOptions | None = None) -> None:
        self.options = options or BrusselatorOptions()
        self.parameters: Mapping[str, Any] = {"a": self.options.a, "b": self.options.b}

    @property
    def time_span(self) -> tuple[float, float, float]:
        """Start, end and step."""
        return 0.0, self.options.end_time, self.options.dt

    def make_solver(self, comm: Communicator, settings: Mapping[str, Any]) -> BrusselatorSolver:
        """Build grid, TS and solver on `comm` (collective).

        Args:
            comm: An mpi4py communicator, or a serial one.
            settings: `rtol` and `atol`; `max_iterations` is the SNES's own option.
        """
        options = self.options
        raw = comm if hasattr(comm, "Split") else PETSc.COMM_SELF
        grid = Brusselator(raw, options.cells, options.a, options.b, (options.diffusivity_u, options.diffusivity_v))
        grid.start(options.seed)
        ts = grid.timestepper(PREFIX)
        chosen = {"rtol": RTOL} | {name: value for name, value in settings.items() if value is not None}
        limit = chosen.pop("max_iterations", None)
        if limit is not None:
            ts.getSNES().setTolerances(max_it=int(limit))
        return BrusselatorSolver(grid, ts, **chosen)

    def describe(self) -> Mapping[str, Any]:
        """Return what a model must match."""
        return {
            "problem": self.name,
            "dtype": "float64",
            "fields": ["u", "v"],
            "units": {"u": "1", "v": "1"},
            "spaces": {"w": {"kind": "grid", "extent": [1.0, 1.0], "components": 2, "periodic": True}},
        }
