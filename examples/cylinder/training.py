"""How the flow's surrogate is trained: pairs of neighbouring states of a few runs with other inflows."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from cosolve.core.errors import BadInputError
from cosolve.core.options import Options, check
from cosolve.core.query import Query
from cosolve.core.training import Budget, Fitted, TrainingSettings
from cosolve.core.training_data import TrainingData
from cosolve.core.trajectory import Trajectory
from cosolve.examples.cylinder.mesh import FloatArray
from cosolve.examples.cylinder.state import Layout
from pydantic import Field

if TYPE_CHECKING:
    from cosolve.examples.cylinder.problem import CylinderProblem
    from cosolve.examples.cylinder.solver import ChannelSolver

PAIRS = 120
"""Pairs of neighbouring states that are kept of a training run, evenly over its time."""


class FlowFit(Options):
    """How the surrogate is fitted.

    Attributes:
        modes: POD modes of the change in a step.
        quadratic_modes: Leading coefficients whose products are features, too: convection is quadratic.
        width: Width of the network's two hidden layers.
        ridge: Regularisation of the linear part.
        epochs: Most epochs.
    """

    modes: int = Field(default=24, ge=1)
    quadratic_modes: int = Field(default=8, ge=0)
    width: int = Field(default=64, ge=1)
    ridge: float = Field(default=1e-8, ge=0.0)
    epochs: int = Field(default=600, ge=1)


def pairs_of(run: Trajectory) -> list[tuple[Query, FloatArray]]:
    """Return the pairs of a training run: each a query, and the state after its step."""
    found = []
    for k in range(0, len(run.times) - 1, 2):
        t, dt = float(run.times[k]), float(run.times[k + 1] - run.times[k])
        state = np.asarray(run.states[k], dtype=np.float64)
        query = Query(state, t, dt, step=k, parameters=run.parameters)
        found.append((query, np.asarray(run.states[k + 1], dtype=np.float64)))
    return found


def fit(
    problem: CylinderProblem,
    data: TrainingData,
    settings: TrainingSettings,
    budget: Budget,
    progress: Callable[[float, str], None],
) -> Fitted:
    """Fit POD x network and judge its proposals on the held-back runs (serial).

    Raises:
        BadInputError: Another surrogate or unknown options were asked for.
    """
    # Imported here: the problem runs without torch, and a communicator of its own is needed for training only.
    import torch
    from cosolve.examples.cylinder.surrogate import CylinderSurrogate, nodes_of, order_at
    from cosolve.plugins.pytorch.coefficient_network import CoefficientNetwork
    from cosolve.plugins.pytorch.fit import FitSettings, fit_network
    from mpi4py import MPI

    if settings.surrogate not in ("", CylinderSurrogate.name):
        raise BadInputError(
            f"training.surrogate: expected {CylinderSurrogate.name!r} for the problem 'cylinder', "
            f"found {settings.surrogate!r}"
        )
    options = check(FlowFit, settings.options, key="training.options", origins={}, source="the case")
    with problem.make_solver(MPI.COMM_SELF, {"prefix": "cylinder_fit_"}) as solver:
        layout, space = solver.layout, solver.space
        training = [pair for run in data.training for pair in pairs_of(run)]
        validation = [pair for run in data.validation for pair in pairs_of(run)]
        modes, scales = joint_modes(layout, training, options.modes)
        progress(0.1, f"{len(modes) - 1} modes of {len(training)} states")
        nodes, pressure_nodes = nodes_of(problem.options.side)
        at, pressure_at = order_at(nodes, space.points), order_at(pressure_nodes, space.pressure_points)
        ordered = np.zeros_like(modes, dtype=np.float16)
        n, m = len(nodes), len(pressure_nodes)
        ordered[:, np.concatenate([at, n + at, 2 * n + pressure_at, 2 * n + m + pressure_at])] = modes
        count = len(modes) - 1
        torch.manual_seed(settings.seed)
        network = CoefficientNetwork(
            2 + 2 * count, count, options.width, 2, quadratic=(2, min(options.quadratic_modes, count))
        )
        surrogate = CylinderSurrogate(problem.options.side, ordered, scales, network)
        surrogate.bind(solver)
        seen = [samples(surrogate, layout, pairs) for pairs in (training, validation)]
        network.train()
        network.fit_linear(*seen[0], options.ridge)

        def answer(inputs: torch.Tensor) -> torch.Tensor:
            standard = network.inputs(network.with_products(inputs))
            rest: torch.Tensor = network.rest.inverse(network.networks[0](standard))
            result: torch.Tensor = network.outputs.inverse(network.linear(standard) + rest)
            return result

        scale = network.outputs.scale

        def loss(output: torch.Tensor, target: torch.Tensor) -> torch.Tensor:
            return (((output - target) / scale**0.5) ** 2).mean()

        result = fit_network(
            network.networks[0],
            seen[0],
            seen[1],
            FitSettings(
                epochs=options.epochs, batch=128, seed=settings.seed, seconds=max(0.9 * budget.left - 10.0, 1.0)
            ),
            forward=answer,
            loss=loss,
            progress=lambda share, text: progress(0.2 + 0.7 * share, text),
        )
        # The file holds single precision: what is measured below is what is written.
        network.float().double().eval()
        figures = {"modes": float(count), "epochs": float(result.epochs), **judged(solver, surrogate, validation)}
    description = problem.describe()
    return Fitted(surrogate, surrogate.name, figures, description["spaces"], description["units"])


def change(layout: Layout, query: Query, state: FloatArray) -> FloatArray:
    """Return what a step adds to velocity, increment and pressure, shape `(new_size,)`."""
    added: FloatArray = layout.new(state) - layout.new(query.state)
    return added


def joint_modes(layout: Layout, pairs: Sequence[tuple[Query, FloatArray]], count: int) -> tuple[FloatArray, FloatArray]:
    """Return mean and POD modes of the changes in a step, fields divided by their scales, and the scales.

    Returns:
        Shape `(1 + k, new_size)`, modes of root mean square 1 over the values, and shape `(3,)`.
    """
    new = np.array([change(layout, *pair) for pair in pairs])
    ends = np.cumsum([2 * layout.n_u, layout.n_p, layout.n_p])
    scales = np.array([np.sqrt(np.mean(part**2)) for part in np.split(new, ends[:-1], axis=1)])
    for part, scale in zip(np.split(new, ends[:-1], axis=1), scales, strict=True):
        part /= scale  # a view: the whole is divided
    mean = new.mean(axis=0)
    new -= mean
    # The small side: far fewer states than values.
    values, vectors = np.linalg.eigh(new @ new.T)
    kept = min(count, int(np.count_nonzero(values > 1e-12 * values[-1])))
    modes = vectors[:, ::-1][:, :kept].T @ new
    modes *= np.sqrt(new.shape[1]) / np.linalg.norm(modes, axis=1, keepdims=True)
    return np.concatenate([mean[None], modes]), scales


def samples(surrogate: Any, layout: Layout, pairs: Sequence[tuple[Query, FloatArray]]) -> tuple[Any, Any]:
    """Return features and coefficients of all pairs, as tensors."""
    import torch

    projector = surrogate.projector()
    features = np.array([surrogate.features(query) for query, _ in pairs])
    targets = np.array([projector(change(layout, *pair)) for pair in pairs])
    return torch.from_numpy(features), torch.from_numpy(targets)


def judged(solver: ChannelSolver, surrogate: Any, pairs: Sequence[tuple[Query, FloatArray]]) -> Mapping[str, float]:
    """Return the relative error of the proposed velocities, and what the residual says of the proposals."""
    errors, ratios = [], []
    for query, state in pairs:
        proposed = surrogate.predict(query).value
        errors.append(solver.norm(proposed - state) / max(solver.norm(state), 1e-12))
        ratios.append(solver.measure(query, proposed).ratio)
    return {
        "validation_error": float(np.median(errors)),
        "validation_error_95": float(np.quantile(errors, 0.95)),
        "validation_residual": float(np.median(ratios)),
        "validation_accepted_share": float(np.mean(np.array(ratios) <= 0.5)),
    }
