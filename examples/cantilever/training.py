"""How the cantilever's two surrogates are trained: paths of the load, and what the coarse mesh gets wrong.

A path costs some 30 Newton steps on the coarse mesh, but each of its points is a solution of a lighter load, and so a
sample, too. What a sample is worth grows many times over by its derivatives along all 18 parameters: they share one
factorisation and cost less than two Newton steps. A second surrogate learns, in the same way, what the coarse mesh does
to a solution: it sees the prolonged one and adds the difference.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
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
from cosolve.examples.cantilever.options import LOADS, MODES, STRENGTH, draw
from cosolve.plugins.fenicsx import FormSolver, Prolongation
from cosolve.plugins.fenicsx.sensitivities import sensitivities
from cosolve.plugins.pytorch.basis_surrogate import BasisSurrogate
from cosolve.plugins.pytorch.basis_training import train_basis_surrogate
from cosolve.plugins.pytorch.options import BasisOptions
from cosolve.plugins.pytorch.tangents import Tangents
from mpi4py import MPI

if TYPE_CHECKING:
    from cosolve.examples.cantilever.problem import CantileverProblem

FAMILY = 1_000_003
"""Seed of the training beams, plus that of the settings; unseen beams come from smaller seeds."""

LIGHTEST = 0.15
"""Share of the load from which on a point of a path is a sample."""

PATH: dict[str, Any] = {
    "first_step": 0.1,
    "order": 2,
    "growth": 2.0,
    "corrector_iterations": 4,
    "easy_iterations": 2,
    "loose": 1e5,
}
"""Steps along a path of the load. A tighter tolerance on the way would buy nothing: samples need no more."""

NETWORK: dict[str, Any] = {
    "base": "mean",
    "modes": 30,
    "state_modes": 0,
    "time": False,
    "width": 128,
    "depth": 3,
    "weight_power": 0.7,
    "batch": 128,
    "learning_rate": 3e-3,
    "schedule": "cosine",
    "single": True,
    "epochs": 160,
}
CORRECTION: dict[str, Any] = {
    "base": "previous",
    "modes": 40,
    "state_modes": 15,
    "time": False,
    "width": 64,
    "depth": 2,
    "weight_power": 0.5,
    "batch": 64,
    "learning_rate": 3e-3,
    "schedule": "cosine",
    "single": True,
    "epochs": 500,
    "ridge": 1e-2,
}
DIRECTIONS: dict[str, Array] = {
    "modulus": np.concatenate([np.eye(len(MODES)), np.zeros((LOADS, len(MODES)))]),
    "traction": np.concatenate([np.zeros((len(MODES), LOADS)), np.diag(STRENGTH)]),
}
"""Directions of the derivatives: each parameter by its standard deviation."""


@dataclass(frozen=True, slots=True)
class Sample:
    """A solution, or nearly one.

    Attributes:
        parameters: `modulus` and `traction`.
        before: What a correction sees; zeros where there is none.
        state: The solution, owned values.
        tangents: Derivatives along `DIRECTIONS`; None where they were not computed.
    """

    parameters: dict[str, Array]
    before: Array
    state: Array
    tangents: Tangents | None = None

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
    # With old Jacobians no step of a path looks easy.
    coarse.newton.reuse_jacobian = False
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
        tangents=[sample.tangents for sample in training if sample.tangents is not None],
        seed=settings.seed,
        seconds=max(0.8 * (budget - data_seconds), 5.0),
        progress=lambda share, text: progress(0.4 + 0.4 * share, text),
    )
    fit_seconds = time.process_time() - begun
    begun = time.process_time()
    errors = discretisation_errors(fine, prolong, ends)
    error_seconds = time.process_time() - begun
    begun = time.process_time()
    runs = [sample.run() for sample in errors]
    pairs = TrainingData(tuple(runs[held_back:]), tuple(runs[:held_back]))
    correction, corrected = train_basis_surrogate(
        pairs,
        fine.coordinates(),
        BasisOptions(**CORRECTION),
        tangents=[sample.tangents for sample in errors[held_back:] if sample.tangents is not None],
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


def follow_paths(
    coarse: FormSolver, seed: int, count: int, seconds: float, progress: Progress, *, slopes: bool = True
) -> list[list[Sample]]:
    """Return the points of `count` paths of the load, fewer where `seconds` are over; lightest loads left out.

    Args:
        coarse: Newton's method on the coarse mesh.
        seed: Of the family of beams, less `FAMILY`.
        count: Number of paths.
        seconds: CPU seconds after which no path is begun.
        progress: Told what is done.
        slopes: Whether the points have their derivatives.
    """
    from cosolve.examples.cantilever.problem import grown

    stepping = Registry.discover().load("solver", "load_stepping", where="training")(coarse, grown, **PATH)
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
            paths.append([with_slopes(coarse, point) for point in points] if slopes else points)
        if index % 20 == 19:
            progress(0.35 * index / count, f"path {index + 1} of {count}")
    return paths


def with_slopes(solver: FormSolver, sample: Sample, before: Array | None = None) -> Sample:
    """Return the sample with its derivatives; `before` are those of what a correction sees, zeros by default."""
    query = Query(solver.initial_state(), parameters=sample.parameters, transaction="solve")
    rows = [{name: array[k] for name, array in DIRECTIONS.items()} for k in range(len(MODES) + LOADS)]
    slopes = sensitivities(solver, query, sample.state, rows)
    return replace(sample, tangents=Tangents(DIRECTIONS, np.zeros_like(slopes) if before is None else before, slopes))


def discretisation_errors(fine: FormSolver, prolong: Prolongation, samples: Sequence[Sample]) -> list[Sample]:
    """Return coarse solutions, prolonged, beside the fine ones, with derivatives of both where they were known."""
    found = []
    for sample in samples:
        query = Query(fine.initial_state(), parameters=sample.parameters, transaction="solve")
        start = prolong(sample.state)
        solved = fine.correct(query, start, 20)
        if solved.converged:
            pair = Sample(sample.parameters, start, solved.value)
            if sample.tangents is not None:
                pair = with_slopes(fine, pair, np.array([prolong(row) for row in sample.tangents.after]))
            found.append(pair)
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
