"""How the heat problem's surrogate is trained: kicked runs, POD x network, judged by the residual on held-back runs."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

import numpy as np
from cosolve.core.arrays import Array
from cosolve.core.errors import BadInputError
from cosolve.core.options import check
from cosolve.core.training import Budget, Fitted, TrainingSettings
from cosolve.core.training_data import TrainingData

if TYPE_CHECKING:
    from cosolve.examples.heat.problem import HeatProblem

OPTIONS: dict[str, Any] = {
    "base": "projected",
    "modes": 46,
    "state_modes": 46,
    "shared": True,
    "quadratic_modes": 18,
    "frequencies": ["frequency"],
    "modulated": ["power_1", "power_2"],
    "weight_power": 0.25,
    "width": 96,
    "batch": 512,
    "learning_rate": 4e-3,
}
"""The heaters' powers times the waves of their pulses are what drives the heat, and its nonlinearity is quadratic.

In the fit modes count almost alike: a residual weighs the higher ones more than the state does.
"""


def seed_of(parameters: Mapping[str, Any]) -> int:
    """Return a seed that depends on the parameters alone, so that a run can be made again."""
    return int(np.frombuffer(np.array(sorted(parameters.values()), dtype=np.float64).tobytes(), dtype=np.uint32).sum())


def random_kicks(points: Array, count: int, seed: int) -> Array:
    """Return smooth random fields of zero flux, root mean square 3e-5 to 1e-3, shape `(count, n)`, single precision.

    A training run that is kicked before each step shows a surrogate how deviations evolve: those that it makes itself.
    """
    generator = np.random.default_rng(seed)
    waves = np.arange(5)
    along = [np.cos(np.pi * np.outer(waves, points[:, axis])) for axis in range(2)]
    decay = 1.0 / (1.0 + waves[:, None] ** 2 + waves[None, :] ** 2)
    amplitudes = generator.normal(size=(count, 5, 5)) * decay
    fields = np.einsum("kij,in,jn->kn", amplitudes, along[0], along[1], optimize=True)
    sizes = 10.0 ** generator.uniform(-4.5, -3.0, size=(count, 1))
    fields *= sizes / np.sqrt(np.mean(fields**2, axis=1, keepdims=True))
    return np.asarray(fields, dtype=np.float32)


def fit(
    problem: HeatProblem,
    data: TrainingData,
    settings: TrainingSettings,
    budget: Budget,
    progress: Callable[[float, str], None],
) -> Fitted:
    """Fit a POD x network surrogate and judge its proposals on the held-back runs (serial).

    Raises:
        BadInputError: Another surrogate or unknown options were asked for.
    """
    # Imported here: the problem runs without torch, and a communicator of its own is needed for training only.
    from cosolve.plugins.pytorch.basis_training import queries, train_basis_surrogate
    from cosolve.plugins.pytorch.options import BasisOptions
    from mpi4py import MPI

    if settings.surrogate not in ("", "pod_mlp"):
        raise BadInputError(
            f"training.surrogate: expected 'pod_mlp' for the problem 'heat', found {settings.surrogate!r}"
        )
    options = check(BasisOptions, OPTIONS | settings.options, key="training.options", origins={}, source="the case")
    with problem.make_solver(MPI.COMM_SELF, {"prefix": "heat_fit_"}) as solver:
        surrogate, figures = train_basis_surrogate(
            data,
            solver.coordinates(),
            options,
            seed=settings.seed,
            # Judging takes a few seconds, too.
            seconds=max(0.95 * budget.left - 10.0, 1.0),
            progress=lambda share, text: progress(0.9 * share, text),
        )
    progress(0.9, "judging the proposals on runs that were held back")
    for name, runs in (("validation", data.validation), ("test", data.test)):
        ratios = []
        for run in runs:
            mine = type(problem)(problem.options.model_copy(update=dict(run.parameters)))
            with mine.make_solver(MPI.COMM_SELF, {"prefix": "heat_judge_"}) as solver:
                ratios += [solver.measure(query, surrogate.predict(query).value).ratio for query, _ in queries(run, 0)]
        if ratios:
            figures[f"{name}_residual"] = float(np.median(ratios))
            figures[f"{name}_accepted_share"] = float(np.mean(np.array(ratios) <= 0.5))
    description = problem.describe()
    return Fitted(surrogate, surrogate.name, figures, description["spaces"], description["units"])
