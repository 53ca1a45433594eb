"""Training of `BasisSurrogate` on runs: bases by POD, coefficients by a linear fit and small networks."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import torch
from cosolve.core.arrays import Array
from cosolve.core.errors import BadInputError
from cosolve.core.query import Query, Snapshot
from cosolve.core.training_data import TrainingData
from cosolve.core.trajectory import Trajectory
from cosolve.plugins.pytorch.basis import Basis, Trunk, TrunkBasis, basis_on, pod
from cosolve.plugins.pytorch.basis_surrogate import BasisSurrogate
from cosolve.plugins.pytorch.coefficient_network import CoefficientNetwork
from cosolve.plugins.pytorch.extrapolation import BASES, extrapolated
from cosolve.plugins.pytorch.features import FeatureMap
from cosolve.plugins.pytorch.fit import FitSettings, fit_network
from cosolve.plugins.pytorch.options import BasisOptions
from cosolve.plugins.pytorch.placement import limit_threads

Float64 = npt.NDArray[np.float64]
_MOST_SNAPSHOTS = 800


@dataclass(frozen=True, slots=True)
class _Steps:
    """All steps of some runs.

    Attributes:
        features: Shape `(n_steps, n_features)`.
        rest: What is to be added to the base, shape `(n_steps, n)`.
    """

    features: Float64
    rest: Float64


def train_basis_surrogate(
    data: TrainingData,
    coordinates: Array,
    options: BasisOptions,
    *,
    seed: int = 0,
    seconds: float = float("inf"),
    progress: Callable[[float, str], None] | None = None,
) -> tuple[BasisSurrogate, dict[str, float]]:
    """Train a basis x network surrogate (not collective).

    Args:
        data: Training and validation runs; their states follow `coordinates`.
        coordinates: Where the values of the states live, shape `(n, d)`; see `Solver.coordinates`.
        options: Sizes, features and the fit.
        seed: Of the networks' first weights and of the order of the samples.
        seconds: CPU seconds that the fit may take.
        progress: Told what is done.

    Returns:
        The surrogate, placed at `coordinates`, and figures: relative errors of one step on validation runs, as
        median and 95 % quantile, for the surrogate and for its base alone, and the share of the rest's squares
        that the basis cannot hold.
    """
    limit_threads()
    states = np.concatenate([run.states for run in data.training])
    if states.shape[1] != len(coordinates):
        raise BadInputError(
            f"the runs have states of {states.shape[1]} values, but {len(coordinates)} coordinates are given"
        )
    mean = states.mean(axis=0, dtype=np.float64)
    features = FeatureMap.for_parameters(
        data.training[0].parameters,
        time=options.time,
        decays=options.decays,
        frequencies=options.frequencies,
        state_modes=options.state_modes,
        history_modes=options.history_modes,
    )
    seen = max(options.state_modes, options.history_modes)
    state_basis = pod(_thinned(states - mean), seen)[0] if seen else np.zeros((0, states.shape[1]))
    if len(state_basis) < seen:
        raise BadInputError(
            f"the runs span {len(state_basis)} state modes, {seen} were asked for; make more runs or ask for fewer"
        )
    # What a file holds in single precision must be what is trained with.
    functions = np.concatenate([mean[None], state_basis]).astype(np.float32)
    order = max(BASES.index(options.base) - 1, 0)
    training = _steps(data.training, features, functions.astype(np.float64), options.base, order)
    validation = _steps(data.validation, features, functions.astype(np.float64), options.base, order)
    modes, singular, _ = pod(_thinned(training.rest), options.modes)
    if not len(modes):
        raise BadInputError("the base alone reproduces every training run: there is nothing for a network to learn")
    functions = np.concatenate([functions, modes.astype(np.float32)])
    modes = functions[1 + seen :].astype(np.float64)

    torch.manual_seed(seed)
    basis = basis_on(coordinates, functions)
    if options.basis == "trunk":
        basis = _as_trunk(coordinates, functions, options, seed, 0.5 * seconds)
        seconds *= 0.5
        functions = basis.at(coordinates)
        # The trunk's functions are neither those of the POD nor orthonormal: see and answer in their terms.
        training = _steps(data.training, features, functions[: 1 + seen], options.base, order)
        validation = _steps(data.validation, features, functions[: 1 + seen], options.base, order)
        modes = functions[1 + seen :]
    projector = np.linalg.pinv(modes @ modes.T, rcond=1e-12, hermitian=True) @ modes
    network = CoefficientNetwork(features.size, len(modes), options.width, options.depth, options.ensemble)
    tensors = [torch.from_numpy(np.ascontiguousarray(a)) for a in (training.features, training.rest @ projector.T)]
    unseen = [torch.from_numpy(np.ascontiguousarray(a)) for a in (validation.features, validation.rest @ projector.T)]
    network.fit_linear(tensors[0], tensors[1], options.ridge)
    scale = network.outputs.scale
    importance = (scale / scale.max()) ** options.weight_power / scale

    def loss(output: torch.Tensor, target: torch.Tensor) -> torch.Tensor:
        squares: torch.Tensor = ((output - target) * importance) ** 2
        return squares.mean()

    epochs = 0
    for member, single in enumerate(network.networks):
        # Each member learns alone, so that their spread tells something.
        def answer(inputs: torch.Tensor, single: torch.nn.Module = single) -> torch.Tensor:
            standard = network.inputs(inputs)
            result: torch.Tensor = network.outputs.inverse(
                network.linear(standard) + network.rest.inverse(single(standard))
            )
            return result

        share = 1.0 / options.ensemble
        result = fit_network(
            single,
            tensors,
            unseen,
            FitSettings(
                epochs=options.epochs,
                batch=options.batch,
                learning_rate=options.learning_rate,
                polish=options.polish,
                seed=seed + member,
                seconds=seconds * share,
            ),
            forward=answer,
            loss=loss,
            progress=None if progress is None else _part(progress, member * share, share),
        )
        epochs += result.epochs
    surrogate = BasisSurrogate(
        basis,
        network,
        features,
        base=options.base,
        scale=float(np.sqrt(np.mean(np.sum(np.square(states, dtype=np.float64), axis=1)))),
    )
    surrogate.place(coordinates)
    errors, alone = one_step_errors(surrogate, data.validation)
    return surrogate, {
        "validation_error": float(np.median(errors)),
        "validation_error_95": float(np.quantile(errors, 0.95)),
        "base_error": float(np.median(alone)),
        "base_error_95": float(np.quantile(alone, 0.95)),
        "basis_misses": float(np.sum(singular[len(modes) :] ** 2) / np.sum(singular**2)),
        "epochs": float(epochs),
    }


def _as_trunk(coordinates: Array, functions: Array, options: BasisOptions, seed: int, seconds: float) -> Basis:
    """Fit a network of the point to the functions."""
    points = torch.from_numpy(np.ascontiguousarray(coordinates, dtype=np.float64))
    values = torch.from_numpy(np.ascontiguousarray(functions.T, dtype=np.float64))
    trunk = Trunk(points.shape[1], options.trunk_width, 2, len(functions))
    trunk.inputs.fit(points)
    trunk.outputs.fit(values)
    scale = trunk.outputs.scale

    def loss(output: torch.Tensor, target: torch.Tensor) -> torch.Tensor:
        squares: torch.Tensor = ((output - target) / scale) ** 2
        return squares.mean()

    # A fit of known functions has nothing unseen to be validated on: all points are both.
    settings = FitSettings(epochs=400, batch=512, polish=40, seed=seed, seconds=seconds)
    fit_network(trunk, [points, values], [points, values], settings, loss=loss)
    return TrunkBasis(trunk)


def queries(run: Trajectory, order: int) -> Iterator[tuple[Query, Array]]:
    """Yield each step of a run that has `order` states before its first as a query, with the state it leads to."""
    for j in range(order, len(run.times) - 1):
        history = tuple(Snapshot(float(run.times[i]), run.states[i]) for i in range(j - 1, max(j - 4, -1), -1))
        t, t_end = float(run.times[j]), float(run.times[j + 1])
        yield Query(run.states[j], t, t_end - t, step=j, parameters=run.parameters, history=history), run.states[j + 1]


def one_step_errors(surrogate: BasisSurrogate, runs: Sequence[Trajectory]) -> tuple[Float64, Float64]:
    """Return the relative errors of each step of `runs`, of the surrogate and of its base alone."""
    order = max(BASES.index(surrogate.base) - 1, 0)
    first = max(order, 1 if surrogate.features.history_modes else 0)
    errors, alone = [], []
    for run in runs:
        for query, truth in queries(run, first):
            size = float(np.linalg.norm(truth)) or 1.0
            errors.append(float(np.linalg.norm(surrogate.predict(query).value - truth)) / size)
            base = run.states.mean(axis=0) if surrogate.base == "mean" else extrapolated(query, order)
            alone.append(float(np.linalg.norm(base - truth)) / size)
    return np.array(errors), np.array(alone)


def _steps(runs: Sequence[Trajectory], features: FeatureMap, functions: Float64, base: str, order: int) -> _Steps:
    mean, seen = functions[0], functions[1:]
    projector = np.linalg.pinv(seen @ seen.T, rcond=1e-12, hermitian=True) @ seen if len(seen) else seen
    # Without a history there is no last change to see: these steps would be trained on a zero that means nothing.
    first = max(order, 1 if features.history_modes else 0)
    rows, rests = [], []
    for run in runs:
        coefficients = (run.states - mean) @ projector.T
        for j, (query, truth) in enumerate(queries(run, first), first):
            change = coefficients[j] - coefficients[j - 1] if j else np.zeros(len(seen))
            rows.append(features(run.parameters, query.t_end, query.dt, list(coefficients[j]), list(change)))
            rests.append(truth - (mean if base == "mean" else extrapolated(query, order)))
    if not rows:
        raise BadInputError("the runs are too short: no step has the history that the base needs")
    return _Steps(np.array(rows), np.array(rests))


def _thinned(snapshots: Float64) -> Float64:
    """Return at most `_MOST_SNAPSHOTS` rows, evenly spread: a decomposition costs the square of their number."""
    stride = -(-len(snapshots) // _MOST_SNAPSHOTS)
    return snapshots[::stride]


def _part(progress: Callable[[float, str], None], start: float, share: float) -> Callable[[float, str], None]:
    return lambda done, text: progress(start + share * done, text)
