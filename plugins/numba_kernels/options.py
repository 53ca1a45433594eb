"""Options of the numba solvers; imports nothing heavy."""

from __future__ import annotations

from typing import Literal

from pydantic import BaseModel, ConfigDict, Field


class ReactionDiffusionOptions(BaseModel):
    """Options of the solver `reaction_diffusion`.

    Attributes:
        n: Cells along each side; a power of two times at most 8, so that the grid coarsens.
        scheme: `backward_euler` (order 1, damps everything) or `crank_nicolson` (order 2).
        rtol: The solve stops at rtol times the norm of the step's right-hand side, which does not depend on the start.
        atol: The solve stops at this residual norm at the latest (the larger one of the two counts).
        max_iterations: Most Newton iterations of one step.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    n: int = Field(default=128, ge=4, le=4096)
    scheme: Literal["backward_euler", "crank_nicolson"] = "backward_euler"
    rtol: float = Field(default=1e-6, gt=0.0, lt=1.0)
    atol: float = Field(default=0.0, ge=0.0, allow_inf_nan=False)
    max_iterations: int = Field(default=25, ge=1)
