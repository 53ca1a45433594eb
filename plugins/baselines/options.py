"""Options of the classical rivals; imports nothing heavy, so that a case is checked without a solver."""

from __future__ import annotations

from typing import Literal

from pydantic import BaseModel, ConfigDict, Field


class ProjectionOptions(BaseModel):
    """Options of the proposer `projection`.

    Attributes:
        method: `least_squares` minimises the linearised residual over the span of recent increments; `galerkin` makes
            it orthogonal to that span, which is best where the equations are symmetric.
        window: Number of recent states that span the space.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    method: Literal["least_squares", "galerkin"] = "least_squares"
    window: int = Field(default=5, ge=2, le=40)


class AdaptiveOptions(BaseModel):
    """Options of the coupling `adaptive_stepping`.

    Attributes:
        rtol: Local error allowed in each step, relative to the norm of the state.
        atol: Local error allowed in each step, absolute, in the solver's norm.
        dt_min: Smallest step, in the problem's unit of time; 0 for a millionth of the time span.
        dt_max: Largest step; 0 for the whole time span.
        dt_first: First step; 0 for the problem's own default.
        order: Order of the solver's time integrator.
        estimate: `embedded` compares each step with the extrapolation of the same order (free, needs a history, until
            then it doubles); `doubling` compares one step with two half steps (three solves a step).
        max_steps: Most steps, rejected ones included.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    rtol: float = Field(default=1e-3, gt=0.0, lt=1.0)
    atol: float = Field(default=0.0, ge=0.0, allow_inf_nan=False)
    dt_min: float = Field(default=0.0, ge=0.0, allow_inf_nan=False)
    dt_max: float = Field(default=0.0, ge=0.0, allow_inf_nan=False)
    dt_first: float = Field(default=0.0, ge=0.0, allow_inf_nan=False)
    order: Literal[1, 2] = 1
    estimate: Literal["embedded", "doubling"] = "embedded"
    max_steps: int = Field(default=100_000, ge=1)


class ComparedOptions(BaseModel):
    """Options of the coupling `compared_time_loop`.

    Attributes:
        rivals: Registered classical proposers; each is run on its own as the start of every solve.
        repeats: Interleaved repetitions; costs are medians over them.
        reference_rtol: Tolerance of the run that errors are measured against; 0 for none.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    rivals: tuple[str, ...] = ("previous", "linear_extrapolation", "quadratic_extrapolation")
    repeats: int = Field(default=3, ge=1, le=100)
    reference_rtol: float = Field(default=1e-9, ge=0.0, lt=1.0)
