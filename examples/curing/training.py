"""Training of the slow surrogate: POD bases from the first schedules, then networks for the coefficients, in torch."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
from cosolve.examples.curing.data import STEPS, Sample, samples
from cosolve.examples.curing.discretisation import Discretisation
from cosolve.examples.curing.integrators import CrankNicolson
from cosolve.examples.curing.surrogate import CuringSurrogate

Progress = Callable[[float, str], None]
FloatArray = npt.NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class TrainingPlan:
    """How much of what. The defaults keep to 15 minutes of one core, data included.

    Attributes:
        mesh: Squares along each side of the training mesh.
        basis_schedules: Schedules that the POD bases are made of.
        data_seconds: CPU seconds for the data.
        fit_seconds: CPU seconds for each of the two networks.
        rate_modes: Modes of the log-rate.
        lift_modes: Modes of the temperature.
        alpha_modes: POD coefficients of alpha among the features.
        width: Units in a hidden layer.
        seed: Seed of data and fit.
    """

    mesh: int = 64
    basis_schedules: int = 24
    data_seconds: float = 400.0
    fit_seconds: float = 200.0
    rate_modes: int = 32
    lift_modes: int = 32
    alpha_modes: int = 16
    width: int = 128
    seed: int = 1


@dataclass(slots=True)
class Basis:
    """POD modes of one field, orthonormal after weighting.

    Attributes:
        mean: Shape `(n,)`.
        modes: Shape `(n, k)`.
        dual: `dual.T @ (field - mean)` are the coefficients, shape `(n, k)`.
    """

    mean: FloatArray
    modes: FloatArray
    dual: FloatArray

    @classmethod
    def of(cls, snapshots: npt.NDArray[np.float32], weight: FloatArray, count: int) -> Basis:
        """Return the `count` leading modes in the inner product with weight `weight**2` (shape `(n,)`)."""
        mean = snapshots.mean(axis=0, dtype=np.float64)
        weighted = (snapshots - mean) * weight
        # The small side: more nodes than snapshots are kept in single precision, their products in double.
        if len(weighted) > len(mean):
            _, vectors = np.linalg.eigh(weighted.T @ weighted)
            modes = vectors[:, ::-1][:, :count]
        else:
            _, vectors = np.linalg.eigh(weighted @ weighted.T)
            modes, _ = np.linalg.qr(weighted.T @ vectors[:, ::-1][:, :count])
        return cls(mean, modes / weight[:, None], modes * weight[:, None])

    def coefficients(self, field: npt.NDArray[np.float32]) -> FloatArray:
        """Return the coefficients of one field of shape `(n,)` or of rows of fields."""
        return (field - self.mean) @ self.dual


@dataclass(slots=True)
class Bases:
    """The three bases of the surrogate."""

    rate: Basis
    lift: Basis
    alpha: Basis


def make_bases(first: list[Sample], area: FloatArray, plan: TrainingPlan) -> Bases:
    """Return POD bases of `first`; the rate's inner product weighs each node by what its error does to alpha."""
    stack = {name: np.stack([getattr(sample, name) for sample in first]) for name in ("rate", "lift", "alpha_start")}
    effect = np.sqrt(np.mean([sample.weight.astype(np.float64) ** 2 for sample in first], axis=0))
    effect = effect / effect.max() + 0.02
    root = np.sqrt(area)
    return Bases(
        Basis.of(stack["rate"], effect * root, plan.rate_modes),
        Basis.of(stack["lift"], root, plan.lift_modes),
        Basis.of(stack["alpha_start"], root, plan.alpha_modes),
    )


def project(bases: Bases, sample: Sample) -> tuple[FloatArray, FloatArray, FloatArray, FloatArray]:
    """Return inputs and outputs of the rate's network, then of the lift's, for one sample."""
    return (
        np.concatenate([sample.rate_features, bases.alpha.coefficients(sample.alpha_middle)]),
        bases.rate.coefficients(sample.rate),
        np.concatenate([sample.lift_features, bases.alpha.coefficients(sample.alpha_start)]),
        bases.lift.coefficients(sample.lift),
    )


def generate(plan: TrainingPlan, progress: Progress) -> tuple[Discretisation, Bases, list[FloatArray], float]:
    """Run schedules until `plan.data_seconds` are spent.

    Returns:
        The training mesh, the bases, the four tables of `project` (one row a sample), and the CPU seconds spent.
    """
    from mpi4py import MPI

    start = time.process_time()
    d = Discretisation(MPI.COMM_SELF, plan.mesh)
    integrator = CrankNicolson(d, STEPS)
    one, area = d.node_vector(), d.node_vector()
    one.set(1.0)
    d.mass.mult(one, area)
    rng = np.random.default_rng(plan.seed)
    first: list[Sample] = []
    rows: list[tuple[FloatArray, ...]] = []
    bases: Bases | None = None
    schedule = 0
    while time.process_time() - start < plan.data_seconds or bases is None:
        # A few drawn loads are hotter than the frozen factor bears; what became unstable is no data.
        new = [sample for sample in samples(integrator, rng) if np.isfinite(sample.rate).all()]
        schedule += 1
        if bases is None:
            first.extend(new)
            if schedule == plan.basis_schedules:
                bases = make_bases(first, area.array, plan)
                rows.extend(project(bases, sample) for sample in first)
                first.clear()
        else:
            rows.extend(project(bases, sample) for sample in new)
        spent = time.process_time() - start
        progress(min(spent / plan.data_seconds, 1.0), f"{schedule} schedules run, {len(rows)} samples")
    integrator.close()
    return d, bases, [np.stack(column) for column in zip(*rows, strict=True)], time.process_time() - start


