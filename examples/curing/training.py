"""Training of the slow surrogate: POD bases from the first schedules, then networks for the coefficients, in torch."""

from __future__ import annotations

import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from cosolve.core.errors import CosolveError
from cosolve.examples.curing.cyclic_solver import CuringSolver
from cosolve.examples.curing.data import Sample, samples
from cosolve.examples.curing.discretisation import Discretisation
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
        fit_seconds: CPU seconds for all networks.
        rate_modes: Modes of the log-rate.
        lift_modes: Modes of the temperature.
        alpha_modes: POD coefficients of alpha among the features.
        width: Units in a hidden layer.
        seed: Seed of data and fit.
    """

    mesh: int = 64
    basis_schedules: int = 40
    data_seconds: float = 430.0
    fit_seconds: float = 380.0
    rate_modes: int = 50
    lift_modes: int = 28
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
    """The bases of the surrogate."""

    rate: Basis
    lift: Basis
    alpha: Basis


def make_bases(first: list[Sample], area: FloatArray, plan: TrainingPlan) -> Bases:
    """Return POD bases of `first`; the rate's inner product weighs each node by what its error does to alpha."""
    stack = {name: np.stack([getattr(sample, name) for sample in first]) for name in ("rate", "lift", "alpha_start")}
    # Each sample counts alike, slow runs (whose alpha is small, too) as much as fast ones; the root and the floor keep
    # the places that few loads heat, such as those near the sides, from being forgotten.
    weights = np.stack([sample.weight for sample in first]).astype(np.float64)
    weights /= np.sqrt((weights**2).mean(axis=1, keepdims=True))
    effect = np.sqrt(np.sqrt((weights**2).mean(axis=0)))
    effect = effect / effect.max() + 0.05
    root = np.sqrt(area)
    return Bases(
        Basis.of(stack["rate"], effect * root, plan.rate_modes),
        Basis.of(stack["lift"], root, plan.lift_modes),
        Basis.of(stack["alpha_start"], root, plan.alpha_modes),
    )


Row = tuple[FloatArray, FloatArray]
"""Inputs and outputs of a network for one sample."""


def project(bases: Bases, sample: Sample) -> dict[str, Row]:
    """Return inputs and outputs of the networks "rate" and "lift"."""
    middle = np.concatenate([sample.rate_features, bases.alpha.coefficients(sample.alpha_middle)])
    start = np.concatenate([sample.lift_features, bases.alpha.coefficients(sample.alpha_start)])
    return {
        "rate": (middle, bases.rate.coefficients(sample.rate)),
        "lift": (start, bases.lift.coefficients(sample.lift)),
    }


def generate(plan: TrainingPlan, progress: Progress) -> tuple[Discretisation, Bases, dict[str, Row], float]:
    """Run schedules until `plan.data_seconds` are spent.

    Returns:
        The training mesh, the bases, inputs and outputs of each network (one row a sample), and the CPU seconds spent.
    """
    from mpi4py import MPI

    start = time.process_time()
    d = Discretisation(MPI.COMM_SELF, plan.mesh)
    solver = CuringSolver(d)
    one, area = d.node_vector(), d.node_vector()
    one.set(1.0)
    d.mass.mult(one, area)
    rng = np.random.default_rng(plan.seed)
    first: list[Sample] = []
    rows: list[dict[str, Row]] = []
    bases: Bases | None = None
    schedule = 0
    while time.process_time() - start < plan.data_seconds or bases is None:
        # A few drawn loads are hotter than the frozen factor bears; what became unstable is no data.
        new = [sample for sample in samples(solver, rng) if np.isfinite(sample.rate).all()]
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
    solver.close()
    tables: dict[str, Row] = {}
    for name in ("rate", "lift"):
        inputs, outputs = zip(*(row[name] for row in rows), strict=True)
        tables[name] = (np.stack(inputs), np.stack(outputs))
    return d, bases, tables, time.process_time() - start


def fit_in_process(
    inputs: FloatArray, outputs: FloatArray, share: float, plan: TrainingPlan
) -> tuple[dict[str, Any], float]:
    """Fit one network in a process of its own with a share of `plan.fit_seconds`; see `fitting`.

    Raises:
        CosolveError: The process failed; holds the last line of what it said.
    """
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "tables.npz"
        np.savez(file, inputs=inputs, outputs=outputs)
        command = [sys.executable, "-m", "cosolve.examples.curing.fitting", str(file)]
        command += [str(share * plan.fit_seconds), str(plan.width), str(plan.seed)]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        if done.returncode:
            said = (done.stderr.strip().splitlines() or ["nothing was said"])[-1]
            raise CosolveError(f"the fit of the slow surrogate failed: {said}; is torch installed?")
        with np.load(file.with_suffix(".fitted.npz")) as fitted:
            tensors = {name: fitted[name] for name in fitted.files if name != "error"}
            return tensors, float(fitted["error"])


def on_grid(field: FloatArray, points: FloatArray, n: int) -> npt.NDArray[np.float32]:
    """Return nodal fields (rows of shape `(n_nodes,)`) as grids `(..., n + 1, n + 1)`, index `[y, x]`."""
    ix, iy = np.rint(points * n).astype(np.int64).T
    grid = np.empty((*field.shape[:-1], n + 1, n + 1), dtype=np.float32)
    grid[..., iy, ix] = field
    return grid


def _cpu_seconds() -> float:
    """Return CPU seconds of this process and of the processes it has waited for."""
    own, children = (resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN))
    return own.ru_utime + own.ru_stime + children.ru_utime + children.ru_stime


def train(plan: TrainingPlan, progress: Progress) -> tuple[CuringSurrogate, dict[str, float]]:
    """Generate data and train the networks, on one rank.

    Returns:
        The surrogate and figures: CPU seconds of data and training, samples, held-out errors of the networks.
    """
    d, bases, tables, data_seconds = generate(plan, progress)
    start = _cpu_seconds()
    arrays: dict[str, npt.NDArray[np.floating[Any]]] = {}
    figures = {"data_seconds": data_seconds, "samples": float(len(tables["rate"][0]))}
    for index, (name, share) in enumerate({"rate": 0.6, "lift": 0.4}.items()):
        progress(index / 2, f"fitting the {name} network")
        tensors, figures[f"{name}_error"] = fit_in_process(*tables[name], share, plan)
        arrays |= {f"{name}.{part}": value for part, value in tensors.items()}
    for name, basis in (("rate", bases.rate), ("lift", bases.lift), ("alpha", bases.alpha)):
        arrays[f"{name}_mean"] = on_grid(basis.mean, d.points, plan.mesh)
        # alpha is only ever projected, in the inner product of the mass: its modes are their own dual there.
        arrays[f"{name}_modes"] = on_grid(basis.modes.T, d.points, plan.mesh)
    d.close()
    figures["training_seconds"] = _cpu_seconds() - start
    return CuringSurrogate(arrays), figures
