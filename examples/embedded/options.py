"""Options of the embedded example; imports nothing heavy."""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict, Field, field_validator


class EmbeddedOptions(BaseModel):
    """Options of the problem `embedded`.

    Attributes:
        cells: Cells along each side; a power of two times at most 8, so that the grid coarsens.
        steps: Number of implicit steps; each has doses of its own.
        dt: Length of a step, in the problem's unit of time.
        run: Which unseen run: the seed that draws parameters, doses and the initial state. Training draws from another
            family of seeds.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    cells: int = Field(default=256, ge=16, le=2048)
    steps: int = Field(default=60, ge=1, le=100_000)
    dt: float = Field(default=0.25, gt=0.0, allow_inf_nan=False)
    run: int = Field(default=0, ge=0)

    @field_validator("cells")
    @classmethod
    def _coarsens(cls, cells: int) -> int:
        """Check that multigrid has a coarsest grid of at most 8 cells a side."""
        odd = cells // (cells & -cells)
        if odd > 8:
            raise ValueError("m * 2^k cells a side with m at most 8, so that the grid coarsens (64, 96, 128, 256)")
        return cells
