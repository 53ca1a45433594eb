"""Training of `BasisSurrogate` on runs: bases by POD, coefficients by a linear fit and small networks."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence

import numpy as np
import numpy.typing as npt
import torch
from cosolve.core.arrays import Array
from cosolve.core.errors import BadInputError
from cosolve.core.query import Query, Snapshot
from cosolve.core.training_data import TrainingData
from cosolve.core.trajectory import Trajectory
from cosolve.plugins.pytorch.basis import Basis, basis_on
from cosolve.plugins.pytorch.basis_choice import as_trunk, choose_functions, least_squares
from cosolve.plugins.pytorch.basis_surrogate import BasisSurrogate
from cosolve.plugins.pytorch.coefficient_network import CoefficientNetwork
from cosolve.plugins.pytorch.extrapolation import extrapolated, order_of
from cosolve.plugins.pytorch.features import FeatureMap
from cosolve.plugins.pytorch.fit import FitSettings, fit_network
from cosolve.plugins.pytorch.options import BasisOptions
from cosolve.plugins.pytorch.placement import limit_threads
from cosolve.plugins.pytorch.tangents import Tangents, tangent_samples, with_tangents

Float64 = npt.NDArray[np.float64]


def train_basis_surrogate(
    data: TrainingData,
    coordinates: Array,
    options: BasisOptions,
    *,
    tangents: Sequence[Tangents] = (),
    seed: int = 0,
    seconds: float = float("inf"),
    progress: Callable[[float, str], None] | None = None,
) -> tuple[BasisSurrogate, dict[str, float]]:
    """Train a basis x network surrogate (not collective).

    Args:
        data: Training and validation runs; their states follow `coordinates`.
        coordinates: Where the values of the states live, shape `(n, d)`; see `Solver.coordinates`.
        options: Sizes, features and the fit.
        tangents: Derivatives of the training runs, which have one step each; none by default.
        seed: Of the networks' first weights and of the order of the samples.
        seconds: CPU seconds that the fit may take.
        progress: Told what is done.

    Returns:
        The surrogate, placed at `coordinates`, and figures: relative errors of one step on validation runs, as
        median and 95 % quantile, for the surrogate and for its base alone, and the share of the rest's squares
        that the basis cannot hold.
    """
    limit_threads()
    first_run = data.training[0]
    if first_run.states.shape[1] != len(coordinates):
        raise BadInputError(
            f"the runs have states of {first_run.states.shape[1]} values, but {len(coordinates)} coordinates are given"
        )
    features = FeatureMap.for_parameters(
        first_run.parameters,
        time=options.time,
        decays=options.decays,
        frequencies=options.frequencies,
        modulated=options.modulated,
        state_modes=options.state_modes,
        history_modes=options.history_modes,
    )
    chosen, misses = choose_functions(data, options)
    basis: Basis = basis_on(coordinates, chosen)
    torch.manual_seed(seed)
    if options.basis == "trunk":
        basis = as_trunk(coordinates, chosen, options.trunk_width, seed, 0.5 * seconds)
        seconds *= 0.5
    # A trunk's functions are neither those of the POD nor orthonormal: see and answer in terms of what is used.
    functions = basis.at(coordinates)
    seen = max(options.state_modes, options.history_modes)
    modes = functions[1:] if options.shared else functions[1 + seen :]
    modes = modes[: options.modes]
    projector = least_squares(modes)
    training = _steps(data.training, features, functions[: 1 + seen], projector, options.base)
    validation = _steps(data.validation, features, functions[: 1 + seen], projector, options.base)
    first = features.size - options.state_modes - options.history_modes
    quadratic = (first, min(options.quadratic_modes, options.state_modes))
    network = CoefficientNetwork(features.size, len(modes), options.width, options.depth, options.ensemble, quadratic)
    network.fit_linear(training[0], training[1], options.ridge)
    if tangents and quadratic[1]:
        raise BadInputError("derivatives are learned without products of coefficients: leave out `quadratic_modes`")
    if tangents and len(tangents) != len(training[0]):
        raise BadInputError(f"there are {len(tangents)} tangents for {len(training[0])} training steps")
    scale = network.outputs.scale
    importance = network.rest.scale * (scale / scale.max()) ** options.weight_power
    samples: tuple[torch.Tensor, ...] = network.to_learn(*training)
    unseen: tuple[torch.Tensor, ...] = network.to_learn(*validation)
    if tangents:
        to_state = least_squares(functions[1 : 1 + seen])
        derived = tangent_samples(tangents, features, to_state, projector, options.base)
        samples = (samples[0], *network.slopes_to_learn(*derived), samples[1])
    precision = torch.float32 if options.single else torch.float64
    samples, unseen = (tuple(part.to(precision) for part in parts) for parts in (samples, unseen))
    network.networks.to(precision)
    importance = importance.to(precision)

    def loss(output: torch.Tensor, target: torch.Tensor) -> torch.Tensor:
        # With derivatives there are two parts: the answer, and the error of its derivative.
        found, slopes = (output[0], output[1]) if output.ndim > target.ndim else (output, None)
        squares: torch.Tensor = ((found - target) * importance) ** 2
        mean = squares.mean()
        return mean if slopes is None else mean + options.tangent_weight * ((slopes * importance) ** 2).mean()

    epochs = 0
    for member, single in enumerate(network.small()):
        # Each member learns alone, so that their spread tells something.
        share = 1.0 / options.ensemble
        result = fit_network(
            single,
            samples,
            unseen,
            FitSettings(
                epochs=options.epochs,
                batch=options.batch,
                learning_rate=options.learning_rate,
                optimiser=options.optimiser,
                clip=options.clip,
                schedule=options.schedule,
                polish=options.polish,
                seed=seed + member,
                seconds=seconds * share,
            ),
            forward=with_tangents(single, seed + member) if tangents else single,
            loss=loss,
            progress=None if progress is None else _part(progress, member * share, share),
        )
        epochs += result.epochs
    # The file holds single precision: what is measured below is what is written.
    network.float().double()
    surrogate = BasisSurrogate(
        basis,
        network,
        features,
        base=options.base,
        shared=options.shared,
        scale=float(np.sqrt(np.mean([np.sum(np.square(run.states)) / len(run.states) for run in data.training]))),
    )
    surrogate.place(coordinates)
    errors, alone = one_step_errors(surrogate, data.validation)
    return surrogate, {
        "validation_error": float(np.median(errors)),
        "validation_error_95": float(np.quantile(errors, 0.95)),
        "base_error": float(np.median(alone)),
        "base_error_95": float(np.quantile(alone, 0.95)),
        "basis_misses": misses,
        "epochs": float(epochs),
    }


def queries(run: Trajectory, order: int) -> Iterator[tuple[Query, Array]]:
    """Yield each step of a run that has `order` states before its first as a query, with the state it leads to."""
    starts = run.starts
    for j in range(order, len(run.times) - 1):
        history = tuple(Snapshot(float(run.times[i]), starts[i]) for i in range(j - 1, max(j - 4, -1), -1))
        t, t_end = float(run.times[j]), float(run.times[j + 1])
        yield Query(starts[j], t, t_end - t, step=j, parameters=run.parameters, history=history), run.states[j + 1]


def one_step_errors(surrogate: BasisSurrogate, runs: Sequence[Trajectory]) -> tuple[Float64, Float64]:
    """Return the relative errors of each step of `runs`, of the surrogate and of its base alone."""
    order = order_of(surrogate.base)
    first = max(order, 1 if surrogate.features.history_modes else 0)
    errors, alone = [], []
    for run in runs:
        for query, truth in queries(run, first):
            size = float(np.linalg.norm(truth)) or 1.0
            errors.append(float(np.linalg.norm(surrogate.predict(query).value - truth)) / size)
            base = run.states.mean(axis=0) if surrogate.base == "mean" else extrapolated(query, order)
            alone.append(float(np.linalg.norm(base - truth)) / size)
    return np.array(errors), np.array(alone)


def _steps(
    runs: Sequence[Trajectory], features: FeatureMap, functions: Float64, projector: Float64, base: str
) -> tuple[torch.Tensor, torch.Tensor]:
    """Return features and coefficients of what is to be added to the base, for all steps of some runs."""
    mean, order = functions[0], order_of(base)
    to_state = least_squares(functions[1:])
    # Without a history there is no last change to see: these steps would be trained on a zero that means nothing.
    first = max(order, 1 if features.history_modes else 0)
    rows, answers = [], []
    for run in runs:
        seen = (run.starts - mean) @ to_state.T
        for j, (query, truth) in enumerate(queries(run, first), first):
            change = seen[j] - seen[j - 1] if j else np.zeros(len(to_state))
            rows.append(features(run.parameters, query.t_end, query.dt, list(seen[j]), list(change)))
            if base == "projected":
                added_to = mean + seen[j] @ functions[1:]
            else:
                added_to = mean if base == "mean" else extrapolated(query, order)
            answers.append(projector @ (truth - added_to))
    if not rows:
        raise BadInputError("the runs are too short: no step has the history that the base needs")
    return torch.from_numpy(np.array(rows)), torch.from_numpy(np.array(answers))


def _part(progress: Callable[[float, str], None], start: float, share: float) -> Callable[[float, str], None]:
    return lambda done, text: progress(start + share * done, text)
