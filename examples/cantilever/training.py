"""How the cantilever's two surrogates are trained: paths of the load, and what the coarse mesh gets wrong.

A path costs some 30 Newton steps on the coarse mesh, but each of its points is a solution of a lighter load, and so a
sample, too. (Neighbours of these points by a few chord steps are cheaper still, but too inaccurate to be samples.) A
second surrogate learns what the coarse mesh does to a solution: it sees the prolonged one and adds the difference.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from cosolve.core.arrays import Array
from cosolve.core.errors import BadInputError
from cosolve.core.model_card import ModelCard
from cosolve.core.model_file import save_surrogate, versions
from cosolve.core.options import check
from cosolve.core.progress import Progress
from cosolve.core.query import Query
from cosolve.core.registry import Registry
from cosolve.core.training import TrainingReport, TrainingSettings
from cosolve.core.training_data import TrainingData
from cosolve.core.trajectory import Trajectory, fingerprint
from cosolve.examples.cantilever.options import draw
from cosolve.plugins.fenicsx import FormSolver, Prolongation
from cosolve.plugins.pytorch.basis_surrogate import BasisSurrogate
from cosolve.plugins.pytorch.basis_training import train_basis_surrogate
from cosolve.plugins.pytorch.options import BasisOptions
from mpi4py import MPI

if TYPE_CHECKING:
    from cosolve.examples.cantilever.problem import CantileverProblem

FAMILY = 1_000_003
"""Seed of the training beams, plus that of the settings; unseen beams come from smaller seeds."""

LIGHTEST = 0.15
"""Share of the load from which on a point of a path is a sample."""

NETWORK: dict[str, Any] = {
    "base": "mean",
    "modes": 30,
    "state_modes": 0,
    "time": False,
    "width": 128,
    "depth": 3,
    "weight_power": 0.7,
    "batch": 256,
    "learning_rate": 4e-3,
    "epochs": 400,
}
CORRECTION: dict[str, Any] = {
    "base": "previous",
    "modes": 25,
    "state_modes": 15,
    "time": False,
    "width": 64,
    "depth": 2,
    "weight_power": 0.5,
    "batch": 64,
    "learning_rate": 4e-3,
    "epochs": 400,
    "ridge": 1e-2,
}


@dataclass(frozen=True, slots=True)
class Sample:
    """A solution, or nearly one.

    Attributes:
        parameters: `modulus` and `traction`.
        before: What a correction sees; zeros where there is none.
        state: The solution, owned values.
    """

    parameters: dict[str, Array]
    before: Array
    state: Array

    def run(self) -> Trajectory:
        """Return the sample as a run of one step."""
        return Trajectory(np.array([0.0, 1.0]), np.array([self.before, self.state]), self.parameters)


def train(problem: CantileverProblem, settings: TrainingSettings, progress: Progress) -> TrainingReport:
    """Make the data, fit both surrogates, and write both model files (serial).

    The second file lies beside the first, with `_fine` in its name.

    Raises:
        BadInputError: Another surrogate or unknown options were asked for.
        OutputError: A file cannot be written.
    """
    if settings.surrogate not in ("", "pod_mlp"):
        raise BadInputError(f"training.surrogate: expected 'pod_mlp' for 'cantilever', found {settings.surrogate!r}")
    from cosolve.examples.cantilever.problem import COARSE, coarse_of, form_solver

    options = check(BasisOptions, NETWORK | settings.options, key="training.options", origins={}, source="the case")
    budget = 60.0 * settings.budget_minutes
    fine = form_solver(MPI.COMM_SELF, 2 * COARSE[0], 2 * COARSE[1], prefix="cantilever_data_fine_")
    coarse, prolong = coarse_of(fine, "cantilever_data_")
    begun = time.process_time()
    held_back = max(round(settings.validation_share * settings.runs), 1)
    paths = follow_paths(coarse, settings.seed, settings.runs, settings.data_share * budget, progress)
    training = [sample for path in paths[held_back:] for sample in path]
    ends = [path[-1] for path in paths]
    data = TrainingData(tuple(sample.run() for sample in training), tuple(sample.run() for sample in ends[:held_back]))
    data_seconds = time.process_time() - begun
    progress(0.4, f"{len(paths)} paths, {len(training)} points in {data_seconds:.0f} CPU s")
    begun = time.process_time()
    network, figures = train_basis_surrogate(
        data,
        coarse.coordinates(),
        options,
        seed=settings.seed,
        seconds=max(0.8 * (budget - data_seconds), 5.0),
        progress=lambda share, text: progress(0.4 + 0.4 * share, text),
    )
    fit_seconds = time.process_time() - begun
    begun = time.process_time()
    errors = [sample.run() for sample in discretisation_errors(coarse, fine, prolong, ends)]
    error_seconds = time.process_time() - begun
    begun = time.process_time()
    pairs = TrainingData(tuple(errors[held_back:]), tuple(errors[:held_back]))
    correction, corrected = train_basis_surrogate(
        pairs,
        fine.coordinates(),
        BasisOptions(**CORRECTION),
        seed=settings.seed,
        progress=lambda share, text: progress(0.8 + 0.2 * share, text),
    )
    correction_seconds = time.process_time() - begun
    output = settings.output_for(problem.name)
    card = _write(problem, output, network, data, settings, (data_seconds, fit_seconds), figures)
    beside = output.with_name(f"{output.stem}_fine{output.suffix}")
    _write(problem, beside, correction, pairs, settings, (error_seconds, correction_seconds), corrected)
    for solver in (coarse, fine):
        solver.close()
    return TrainingReport(
        output,
        card,
        {"training": len(data.training), "validation": len(data.validation), "test": 0},
        notes={"correction": str(beside), "correction_seconds": error_seconds + correction_seconds, **corrected},
    )


def follow_paths(coarse: FormSolver, seed: int, count: int, seconds: float, progress: Progress) -> list[list[Sample]]:
    """Return the points of `count` paths of the load, fewer where `seconds` are over; lightest loads left out."""
    from cosolve.examples.cantilever.problem import grown

    stepping = Registry.discover().load("solver", "load_stepping", where="training")(coarse, grown, loose=1e4)
    begun = time.process_time()
    paths: list[list[Sample]] = []
    for index in range(count):
        if time.process_time() - begun > seconds:
            break
        parameters = draw(FAMILY + seed, index)
        points: list[Sample] = []

        def visit(share: float, state: Array, parameters: Any = parameters, points: Any = points) -> None:
            if share >= LIGHTEST:
                lighter = {"modulus": parameters["modulus"], "traction": share * parameters["traction"]}
                points.append(Sample(lighter, np.zeros_like(state), state))

        query = Query(coarse.initial_state(), parameters=parameters, transaction="solve")
        if stepping.follow(query, visit).converged:
            paths.append(points)
        if index % 20 == 19:
            progress(0.35 * index / count, f"path {index + 1} of {count}")
    return paths


def discretisation_errors(
    coarse: FormSolver, fine: FormSolver, prolong: Prolongation, samples: Sequence[Sample]
) -> list[Sample]:
    """Return coarse solutions, prolonged, beside the fine ones."""
    found = []
    for sample in samples:
        query = Query(fine.initial_state(), parameters=sample.parameters, transaction="solve")
        start = prolong(sample.state)
        solved = fine.correct(query, start, 20)
        if solved.converged:
            found.append(Sample(sample.parameters, start, solved.value))
    return found


def _write(
    problem: CantileverProblem,
    path: Any,
    surrogate: BasisSurrogate,
    data: TrainingData,
    settings: TrainingSettings,
    seconds: tuple[float, float],
    figures: dict[str, float],
) -> ModelCard:
    description = problem.describe()
    return save_surrogate(
        path,
        surrogate,
        ModelCard(
            surrogate=surrogate.name,
            problem=problem.name,
            spaces=dict(description["spaces"]),
            units=dict(description["units"]),
            parameters=("modulus", "traction"),
            envelope=data.envelope(),
            seed=settings.seed,
            versions=versions("torch", "scipy", "safetensors"),
            cost_data_seconds=seconds[0],
            cost_training_seconds=seconds[1],
            data_sha256=fingerprint([*data.training, *data.validation]),
            figures=figures,
            made_by="cosolve train examples/cantilever/case.toml",
        ),
    )
