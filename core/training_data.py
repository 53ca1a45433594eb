"""Training runs: made once, kept on disk by the hash of their parameters, split by whole runs."""

from __future__ import annotations

import hashlib
import json
import math
import os
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from cosolve.core.errors import BadInputError, OutputError
from cosolve.core.rejected import read_rejected
from cosolve.core.trajectory import Trajectory
from safetensors import SafetensorError, safe_open
from safetensors.numpy import save_file

if TYPE_CHECKING:
    from cosolve.core.training import Budget, TrainingSettings, TrajectoryTrainable

_FORMAT = 1
_META = "cosolve_run"


@dataclass(frozen=True, slots=True)
class StoredRun:
    """One run with what it cost.

    Attributes:
        trajectory: Times, states and parameters.
        cost_seconds: CPU seconds that the run took when it was made.
        reused: Whether it was read from disk.
    """

    trajectory: Trajectory
    cost_seconds: float
    reused: bool


@dataclass(frozen=True, slots=True)
class TrainingData:
    """Runs, split as wholes: states of one run never lie on both sides.

    Attributes:
        training: What the fit sees.
        validation: What stops the fit early and chooses among fits.
        test: What is only measured on; may be empty.
    """

    training: tuple[Trajectory, ...]
    validation: tuple[Trajectory, ...]
    test: tuple[Trajectory, ...] = ()

    def envelope(self) -> dict[str, tuple[float, float]]:
        """Return the lowest and highest value of each parameter over the training runs (over all entries of arrays)."""
        bounds: dict[str, tuple[float, float]] = {}
        for run in self.training:
            for name, value in run.parameters.items():
                values = np.asarray(value, dtype=np.float64)
                low, high = bounds.get(name, (math.inf, -math.inf))
                bounds[name] = (min(low, float(values.min())), max(high, float(values.max())))
        return bounds


def split(runs: Sequence[Trajectory], validation_share: float, test_share: float, seed: int) -> TrainingData:
    """Split by whole runs, at random by `seed`; at least one run trains and at least one validates.

    Raises:
        BadInputError: There are too few runs for the shares.
    """
    order = np.random.default_rng([seed, 0x5EED]).permutation(len(runs))
    n_validation = max(1, round(validation_share * len(runs)))
    n_test = math.ceil(test_share * len(runs)) if test_share > 0.0 else 0
    if len(runs) - n_validation - n_test < 1:
        raise BadInputError(
            f"{len(runs)} runs cannot be split into training, {n_validation} for validation and {n_test} for test; "
            "make more runs (`runs` in [training]) or give a larger `budget_minutes`"
        )
    shuffled = [runs[int(index)] for index in order]
    held_back = n_validation + n_test
    return TrainingData(
        training=tuple(shuffled[held_back:]),
        validation=tuple(shuffled[:n_validation]),
        test=tuple(shuffled[n_validation:held_back]),
    )


def run_key(data_key: Mapping[str, Any], parameters: Mapping[str, Any]) -> str:
    """Return the hash that names a run: of what the runs depend on, and of its parameters.

    >>> run_key({}, {"k": 1.0}) == run_key({}, {"k": 1.0}), run_key({}, {"k": 1.0}) == run_key({"n": 8}, {"k": 1.0})
    (True, False)
    """
    plain = {"format": _FORMAT, "problem": data_key, "parameters": parameters}
    return hashlib.sha256(json.dumps(plain, sort_keys=True, default=_plain).encode()).hexdigest()[:24]


def _plain(value: Any) -> Any:
    if isinstance(value, np.ndarray | np.generic):
        return value.tolist()
    raise TypeError(f"{type(value).__name__} is not a number, text, list or array")


def generate(
    problem: TrajectoryTrainable,
    settings: TrainingSettings,
    budget: Budget,
    progress: Callable[[float, str], None],
) -> list[StoredRun]:
    """Return the training runs, made or read from disk, in the order of their drawing (not collective).

    Each run is written as it is made, so that an interrupted training goes on where it was; runs with the same
    parameters are made once. Runs that are read are charged what they cost, so that the outcome does not depend on
    interruptions. No new run starts where the longest so far would overdraw the share of the budget for data.

    Raises:
        BadInputError: Fewer than two runs fit the budget.
        OutputError: The folder cannot be written.
    """
    folder = settings.data_for(problem.name)
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise OutputError(f"the folder of training runs {folder} cannot be made: {error}") from error
    allowed = settings.data_share * budget.seconds
    data_key = problem.data_key()
    runs: dict[str, StoredRun] = {}
    for index in range(settings.runs):
        longest = max((run.cost_seconds for run in runs.values()), default=0.0)
        if budget.spent + longest > allowed:
            progress(1.0, f"{len(runs)} of {settings.runs} runs fit {allowed:.0f} CPU s")
            break
        parameters = problem.draw_training_run(settings.seed, index)
        key = run_key(data_key, parameters)
        if key in runs:
            continue
        path = folder / f"run-{key}.safetensors"
        run = read_run(path)
        if run is None:
            start = time.process_time()
            trajectory = problem.training_run(parameters)
            run = StoredRun(trajectory, time.process_time() - start, reused=False)
            write_run(path, run)
        else:
            budget.charge(run.cost_seconds)
        runs[key] = run
        progress((index + 1) / settings.runs, f"run {index + 1} of {settings.runs}, {run.cost_seconds:.1f} CPU s")
    if len(runs) < 2:
        raise BadInputError(
            f"only {len(runs)} training runs fit {allowed:.0f} CPU s, at least 2 are needed; "
            "give a larger `budget_minutes` or shorter runs"
        )
    return list(runs.values())


