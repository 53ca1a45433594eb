"""Which functions a basis surrogate works with: POD of states and of what a step adds, or a trunk fitted to them."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import torch
from cosolve.core.arrays import Array
from cosolve.core.errors import BadInputError
from cosolve.core.training_data import TrainingData
from cosolve.core.trajectory import Trajectory
from cosolve.plugins.pytorch.basis import Trunk, TrunkBasis, pod
from cosolve.plugins.pytorch.extrapolation import lagrange, order_of
from cosolve.plugins.pytorch.fit import FitSettings, fit_network
from cosolve.plugins.pytorch.options import BasisOptions

Float64 = npt.NDArray[np.float64]
_MOST_SNAPSHOTS = 800


def choose_functions(data: TrainingData, options: BasisOptions) -> tuple[npt.NDArray[np.float32], float]:
    """Return the functions (mean, state modes, modes of the answer) and how much of the answers they miss.

    Shared modes are those of states and answers together, both brought to the same size first.

    Returns:
        Functions of shape `(size, n)`, in single precision as a model file holds them, and the share of the squares
        of the training answers that the modes cannot hold.

    Raises:
        BadInputError: The runs span fewer modes than were asked for.
    """
    mean = np.mean([run.states.mean(axis=0, dtype=np.float64) for run in data.training], axis=0)
    total = sum(len(run.states) for run in data.training)
    stride = -(-total // _MOST_SNAPSHOTS)
    order = order_of(options.base)
    # Each run is thinned from another step on: from one and the same, whole phases of the runs would go unseen.
    starts = [(7 * index) % stride for index in range(len(data.training))]
    runs = list(zip(data.training, starts, strict=True))
    states = np.concatenate([run.states[start::stride] - mean for run, start in runs])
    rest = np.concatenate([_rests(run, mean, options.base, order)[start::stride] for run, start in runs])
    size = float(np.linalg.norm(rest))
    if size == 0.0:
        raise BadInputError("the base alone reproduces every training run: there is nothing for a network to learn")
    seen = max(options.state_modes, options.history_modes)
    if options.shared:
        both = np.concatenate([states / max(float(np.linalg.norm(states)), 1e-300), rest / size])
        modes = answer = _pod(both, max(seen, options.modes), "shared")
        functions = [mean[None], modes]
    else:
        state_modes = _pod(states, seen, "state") if seen else states[:0]
        answer = pod(rest, options.modes)[0]
        functions = [mean[None], state_modes, answer]
    answer = answer[: options.modes]
    misses = float(np.linalg.norm(rest - (rest @ answer.T) @ answer) / size) ** 2
    return np.concatenate(functions).astype(np.float32), misses


def _pod(snapshots: Float64, wanted: int, what: str) -> Float64:
    modes = pod(snapshots, wanted)[0]
    if len(modes) < wanted:
        raise BadInputError(
            f"the runs span {len(modes)} {what} modes, {wanted} were asked for; make more runs or ask for fewer"
        )
    return modes


def _rests(run: Trajectory, mean: Float64, base: str, order: int) -> Float64:
    """Return what each step of a run adds to its base, shape `(n_steps, n)`."""
    if base == "mean":
        return np.asarray(run.states[1:] - mean)
    starts, rests = run.starts, []
    for j in range(order, len(starts)):
        times = [float(run.times[i]) for i in range(j, j - order - 1, -1)]
        weights = lagrange(times, float(run.times[j + 1]))
        rests.append(run.states[j + 1] - np.tensordot(weights, starts[j - order : j + 1][::-1], 1))
    return np.array(rests)


def least_squares(functions: Float64) -> Float64:
    """Return the matrix that takes values to their least-squares coefficients, shape `(size, n)`."""
    if not len(functions):
        return functions
    projector: Float64 = np.linalg.pinv(functions @ functions.T, rcond=1e-12, hermitian=True) @ functions
    return projector


def as_trunk(coordinates: Array, functions: Array, width: int, seed: int, seconds: float) -> TrunkBasis:
    """Fit a network of the point to functions that are given at `coordinates`."""
    points = torch.from_numpy(np.ascontiguousarray(coordinates, dtype=np.float64))
    values = torch.from_numpy(np.ascontiguousarray(functions.T, dtype=np.float64))
    trunk = Trunk(points.shape[1], width, 2, len(functions))
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
