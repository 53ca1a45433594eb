"""Options of the Cahn-Hilliard problem, checked without dolfinx."""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict, Field


class CahnHilliardOptions(BaseModel):
    """The `[problem]` table of a Cahn-Hilliard case; all quantities are dimensionless.

    Attributes:
        cells: Squares along each side of the unit square, each cut into two triangles.
        end_time: End of the run.
        dt: Length of a step, the first one for adaptive stepping.
        seed: Draws the initial state.
        epsilon: Width of the interface.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    cells: int = Field(default=64, ge=2, le=1024)
    end_time: float = Field(default=0.3, gt=0.0, allow_inf_nan=False)
    dt: float = Field(default=2e-4, gt=0.0, allow_inf_nan=False)
    seed: int = Field(default=0, ge=0)
    epsilon: float = Field(default=0.03, gt=0.0, allow_inf_nan=False)