def rejected_steps(run: Path, like: Trajectory) -> tuple[Trajectory, ...]:
    """Return the steps in which a run on one rank rejected a proposal: from the state to the solver's answer.

    Args:
        run: Output folder of the run.
        like: A training run of the same problem: says the number of values and the names of the parameters.

    Raises:
        BadInputError: There are no rejected proposals, they are those of several ranks, or they belong to another
            problem; says what to do.
    """
    folder = run / "rejected"
    if not run.is_dir() or not any(folder.glob("batch-*.safetensors")):
        raise BadInputError(
            f"training.from_ledger: expected the folder of a run with rejected proposals, found none in {folder}; give "
            "the folder of another run, or raise its output.rejected_limit."
        )
    if any(not path.name.endswith(".rank-0000.safetensors") for path in folder.glob("batch-*.safetensors")):
        raise BadInputError(
            f"training.from_ledger: the run {run} was made on several ranks, each of which kept its own values; "
            "expected a run on one rank: repeat it without mpirun."
        )
    found: list[Trajectory] = []
    width = like.states.shape[1]
    try:
        for sample, arrays in read_rejected(folder):
            state, answer, parameters = arrays["state"], arrays["answer"], dict(sample["parameters"])
            missing = sorted(set(like.parameters) - set(parameters))
            if state.shape != (width,) or missing:
                why = f"lacks the parameters {', '.join(missing)}" if missing else f"has {state.size} values"
                raise BadInputError(
                    f"training.from_ledger: step {sample['step']} of {run} {why}, expected {width} values and the "
                    f"parameters {', '.join(sorted(like.parameters)) or 'none'}; give a run of this very problem."
                )
            if sample["dt"] > 0.0:
                times = np.array([sample["t"], sample["t"] + sample["dt"]])
                found.append(Trajectory(times, np.stack([state, answer]), parameters))
    except (SafetensorError, OSError, KeyError, ValueError) as error:
        raise BadInputError(f"training.from_ledger: {folder} cannot be read ({error}); give another run.") from error
    if not found:
        raise BadInputError(f"training.from_ledger: {run} has rejected steady solves only, and steps are needed.")
    return tuple(found)


def write_run(path: Path, run: StoredRun) -> None:
    """Write a run atomically: it appears only when it is complete.

    Raises:
        OutputError: The file cannot be written.
    """
    trajectory = run.trajectory
    meta = {"parameters": dict(trajectory.parameters), "cost_seconds": run.cost_seconds}
    tensors = {
        "times": np.ascontiguousarray(trajectory.times),
        "states": np.ascontiguousarray(trajectory.states),
    }
    if trajectory.kicks is not None:
        tensors["kicks"] = np.ascontiguousarray(trajectory.kicks)
    temporary = ""
    try:
        handle, temporary = tempfile.mkstemp(prefix=".run-", dir=path.parent)
        os.close(handle)
        save_file(tensors, temporary, metadata={_META: json.dumps(meta, default=_plain)})
        os.replace(temporary, path)
    except (OSError, SafetensorError) as error:
        if temporary:
            Path(temporary).unlink(missing_ok=True)
        raise OutputError(f"the training run {path} cannot be written: {error}") from error


def read_run(path: Path) -> StoredRun | None:
    """Return the run of a file, or None where there is none or it is damaged: it is made again then."""
    if not path.is_file():
        return None
    try:
        with safe_open(path, framework="numpy") as file:
            meta = json.loads(file.metadata()[_META])
            times, states = file.get_tensor("times"), file.get_tensor("states")
            kicks = file.get_tensor("kicks") if "kicks" in file.keys() else None  # noqa: SIM118  # it is no mapping
        parameters = {
            name: np.asarray(value) if isinstance(value, list) else value for name, value in meta["parameters"].items()
        }
        return StoredRun(Trajectory(times, states, parameters, kicks), float(meta["cost_seconds"]), reused=True)
    except (SafetensorError, OSError, KeyError, TypeError, ValueError, AttributeError, BadInputError):
        return None
