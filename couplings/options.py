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


class CycleSweepsOptions(BaseModel):
    """Options of the verifier `cycle_sweeps`.

    Attributes:
        step_share: Share of the tolerance that the time step may use; the steps in a period follow from it.
        checkpoints: Times of the checkpoints as shares of a block, in the order in which they are run.
        audit_seed: Draws the audited block and time; absent with `audit = false`.
        audit: Whether one block of a run is audited.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    step_share: float = Field(default=0.4, gt=0.0, lt=1.0)
    checkpoints: tuple[float, ...] = Field(default=(0.5, 0.8, 0.15, 0.3), min_length=1)
    audit_seed: int = Field(default=0, ge=0)
    audit: bool = True
