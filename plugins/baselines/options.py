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


class LoadSteppingOptions(BaseModel):
    """Options of `load_stepping`.

    Attributes:
        first_step: First step, a share of the path.
        growth: Factor of the step after an easy one.
        shrink: Factor of the step after one that failed.
        smallest_step: Smallest step; below it the continuation has failed.
        corrector_iterations: Iterations after which a step has failed.
        easy_iterations: A step of at most so many iterations was easy.
        order: Degree of the predictor: 0 the last point, 1 the secant, 2 the parabola through three points.
        loose: Factor of the tolerance of the points on the way.
        max_steps: Most steps.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    first_step: float = Field(default=0.1, gt=0.0, le=1.0)
    growth: float = Field(default=2.0, ge=1.0)
    shrink: float = Field(default=0.5, gt=0.0, lt=1.0)
    smallest_step: float = Field(default=1e-4, gt=0.0)
    corrector_iterations: int = Field(default=4, ge=1)
    easy_iterations: int = Field(default=2, ge=0)
    order: int = Field(default=2, ge=0, le=3)
    loose: float = Field(default=1e6, ge=1.0, allow_inf_nan=False)
    max_steps: int = Field(default=1000, ge=1)


class ArcLengthOptions(BaseModel):
    """Options of `arc_length`; lengths are in the unit in which the first step is `first_step` times the root of two.

    Attributes:
        first_step: First step, a share of the path.
        growth: Factor of the length after an easy step.
        shrink: Factor of the length after a step that failed.
        smallest_step: Smallest length.
        largest_step: Largest length.
        corrector_iterations: Iterations, of two Newton steps each, after which a step has failed.
        easy_iterations: A step of at most so many iterations was easy.
        loose: Factor of the tolerance of the points on the way.
        max_steps: Most steps.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    first_step: float = Field(default=0.05, gt=0.0, le=1.0)
    growth: float = Field(default=1.5, ge=1.0)
    shrink: float = Field(default=0.5, gt=0.0, lt=1.0)
    smallest_step: float = Field(default=1e-4, gt=0.0)
    largest_step: float = Field(default=0.5, gt=0.0)
    corrector_iterations: int = Field(default=6, ge=1)
    easy_iterations: int = Field(default=3, ge=0)
    loose: float = Field(default=1e4, ge=1.0, allow_inf_nan=False)
    max_steps: int = Field(default=1000, ge=1)


class GridSequencingOptions(BaseModel):
    """Options of `grid_sequencing`.

    Attributes:
        fine_iterations: Iterations on the fine mesh after which the interpolated start has failed.
        loose: Tolerance of the coarse solution, as a multiple of the solver's own.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    fine_iterations: int = Field(default=12, ge=1)
    loose: float = Field(default=1.0, ge=1.0)
