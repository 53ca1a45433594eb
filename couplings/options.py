"""Options of the couplings, checked with no solver installed."""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict, Field


class TimeLoopOptions(BaseModel):
    """Options of `time_loop`; what is None comes from the problem.

    Attributes:
        t_end: End of the run, in the problem's unit of time.
        dt: Length of a step.
        classical_starts: In the mode `initial_guess`, let the extrapolations take part in the tournament.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    t_end: float | None = Field(default=None, allow_inf_nan=False)
    dt: float | None = Field(default=None, gt=0.0, allow_inf_nan=False)
    classical_starts: bool = True
