"""Training of surrogates: what a problem offers, the budget that is kept, the report that is left behind.

`cosolve train case.toml` calls `train`. A problem is trainable in one of two ways:

* it offers `train(settings, progress) -> TrainingReport` and does all by itself (`Trainable`), or
* it offers the four methods of `TrajectoryTrainable`, and `train_on_trajectories` draws the runs, keeps them on disk,
  splits them by whole trajectories, charges their cost and writes the model file with its card.

Nothing here imports torch: which library a surrogate is trained with is the problem's choice.
"""

from __future__ import annotations

import json
import time
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Protocol, runtime_checkable

from cosolve.core.errors import BadInputError, OutputError
from cosolve.core.model_card import ModelCard
from cosolve.core.options import Options
from cosolve.core.progress import Progress
from cosolve.core.surrogate import StoredSurrogate
from cosolve.core.training_data import TrainingData, generate, rejected_steps, split
from cosolve.core.trajectory import Trajectory, fingerprint
from pydantic import Field


class TrainingSettings(Options):
    """The `[training]` table of a case.

    Attributes:
        output: The model file; empty for `runs/models/<problem>.safetensors`.
        data: Folder that keeps the training runs, so that an interrupted training goes on where it was; empty for
            `runs/training-data/<problem>`.
        runs: Number of training runs, validation included.
        validation_share: Share of whole runs that are held back to stop the training early.
        test_share: Share of whole runs that are only measured on.
        budget_minutes: CPU minutes for data and training together; runs that are read from `data` are charged, too.
        data_share: Largest share of the budget that the data may take.
        seed: Seed of drawing, splitting and fitting.
        from_ledger: Folder of a run whose rejected proposals become further training steps; empty for none.
        surrogate: Registered name of what to train; empty for the problem's own choice.
        options: Options of that surrogate and of its fit, checked by the problem.
    """

    output: str = ""
    data: str = ""
    runs: int = Field(default=16, ge=2)
    validation_share: float = Field(default=0.2, gt=0.0, lt=1.0)
    test_share: float = Field(default=0.0, ge=0.0, lt=1.0)
    budget_minutes: float = Field(default=15.0, gt=0.0)
    data_share: float = Field(default=0.7, gt=0.0, lt=1.0)
    seed: int = Field(default=0, ge=0)
    from_ledger: str = ""
    surrogate: str = ""
    options: dict[str, Any] = Field(default_factory=dict)

    def output_for(self, problem: str) -> Path:
        """Return the model file, by default named after the problem."""
        return Path(self.output or f"runs/models/{problem}.safetensors")

    def data_for(self, problem: str) -> Path:
        """Return the folder of training runs, by default named after the problem."""
        return Path(self.data or f"runs/training-data/{problem}")


class Budget:
    """CPU seconds that training may take, on the clock of this process and all its threads.

    Args:
        seconds: What may be spent.
        spent: What was spent already, by runs that were read from disk for instance.
    """

    def __init__(self, seconds: float, spent: float = 0.0) -> None:
        self.seconds = seconds
        self._charged = spent
        self._start = time.process_time()

    def charge(self, seconds: float) -> None:
        """Charge what was spent elsewhere."""
        self._charged += seconds

    @property
    def spent(self) -> float:
        """CPU seconds spent so far."""
        return self._charged + time.process_time() - self._start

    @property
    def left(self) -> float:
        """CPU seconds left; negative when the budget is overdrawn."""
        return self.seconds - self.spent


@dataclass(frozen=True, slots=True)
class Fitted:
    """What a problem's fit returns.

    Attributes:
        surrogate: The trained surrogate.
        registered_name: The name under which the registry finds its class.
        figures: Figures of merit on the held-back runs, `validation_error` at least.
        spaces: What a problem must have to use it, for `ModelCard.spaces`.
        units: Unit of each field and parameter by name.
        dtype: Precision of the states it proposes.
    """

    surrogate: StoredSurrogate
    registered_name: str
    figures: Mapping[str, float] = field(default_factory=dict)
    spaces: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    units: Mapping[str, str] = field(default_factory=dict)
    dtype: str = "float64"


