"""A linear problem with a known solution operator: the heat equation on a line, sine modes that decay exponentially."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import numpy.typing as npt
import pytest

torch = pytest.importorskip("torch")

from cosolve.core.training_data import TrainingData  # noqa: E402
from cosolve.core.trajectory import Trajectory  # noqa: E402

Float64 = npt.NDArray[np.float64]
DT = 0.05


def decay(points: Float64, amplitudes: Float64, rate: float, t: float) -> Float64:
    """The heat equation's solution: sum of a_k exp(-rate k^2 t) sin(k pi x)."""
    k = np.arange(1, len(amplitudes) + 1)
    return np.asarray(np.sin(np.pi * np.outer(points, k)) @ (amplitudes * np.exp(-rate * k**2 * t)))


def draw_run(seed: int, points: Float64) -> Trajectory:
    rng = np.random.default_rng(seed)
    rate, amplitudes = float(rng.uniform(0.5, 1.5)), rng.normal(size=4)
    times = DT * np.arange(11)
    return Trajectory(times, np.array([decay(points, amplitudes, rate, t) for t in times]), {"rate": rate})


@pytest.fixture(scope="session")
def line() -> Float64:
    return np.linspace(0.0, 1.0, 33)[:, None]


@pytest.fixture(scope="session")
def make_run() -> Callable[[int, Float64], Trajectory]:
    return draw_run


@pytest.fixture(scope="session")
def line_data(line: Float64) -> TrainingData:
    runs = [draw_run(seed, line[:, 0]) for seed in range(80)]
    return TrainingData(training=tuple(runs[8:]), validation=tuple(runs[:8]))
