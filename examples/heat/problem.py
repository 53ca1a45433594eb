"""Nonlinear heat conduction on the unit square with three heaters, by implicit Euler and linear elements.

    u_t = div(k0 (1 + b u) grad u) - h u + sum_i Q_i p_i(t) exp(-|x - c_i|^2 / (2 s^2)),   zero flux, u = 0 first,

p_1, p_2 = 1 + a sin(2 pi f t + (0, 2)), p_3 = 1. Powers Q_1, Q_2, Q_3 and the frequency f are drawn for each run. u is
the excess over the ambient temperature; all quantities are dimensionless. Every step is a nonlinear system; its solver
stops at a residual of `rtol` relative to the reference of `cosolve.plugins.fenicsx.reference`, about the relative error
of the state that the algebra adds in that step.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import ufl
from cosolve.core.communicator import Communicator
from cosolve.core.errors import NotConvergedError
from cosolve.core.problem import Problem
from cosolve.core.query import Query
from cosolve.core.training import Budget, Fitted, TrainingSettings
from cosolve.core.training_data import TrainingData
from cosolve.core.trajectory import Trajectory
from cosolve.examples.heat import training
from cosolve.examples.heat.options import HeatOptions, draw
from cosolve.plugins.fenicsx import FieldWriter, FormSolver, compat
from dolfinx import fem

CONDUCTIVITY, HEAT_GAIN, LOSS = 0.05, 0.3, 1.0
WIDTH, PULSE = 0.15, 0.8
HEATERS = ((0.3, 0.3), (0.7, 0.4), (0.4, 0.75))
RTOL = 1e-4
"""The solver's tolerance: a tenth of what a step of implicit Euler errs by, as users choose it."""

DIRECT_SERIAL = {"ksp_type": "preonly", "pc_type": "lu", "pc_factor_mat_ordering_type": "nd"}
"""On one rank PETSc's own factorisation solves a third faster than MUMPS here."""


class HeatProblem(Problem):
    """The problem of this module for one drawing of its parameters.

    Args:
        options: Mesh, times and parameters.
    """

    name: ClassVar[str] = "heat"

    def __init__(self, options: HeatOptions | None = None) -> None:
        self.options = options or HeatOptions()
        self.parameters: Mapping[str, Any] = self.options.parameters()

    @property
    def time_span(self) -> tuple[float, float, float]:
        """Start, end and step."""
        return 0.0, self.options.end_time, self.options.dt

    def make_solver(self, comm: Communicator, settings: Mapping[str, Any]) -> FormSolver:
        """Build the solver on `comm` (collective).

        Args:
            comm: An mpi4py communicator.
            settings: Arguments of `FormSolver`, e.g. `rtol`, `petsc_options`, `reuse_jacobian`.
        """
        mesh = compat.create_unit_square(comm, self.options.cells, self.options.cells)
        space = compat.function_space(mesh, ("Lagrange", 1))
        u, u_n, v = fem.Function(space, name="u"), fem.Function(space), ufl.TestFunction(space)
        t, dt = fem.Constant(mesh, 0.0), fem.Constant(mesh, self.options.dt)
        constants = {name: fem.Constant(mesh, float(value)) for name, value in self.parameters.items()}
        x = ufl.SpatialCoordinate(mesh)
        angle = 2.0 * np.pi * constants["frequency"] * t
        pulses = (1.0 + PULSE * ufl.sin(angle), 1.0 + PULSE * ufl.sin(angle + 2.0), 1.0)
        source = sum(
            constants[f"power_{number}"] * pulse * ufl.exp(-((x[0] - a) ** 2 + (x[1] - b) ** 2) / (2.0 * WIDTH**2))
            for number, (pulse, (a, b)) in enumerate(zip(pulses, HEATERS, strict=True), 1)
        )
        conductivity = CONDUCTIVITY * (1.0 + HEAT_GAIN * u)
        form = (
            (u - u_n) / dt * v * ufl.dx
            + conductivity * ufl.inner(ufl.grad(u), ufl.grad(v)) * ufl.dx
            + LOSS * u * v * ufl.dx
            - source * v * ufl.dx(metadata={"quadrature_degree": 2})
        )
        chosen: dict[str, Any] = {
            "rtol": RTOL,
            "prefix": "heat_",
            "reuse_jacobian": True,
            "predictor": "quadratic",
            "petsc_options": DIRECT_SERIAL if comm.Get_size() == 1 else {},
        } | dict(settings)
        return FormSolver(
            form,
            u,
            previous=u_n,
            t=t,
            dt=dt,
            parameters=constants,
            quantities={"mean": u * ufl.dx},
            **chosen,
        )

    def describe(self) -> Mapping[str, Any]:
        """Return what a model must match."""
        return {
            "problem": self.name,
            "parameters": sorted(self.parameters),
            "fields": ["u"],
            "units": {"u": "1"},
            # The number of cells may differ: the basis carries over between meshes of this domain.
            "spaces": {"u": {"kind": "dofs", "element": "Lagrange 1", "domain": [[0.0, 0.0], [1.0, 1.0]]}},
            "dtype": "float64",
        }

    def open_fields(self, solver: Any, directory: Path) -> FieldWriter:
        """Open a time series of the state for ParaView (collective)."""
        return FieldWriter(directory / "fields", solver.u.function_space, ["u"])

    # Training data, see cosolve.core.training
    def data_key(self) -> Mapping[str, Any]:
        """Return what the runs depend on beside their parameters."""
        options = self.options
        return {"problem": self.name, "version": 3, "cells": options.cells, "end": options.end_time, "dt": options.dt}

    def draw_training_run(self, seed: int, index: int) -> Mapping[str, float]:
        """Return the parameters of training run `index`; unseen runs are drawn from another family, see `bench`."""
        return draw(1_000_003 + seed, index)

    def training_run(self, parameters: Mapping[str, Any]) -> Trajectory:
        """Run the classical solver with these parameters, a hundred times more accurately than the case (serial)."""
        # Imported here: a serial communicator of MPI is needed for data only.
        from mpi4py import MPI

        problem = HeatProblem(self.options.model_copy(update=dict(parameters)))
        with problem.make_solver(MPI.COMM_SELF, {"rtol": 0.01 * RTOL, "prefix": "heat_data_"}) as solver:
            start, end, dt = problem.time_span
            times = start + dt * np.arange(round((end - start) / dt) + 1)
            states = [solver.initial_state()]
            kicks = training.random_kicks(solver.coordinates(), len(times) - 1, training.seed_of(parameters))
            for step, t in enumerate(times[:-1]):
                kicks[step] *= float(np.sqrt(np.mean(states[-1] ** 2)))
                query = Query(states[-1] + kicks[step], float(t), dt, step=step, parameters=problem.parameters)
                result = solver.step(query)
                if not result.converged:
                    raise NotConvergedError(
                        f"the training run {dict(parameters)} stopped in step {step}: {result.reason}",
                        reason=result.reason,
                    )
                states.append(result.value)
        return Trajectory(times, np.array(states), dict(problem.parameters), kicks)

    def fit_surrogate(
        self, data: TrainingData, settings: TrainingSettings, budget: Budget, progress: Callable[[float, str], None]
    ) -> Fitted:
        """Fit a POD x network surrogate, see `cosolve.examples.heat.training`."""
        return training.fit(self, data, settings, budget, progress)