@dataclass(frozen=True, slots=True)
class TrainingReport:
    """What a training leaves behind.

    Attributes:
        path: The model file.
        card: Its card, with costs and figures.
        runs: Runs in training, validation and test.
        reused: Runs that were read from disk.
        notes: Further small values (JSON-serialisable).
    """

    path: Path
    card: ModelCard
    runs: Mapping[str, int] = field(default_factory=dict)
    reused: int = 0
    notes: Mapping[str, Any] = field(default_factory=dict)

    def as_dict(self) -> dict[str, Any]:
        """Return the report as plain values."""
        card = self.card
        return {
            "model": str(self.path),
            "model_bytes": self.path.stat().st_size,
            "surrogate": card.surrogate,
            "problem": card.problem,
            "seed": card.seed,
            "runs": dict(self.runs),
            "reused_runs": self.reused,
            "cost_data_seconds": card.cost_data_seconds,
            "cost_training_seconds": card.cost_training_seconds,
            "envelope": {name: list(bounds) for name, bounds in card.envelope.items()},
            "figures": dict(card.figures),
            "data_sha256": card.data_sha256,
            "versions": dict(card.versions),
            "notes": dict(self.notes),
        }

    def as_text(self) -> str:
        """Return the report for a reader."""
        card = self.card
        runs = ", ".join(f"{count} {name}" for name, count in self.runs.items()) or "not stated"
        lines = [
            f"model        {self.path} ({self.path.stat().st_size / 1024:.0f} KiB)",
            f"surrogate    {card.surrogate} for {card.problem or 'any problem of its spaces'}, seed {card.seed}",
            f"runs         {runs} ({self.reused} read from disk)",
            f"data         {card.cost_data_seconds:.1f} CPU s",
            f"training     {card.cost_training_seconds:.1f} CPU s",
            *(f"envelope     {name} in [{low:.6g}, {high:.6g}]" for name, (low, high) in card.envelope.items()),
            *(f"figure       {name} = {value:.6g}" for name, value in card.figures.items()),
        ]
        return "\n".join(lines) + "\n"

    def write(self) -> list[Path]:
        """Write the report beside the model file as `.json` and `.txt`; return both paths.

        Raises:
            OutputError: The folder cannot be written.
        """
        written = []
        for suffix, text in ((".json", json.dumps(self.as_dict(), indent=2) + "\n"), (".txt", self.as_text())):
            path = self.path.with_suffix(suffix)
            try:
                path.write_text(text)
            except OSError as error:
                raise OutputError(f"the training report {path} cannot be written: {error}") from error
            written.append(path)
        return written


@runtime_checkable
class Trainable(Protocol):
    """A problem that trains by itself."""

    def train(self, settings: TrainingSettings, progress: Progress) -> TrainingReport:
        """Make the data, fit, write the model file with its card, and return the report (not collective)."""


@runtime_checkable
class TrajectoryTrainable(Protocol):
    """A problem that is trained on runs; `train_on_trajectories` does the rest."""

    name: str

    def data_key(self) -> Mapping[str, Any]:
        """Return what the runs depend on beside their parameters: mesh, steps, tolerances (JSON-serialisable).

        Runs on disk are used again only where this and the parameters are the same.
        """

    def draw_training_run(self, seed: int, index: int) -> Mapping[str, Any]:
        """Return the parameters of run `index`; must depend on `seed` and `index` only."""

    def training_run(self, parameters: Mapping[str, Any]) -> Trajectory:
        """Run the classical solver with these parameters and return its states (not collective)."""

    def fit_surrogate(
        self, data: TrainingData, settings: TrainingSettings, budget: Budget, progress: Progress
    ) -> Fitted:
        """Fit on `data.training`, stop early by `data.validation`, keep to `budget.left` seconds."""


