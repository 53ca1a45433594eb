"""Unsteady flow past a cylinder in a channel: DFG 2D-3 of Schaefer and Turek (doi:10.1007/978-3-322-89849-4_39).

Density 1, kinematic viscosity 1e-3, channel 2.2 x 0.41, cylinder of radius 0.05 at (0.2, 0.2), parabolic inflow whose
mean speed is sin(pi t / 8) for eight seconds, fluid at rest first. The vortex street that starts in the fifth second
is what makes the lift a hard quantity: it grows from a small asymmetry, so every error grows, too. Other inflows add
two more sine waves. Reference values: John (doi:10.1002/fld.679).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, ClassVar

import numpy as np
from cosolve.core.communicator import Communicator
from cosolve.core.errors import NotConvergedError
from cosolve.core.problem import Problem
from cosolve.core.query import Query
from cosolve.core.training import Budget, Fitted, TrainingSettings
from cosolve.core.training_data import TrainingData
from cosolve.core.trajectory import Trajectory
from cosolve.examples.cylinder import training
from cosolve.examples.cylinder.mesh import Resolution
from cosolve.examples.cylinder.options import CylinderOptions, draw
from cosolve.examples.cylinder.solver import ChannelSolver

DRAG_MAX, LIFT_MAX = 2.950921575, 0.47795
"""Largest drag (near t = 3.936) and lift (near 5.693) of the benchmark, by John."""


class CylinderProblem(Problem):
    """The problem of this module for one inflow.

    Args:
        options: Mesh, times and inflow.
    """

    name: ClassVar[str] = "cylinder"

    def __init__(self, options: CylinderOptions | None = None) -> None:
        self.options = options or CylinderOptions()
        self.parameters: Mapping[str, Any] = self.options.parameters()

    @property
    def time_span(self) -> tuple[float, float, float]:
        """Start, end and step, in seconds."""
        return 0.0, self.options.end_time, self.options.dt

    def make_solver(self, comm: Communicator, settings: Mapping[str, Any]) -> ChannelSolver:
        """Build the solver on `comm` (collective).

        Args:
            comm: An mpi4py communicator.
            settings: `rtol` and `prefix` of `ChannelSolver`; what is absent or None has the default.
        """
        given = {name: value for name, value in settings.items() if value is not None}
        return ChannelSolver(comm, Resolution.of(self.options.side), dt=self.options.dt, **given)

    def describe(self) -> Mapping[str, Any]:
        """Return what a model must match."""
        return {
            "problem": self.name,
            "parameters": sorted(self.parameters),
            "fields": ["velocity", "pressure"],
            "units": {"velocity": "m/s", "pressure": "m^2/s^2", **dict.fromkeys(self.parameters, "m/s")},
            "spaces": {"flow": {"kind": "dofs", "element": "Lagrange 2, Lagrange 1", "side": self.options.side}},
            "dtype": "float64",
        }

    # Training data, see cosolve.core.training
    def data_key(self) -> Mapping[str, Any]:
        """Return what the runs depend on beside their parameters."""
        options = self.options
        return {"problem": self.name, "version": 1, "side": options.side, "end": options.end_time, "dt": options.dt}

    def draw_training_run(self, seed: int, index: int) -> Mapping[str, float]:
        """Return the inflow of training run `index`; unseen runs are drawn from another family, see `bench`."""
        return draw(1_000_003 + seed, index)

    def training_run(self, parameters: Mapping[str, Any]) -> Trajectory:
        """Run the classical solver with this inflow and keep pairs of neighbouring states (serial)."""
        # Imported here: a serial communicator of MPI is needed for data only.
        from mpi4py import MPI

        start, end, dt = self.time_span
        steps = round((end - start) / dt)
        first = {round(k * (steps - 1) / training.PAIRS) for k in range(1, training.PAIRS + 1)}
        times: list[float] = []
        states: list[Any] = []
        with self.make_solver(MPI.COMM_SELF, {"prefix": "cylinder_data_"}) as solver:
            state = solver.initial_state()
            for step in range(steps):
                t = start + step * dt
                if step in first:
                    times.append(t)
                    states.append(state.astype(np.float32))
                result = solver.step(Query(state, t, dt, step=step, parameters=parameters))
                if not result.converged:
                    raise NotConvergedError(f"the training run of {parameters} failed at t = {t:.6g}: {result.reason}")
                state = result.value
                if step in first:
                    times.append(t + dt)
                    states.append(state.astype(np.float32))
        return Trajectory(np.array(times), np.array(states), parameters)

    def fit_surrogate(
        self, data: TrainingData, settings: TrainingSettings, budget: Budget, progress: Callable[[float, str], None]
    ) -> Fitted:
        """Fit the surrogate of `cosolve.examples.cylinder.surrogate`."""
        return training.fit(self, data, settings, budget, progress)
