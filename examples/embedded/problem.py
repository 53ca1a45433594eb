"""A reactor that is dosed at two ports: nonlinear reaction-diffusion with doses that change in every step.

    u_t = div(d (1 + 4 u^2) grad u) + r u (1 - u) + sum_i q_i(t) g_i(x),   zero flux,

on the unit square, g_i a bump of width 0.15 at port i. Each run draws d, r, two initial bumps, and for each step two
doses: past states say nothing about the next dose, which is where extrapolation fails and a model that knows the doses
can help. u is a concentration relative to the carrying capacity; the unit of time is that of 1 / r.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
from cosolve.core.arrays import Array
from cosolve.core.communicator import Communicator
from cosolve.core.errors import BadInputError, NotConvergedError
from cosolve.core.problem import Problem
from cosolve.core.progress import Progress
from cosolve.core.query import Query
from cosolve.core.training import Budget, Fitted, TrainingSettings
from cosolve.core.training_data import TrainingData
from cosolve.core.trajectory import Trajectory
from cosolve.examples.embedded.options import EmbeddedOptions
from cosolve.plugins.numba_kernels.grid_series import GridSeries
from cosolve.plugins.numba_kernels.options import ReactionDiffusionOptions
from cosolve.plugins.numba_kernels.reaction_diffusion import ReactionDiffusion
from cosolve.plugins.reduced.pod_ridge import Inputs, PodRidge
from cosolve.plugins.reduced.transforms import Cosine

RTOL = 1e-4
"""The solver's tolerance: a step's algebra then errs by about 1e-5, a thousandth of what backward Euler errs by."""

NONLINEARITY = 4.0
PORTS = ((0.3, 0.35), (0.7, 0.6))
PORT_WIDTH = 0.15
DIFFUSIVITY, REACTION, DOSE = (0.02, 0.05), (0.5, 1.5), (0.0, 2.0)
HEIGHT, PLACE, WIDTH = (0.2, 0.8), (0.2, 0.8), (0.2, 0.3)

FIT: Mapping[str, Any] = {
    "modes_in": 26,
    "modes_out": 36,
    "leading": (22, 10, 8, 5),
    "ridge": 1e-10,
    "skip": 4,
    "stiffness": 0.02,
}
"""Chosen on the held-back runs; the first four steps of each run, in which its bumps fade, are left to the solver."""

ORDER = 12
STORED = 32
"""Training states are kept as their first 32 x 32 cosines, sampled on a grid of that size: 64 times less to store."""

# Unseen runs and training runs draw from families of seeds that do not meet.
_UNSEEN, _TRAINING = 7_000_003, 1_000_003


def draw(family: int, index: int, steps: int) -> dict[str, Any]:
    """Return the parameters of a run: numbers, and arrays of one entry (or row) for each bump or step."""
    rng = np.random.default_rng((family, index))
    return {
        "diffusivity": float(rng.uniform(*DIFFUSIVITY)),
        "reaction": float(rng.uniform(*REACTION)),
        "bump_heights": rng.uniform(*HEIGHT, 2),
        "bump_places": rng.uniform(*PLACE, (2, 2)),
        "bump_widths": rng.uniform(*WIDTH, 2),
        "doses": rng.uniform(*DOSE, (steps, len(PORTS))),
    }


def bump(x: Array, centre: float, width: float) -> Array:
    """Return a Gaussian with its nearest mirror images, so that its slope all but vanishes at both ends of [0, 1]."""
    images = (centre, -centre, 2.0 - centre)
    total: Array = np.sum([np.exp(-((x - image) ** 2) / (2.0 * width**2)) for image in images], axis=0)
    return total


class EmbeddedProblem(Problem):
    """The problem of this module for one drawing of its parameters.

    Args:
        options: Grid, steps and which unseen run.
        parameters: Parameters as `draw` returns them; None draws the unseen run of the options.
    """

    name: ClassVar[str] = "embedded"

    def __init__(self, options: EmbeddedOptions | None = None, parameters: Mapping[str, Any] | None = None) -> None:
        self.options = options or EmbeddedOptions()
        self.parameters = draw(_UNSEEN, self.options.run, self.options.steps) if parameters is None else parameters

    @property
    def time_span(self) -> tuple[float, float, float]:
        """Start, end and step."""
        return 0.0, self.options.steps * self.options.dt, self.options.dt

    def initial(self) -> Array:
        """Return the initial state, shape `(cells, cells)`."""
        x = self._centres()
        total = np.zeros((len(x), len(x)))
        bumps = (np.asarray(self.parameters[name]) for name in ("bump_heights", "bump_places", "bump_widths"))
        for height, (a, b), width in zip(*bumps, strict=True):
            total += height * np.outer(bump(x, a, width), bump(x, b, width))
        return total

    def make_solver(self, comm: Communicator, settings: Mapping[str, Any]) -> ReactionDiffusion:
        """Build the solver on one rank.

        Args:
            comm: A communicator of one rank.
            settings: `rtol`, `atol`, `max_iterations`; what is absent has this module's default.
        """
        x = self._centres()
        along = np.stack([bump(x, a, PORT_WIDTH) for a, _ in PORTS])
        across = np.stack([bump(x, b, PORT_WIDTH) for _, b in PORTS])
        doses, dt = np.asarray(self.parameters["doses"]), self.options.dt

        def source(t: float) -> Array:
            # A dose holds until the end of its step; just after its end would be the next one.
            row = min(max(int(np.ceil(t / dt - 1e-9)) - 1, 0), len(doses) - 1)
            dosed: Array = (along * doses[row][:, None]).T @ across
            return dosed

        return ReactionDiffusion(
            self.initial(),
            diffusivity=self.parameters["diffusivity"],
            nonlinearity=NONLINEARITY,
            reaction=self.parameters["reaction"],
            source=source,
            options=ReactionDiffusionOptions.model_validate(
                {"n": self.options.cells, "rtol": RTOL} | {k: v for k, v in settings.items() if v is not None}
            ),
            comm=comm,
        )

    def describe(self) -> Mapping[str, Any]:
        """Return what a model must match; the number of cells is free, since the modes are cosines."""
        return {
            "problem": self.name,
            "dtype": "float64",
            "parameters": sorted(self.parameters),
            "spaces": {"u": {"kind": "grid", "extent": [1.0, 1.0], "values": "cell", "cells": self.options.cells}},
            "units": {"u": "1", "diffusivity": "side^2/time", "reaction": "1/time", "doses": "1/time"},
        }

    def open_fields(self, solver: Any, directory: Path) -> GridSeries:
        """Open a time series for ParaView."""
        return GridSeries(directory / "fields", self.options.cells, ["u"])

    # Training data, see cosolve.core.training
    def data_key(self) -> Mapping[str, Any]:
        """Return what the runs depend on beside their parameters."""
        options = self.options
        return {
            "problem": self.name,
            "version": 1,
            "cells": options.cells,
            "steps": options.steps,
            "dt": options.dt,
            "rtol": 0.01 * RTOL,
        }

    def draw_training_run(self, seed: int, index: int) -> Mapping[str, Any]:
        """Return the parameters of training run `index`."""
        return draw(_TRAINING + seed, index, self.options.steps)

    def training_run(self, parameters: Mapping[str, Any]) -> Trajectory:
        """Run the solver with these parameters, a hundred times more accurately than the case."""
        # Imported here: only training needs a communicator of its own.
        from cosolve.core.communicator import SerialCommunicator

        problem = EmbeddedProblem(self.options, parameters)
        solver = problem.make_solver(SerialCommunicator(), {"rtol": 0.01 * RTOL})
        dt = self.options.dt
        times = dt * np.arange(self.options.steps + 1)
        states = [solver.initial_state()]
        for step, t in enumerate(times[:-1]):
            result = solver.step(Query(states[-1], float(t), dt, step=step))
            if not result.converged:
                raise NotConvergedError(f"a training run stopped in step {step}: {result.reason}", reason=result.reason)
            states.append(result.value)
        solver.close()
        cosines = Cosine(STORED)
        kept = [cosines.backward(cosines.forward(state), STORED**2) for state in states]
        return Trajectory(times, np.array(kept), dict(parameters))

    def fit_surrogate(
        self, data: TrainingData, settings: TrainingSettings, budget: Budget, progress: Progress
    ) -> Fitted:
        """Fit the reduced model and measure it by the solver's own residual on the held-back runs."""
        if settings.surrogate not in ("", PodRidge.name):
            raise BadInputError(
                f"training.surrogate: expected {PodRidge.name!r}, found {settings.surrogate!r}: the problem "
                "'embedded' is trained without torch"
            )
        progress(0.0, "fitting modes and weights")
        inputs = Inputs(("diffusivity", "reaction"), (("doses", len(PORTS)),), self.options.dt)
        surrogate = PodRidge(inputs, Cosine(ORDER), self.options.dt)
        figures = dict(surrogate.fit(data.training, **(dict(FIT) | settings.options)))
        progress(0.8, "judging the proposals on runs that were held back")
        for name, runs in (("validation", data.validation), ("test", data.test)):
            if runs:
                ratios = np.array([ratio for run in runs for ratio in self._ratios(surrogate, run)])
                figures[f"{name}_error"] = float(np.median(ratios)) * RTOL
                figures[f"{name}_accepted_share"] = float(np.mean(ratios <= 0.5))
        spaces = {"u": {"kind": "grid", "extent": [1.0, 1.0], "values": "cell"}}
        units = dict(self.describe()["units"])
        return Fitted(surrogate, PodRidge.name, figures, spaces, units, "float64")

    def _ratios(self, surrogate: PodRidge, run: Trajectory) -> list[float]:
        """Return residual over tolerance of the proposals for all steps of a run, each from the kept state."""
        # Imported here: only training needs a communicator of its own.
        from cosolve.core.communicator import SerialCommunicator

        problem = EmbeddedProblem(self.options, run.parameters)
        solver = problem.make_solver(SerialCommunicator(), {})
        ratios, cosines = [], Cosine(STORED)
        for step, (t, kept) in enumerate(zip(run.times[:-1], run.states[:-1], strict=True)):
            state = cosines.backward(cosines.forward(kept), solver.n_owned)
            query = Query(state, float(t), self.options.dt, step=step, parameters=run.parameters)
            ratios.append(solver.measure(query, surrogate.predict(query).value).ratio)
        solver.close()
        return ratios

    def _centres(self) -> Array:
        cells = self.options.cells
        centres: Array = (np.arange(cells) + 0.5) / cells
        return centres