def fit(inputs: FloatArray, outputs: FloatArray, plan: TrainingPlan, progress: Progress) -> tuple[dict[str, Any], float]:
    """Train one network for `plan.fit_seconds` CPU seconds.

    Args:
        inputs: Shape `(n_samples, n_in)`.
        outputs: POD coefficients, shape `(n_samples, n_out)`; their plain squared error is that of the field.
        plan: Width, time and seed.
        progress: Told now and then.

    Returns:
        The tensors of `Network` and the root mean square error on held-out schedules, relative to the outputs' own.
    """
    import torch

    torch.manual_seed(plan.seed)
    torch.set_num_threads(1)
    mean, scale = inputs.mean(0), inputs.std(0) + 1e-9
    x = torch.tensor((inputs - mean) / scale, dtype=torch.float32)
    size = np.sqrt((outputs**2).sum(1).mean())
    y = torch.tensor(outputs / size, dtype=torch.float32)
    held = len(x) - len(x) // 12
    n_in, n_out, width = x.shape[1], y.shape[1], plan.width
    linear = torch.linalg.lstsq(torch.cat([x[:held], torch.ones(held, 1)], 1), y[:held]).solution
    residual = y - x @ linear[:-1] - linear[-1]
    network = torch.nn.Sequential(
        torch.nn.Linear(n_in, width), torch.nn.Tanh(), torch.nn.Linear(width, width), torch.nn.Tanh(),
        torch.nn.Linear(width, n_out),
    )  # fmt: skip
    optimizer = torch.optim.AdamW(network.parameters(), lr=3e-3, weight_decay=1e-5)
    start = time.process_time()
    generator = torch.Generator().manual_seed(plan.seed)
    spent, epoch = 0.0, 0
    while spent < plan.fit_seconds:
        share = spent / plan.fit_seconds
        for group in optimizer.param_groups:
            group["lr"] = 3e-3 * (1e-3 + 0.5 * (1.0 + np.cos(np.pi * share))) * min(1.0, (epoch + 1) / 5)
        for batch in torch.randperm(held, generator=generator).split(256):
            optimizer.zero_grad(set_to_none=True)
            loss = ((network(x[batch]) - residual[batch]) ** 2).sum(1).mean()
            loss.backward()  # type: ignore[no-untyped-call]
            optimizer.step()
        epoch += 1
        spent = time.process_time() - start
        if epoch % 20 == 0:
            progress(min(spent / plan.fit_seconds, 1.0), f"epoch {epoch}, loss {loss.item():.2e}")
    with torch.no_grad():
        error = float(((network(x[held:]) - residual[held:]) ** 2).sum(1).mean().sqrt())
        base = float((y[held:] ** 2).sum(1).mean().sqrt())
        parameters = [parameter.numpy().copy() for parameter in network.parameters()]
    tensors = dict(zip(("w0", "b0", "w1", "b1", "w2", "b2"), parameters, strict=True))
    tensors["w2"], tensors["b2"] = tensors["w2"] * size, (tensors["b2"] + linear[-1].numpy()) * size
    tensors |= {"linear": linear[:-1].numpy().T * size, "mean": mean, "scale": scale}
    return {name: np.ascontiguousarray(value, dtype=np.float32) for name, value in tensors.items()}, error / base


def on_grid(field: FloatArray, points: FloatArray, n: int) -> npt.NDArray[np.float32]:
    """Return nodal fields (rows of shape `(n_nodes,)`) as grids `(..., n + 1, n + 1)`, index `[y, x]`."""
    ix, iy = np.rint(points * n).astype(np.int64).T
    grid = np.empty((*field.shape[:-1], n + 1, n + 1), dtype=np.float32)
    grid[..., iy, ix] = field
    return grid


def train(plan: TrainingPlan, progress: Progress) -> tuple[CuringSurrogate, dict[str, float]]:
    """Generate data and train both networks, on one rank.

    Returns:
        The surrogate and figures: CPU seconds of data and training, samples, held-out errors of both networks.
    """
    d, bases, (rate_in, rate_out, lift_in, lift_out), data_seconds = generate(plan, progress)
    start = time.process_time()
    rate, rate_error = fit(rate_in, rate_out, plan, progress)
    lift, lift_error = fit(lift_in, lift_out, plan, progress)
    arrays: dict[str, npt.NDArray[np.floating[Any]]] = {}
    for name, basis in (("rate", bases.rate), ("lift", bases.lift), ("alpha", bases.alpha)):
        arrays[f"{name}_mean"] = on_grid(basis.mean, d.points, plan.mesh)
        # alpha is only ever projected, in the inner product of the mass: its modes are their own dual there.
        arrays[f"{name}_modes"] = on_grid(basis.modes.T, d.points, plan.mesh)
    arrays |= {f"rate.{name}": value for name, value in rate.items()}
    arrays |= {f"lift.{name}": value for name, value in lift.items()}
    d.close()
    figures = {
        "data_seconds": data_seconds,
        "training_seconds": time.process_time() - start,
        "samples": float(len(rate_in)),
        "rate_error": rate_error,
        "lift_error": lift_error,
    }
    return CuringSurrogate(arrays), figures
