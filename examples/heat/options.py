"""Options of the heat problem, checked without dolfinx."""

from __future__ import annotations

import numpy as np
from pydantic import BaseModel, ConfigDict, Field

RANGES: dict[str, tuple[float, float]] = {
    "power_1": (2.0, 12.0),
    "power_2": (2.0, 12.0),
    "power_3": (2.0, 12.0),
    "frequency": (0.8, 1.6),
}
"""Ranges from which runs draw their parameters; also those of the training runs."""


class HeatOptions(BaseModel):
    """The `[problem]` table of a heat case. Quantities are dimensionless, see the module `problem` for the equation.

    Attributes:
        cells: Squares along each side of the unit square, each cut into two triangles.
        end_time: End of the run.
        dt: Length of a step.
        seed: Draws the parameters that are not given.
        power_1: Peak power of the first heater; the others likewise.
        power_2: Of the second.
        power_3: Of the third, which does not pulse.
        frequency: Pulses of the first two heaters in a unit of time.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    cells: int = Field(default=64, ge=2, le=1024)
    end_time: float = Field(default=2.0, gt=0.0, allow_inf_nan=False)
    dt: float = Field(default=0.02, gt=0.0, allow_inf_nan=False)
    seed: int = Field(default=0, ge=0)
    power_1: float | None = Field(default=None, ge=0.0, allow_inf_nan=False)
    power_2: float | None = Field(default=None, ge=0.0, allow_inf_nan=False)
    power_3: float | None = Field(default=None, ge=0.0, allow_inf_nan=False)
    frequency: float | None = Field(default=None, gt=0.0, allow_inf_nan=False)

    def parameters(self) -> dict[str, float]:
        """Return the parameters of the run: those given, the others drawn by `seed`."""
        drawn = draw(self.seed, 0)
        given = {name: getattr(self, name) for name in RANGES}
        return {name: drawn[name] if value is None else float(value) for name, value in given.items()}


def draw(seed: int, index: int) -> dict[str, float]:
    """Draw the parameters of run `index` of a family of runs, uniformly from `RANGES`."""
    generator = np.random.default_rng([seed, index])
    return {name: float(generator.uniform(low, high)) for name, (low, high) in RANGES.items()}