def train(problem: Any, settings: TrainingSettings, progress: Progress, *, made_by: str = "") -> TrainingReport:
    """Train the surrogate of `problem`, write its model file and its report (not collective).

    Args:
        problem: A `Trainable` or a `TrajectoryTrainable`.
        settings: The `[training]` table.
        progress: Told what happens.
        made_by: The command that makes the file again, for the card.

    Raises:
        BadInputError: The problem cannot be trained, or the data do not fit the budget.
        OutputError: Model or report cannot be written.
    """
    if isinstance(problem, Trainable):
        report = problem.train(settings, progress)
    elif isinstance(problem, TrajectoryTrainable):
        report = train_on_trajectories(problem, settings, progress, made_by=made_by)
    else:
        raise BadInputError(
            f"problem {getattr(problem, 'name', type(problem).__name__)!r} cannot be trained: it offers neither "
            "`train` nor `draw_training_run`, `training_run`, `data_key` and `fit_surrogate` (cosolve.core.training)."
        )
    report.write()
    progress(1.0, f"wrote {report.path}")
    return report


def train_on_trajectories(
    problem: TrajectoryTrainable, settings: TrainingSettings, progress: Progress, *, made_by: str = ""
) -> TrainingReport:
    """Draw the runs, keep them on disk, split them, fit, and write the model file (not collective)."""
    # Imported here: `cosolve --help` reads the settings above, and writing files needs safetensors and numpy.
    from cosolve.core.model_file import save_surrogate, versions

    # An unwritable output must be found before minutes of work, not after.
    output = settings.output_for(problem.name)
    _check_writable(output)
    budget = Budget(60.0 * settings.budget_minutes)
    runs = generate(problem, settings, budget, lambda share, text: progress(settings.data_share * share, text))
    data = split([run.trajectory for run in runs], settings.validation_share, settings.test_share, settings.seed)
    rejected = rejected_steps(Path(settings.from_ledger), data.training[0]) if settings.from_ledger else ()
    # For training alone: the held-back runs stay what they were, so that figures compare with and without.
    data = replace(data, training=(*data.training, *rejected))
    before = time.process_time()
    fitted = problem.fit_surrogate(
        data,
        settings,
        budget,
        lambda share, text: progress(settings.data_share + (1.0 - settings.data_share) * share, text),
    )
    card = save_surrogate(
        output,
        fitted.surrogate,
        ModelCard(
            surrogate=fitted.registered_name,
            problem=problem.name,
            spaces={name: dict(space) for name, space in fitted.spaces.items()},
            units=dict(fitted.units),
            parameters=tuple(data.envelope()),
            dtype="float32" if fitted.dtype == "float32" else "float64",
            envelope=data.envelope(),
            seed=settings.seed,
            versions=versions("torch", "scipy", "safetensors"),
            cost_data_seconds=sum(run.cost_seconds for run in runs),
            cost_training_seconds=time.process_time() - before,
            data_sha256=fingerprint([*data.training, *data.validation, *data.test]),
            figures=dict(fitted.figures),
            made_by=made_by,
        ),
    )
    return TrainingReport(
        path=output,
        card=card,
        runs={
            "training": len(data.training) - len(rejected),
            "validation": len(data.validation),
            "test": len(data.test),
            **({"rejected steps": len(rejected)} if rejected else {}),
        },
        reused=sum(run.reused for run in runs),
        notes={"budget_seconds": budget.seconds, "spent_seconds": budget.spent},
    )


def _check_writable(path: Path) -> None:
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        probe = path.parent / f".{path.name}.probe"
        probe.write_bytes(b"")
        probe.unlink()
    except OSError as error:
        raise OutputError(
            f"the model file {path} cannot be written: {error}. Give another with `--output FILE`."
        ) from error
