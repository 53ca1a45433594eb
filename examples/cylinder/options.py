"""Options of the cylinder problem, checked without dolfinx, and the family of inflows."""

from __future__ import annotations

import math
from collections.abc import Mapping

import numpy as np
from pydantic import BaseModel, ConfigDict, Field

END = 8.0
"""End of the benchmark's time, in seconds."""

STANDARD: dict[str, float] = {"first": 1.0, "second": 0.0, "third": 0.0}
"""The inflow of the benchmark: its mean speed is sin(pi t / 8)."""

RANGES: dict[str, tuple[float, float]] = {"first": (0.9, 1.1), "second": (-0.15, 0.15), "third": (-0.1, 0.1)}
"""Ranges from which other inflows are drawn: amplitudes of the first three sine waves over the eight seconds."""


def mean_speed(parameters: Mapping[str, float], t: float) -> float:
    """Return the mean speed of the inflow at time `t`, in metres per second.

    >>> round(mean_speed(STANDARD, 4.0), 12)
    1.0
    """
    return sum(float(parameters[name]) * math.sin(k * math.pi * t / END) for k, name in enumerate(RANGES, 1))


def acceleration(parameters: Mapping[str, float], t: float) -> float:
    """Return the derivative of the mean speed by time."""
    rates = ((k * math.pi / END, name) for k, name in enumerate(RANGES, 1))
    return sum(float(parameters[name]) * rate * math.cos(rate * t) for rate, name in rates)


def draw(seed: int, index: int) -> dict[str, float]:
    """Draw inflow `index` of a family, uniformly from `RANGES`."""
    generator = np.random.default_rng([seed, index])
    return {name: float(generator.uniform(low, high)) for name, (low, high) in RANGES.items()}


class CylinderOptions(BaseModel):
    """The `[problem]` table of a cylinder case: DFG 2D-3 by default. Units are metres, seconds, kilograms.

    Attributes:
        side: Cells along a quarter of the circle, and so across the channel; all other numbers of cells follow.
        end_time: End of the run.
        dt: Length of a step.
        seed: Draws the inflow from the family; left out, the inflow is that of the benchmark.
        first: Amplitude of sin(pi t / 8) in the mean speed of the inflow; wins over `seed`, as the others do.
        second: Amplitude of sin(2 pi t / 8).
        third: Amplitude of sin(3 pi t / 8).
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    side: int = Field(default=24, ge=4, le=128)
    end_time: float = Field(default=END, gt=0.0, allow_inf_nan=False)
    dt: float = Field(default=0.002, gt=0.0, allow_inf_nan=False)
    seed: int | None = Field(default=None, ge=0)
    first: float | None = Field(default=None, allow_inf_nan=False)
    second: float | None = Field(default=None, allow_inf_nan=False)
    third: float | None = Field(default=None, allow_inf_nan=False)

    def parameters(self) -> dict[str, float]:
        """Return the amplitudes of the inflow: those given, the others drawn or those of the benchmark."""
        basis = STANDARD if self.seed is None else draw(self.seed, 0)
        given = {name: getattr(self, name) for name in RANGES}
        return {name: basis[name] if value is None else float(value) for name, value in given.items()}


class CylinderSolverOptions(BaseModel):
    """The `[solver]` table of a cylinder case.

    Attributes:
        rtol: Tolerance of each block of a step's equations, relative to the inertia of the flow.
        prefix: Prefix of the PETSc options of the velocity solve.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    rtol: float = Field(default=1e-6, gt=0.0, lt=1.0)
    prefix: str | None = None
