"""Options of the couplings, checked with no solver installed."""

from __future__ import annotations

from typing import Literal

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


class InitialGuessOptions(BaseModel):
    """Options of `initial_guess`.

    Attributes:
        solves: Number of solves; their parameters come from the problem.
        starts: Registered classical proposers that take part in the tournament.
        join: Let proposals join a space of starts instead of competing, where the solver has one (conjugate gradients).
        polish: Most iterations on the problem's coarse mesh from each surrogate's proposal; 0 for none.
        loose: Tolerance on the coarse mesh, as a multiple of its solver's own.
        fine_iterations: Iterations of a solve from a proposed start, after which the fallback takes over.
        stable: Reject solutions whose Jacobian has negative eigenvalues: they lie on another branch.
        energy: Invariant or quantity of the solver that must not rise from the last answer; empty for no such test.
        audit_share: Share of the solves that are compared with the solver's own continuation.
        audit_distance: Largest relative distance from the continuation's answer.
        audit_seed: Draws the audited solves.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    solves: int = Field(default=1, ge=1)
    starts: tuple[str, ...] = ()
    join: bool = True
    polish: int = Field(default=16, ge=0)
    loose: float = Field(default=1.0, ge=1.0)
    fine_iterations: int = Field(default=12, ge=1)
    stable: bool = False
    energy: str = ""
    audit_share: float = Field(default=0.0, ge=0.0, le=1.0)
    audit_distance: float = Field(default=1e-3, gt=0.0)
    audit_seed: int = Field(default=0, ge=0)


class PreconditionerOptions(BaseModel):
    """Options of `preconditioner`.

    Attributes:
        solves: Number of solves; their parameters come from the problem.
        combine: How proposal S and base preconditioner B make z of a residual r: `correct` is B r + S (r - A B r),
            `additive` is B r + S r, `replace` is S r.
        loss_share: What may be lost in one solve before the base method takes over, as a share of a base solve.
        patience: Iterations with hardly any progress after which it takes over while its own cost is unknown.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    solves: int = Field(default=1, ge=1)
    combine: Literal["correct", "additive", "replace"] = "correct"
    loss_share: float = Field(default=0.1, gt=0.0, allow_inf_nan=False)
    patience: int = Field(default=20, ge=1)


class BranchOptions(BaseModel):
    """Options of the verifier `branch`.

    Attributes:
        stable: Reject a solution whose Jacobian has negative eigenvalues.
        energy: Invariant or quantity that must not rise from the last answer; empty for no such test.
        audit_share: Share of the solves that are compared with the solver's own continuation.
        distance: Largest relative distance from the continuation's answer.
        seed: Draws the audited solves.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    stable: bool = True
    energy: str = ""
    audit_share: float = Field(default=0.0, ge=0.0, le=1.0)
    distance: float = Field(default=1e-3, gt=0.0)
    seed: int = Field(default=0, ge=0)


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


class BranchingOptions(BaseModel):
    """Options of `branching`: where the guide may propose, and how it is governed.

    Attributes:
        branching: Whether the guide proposes branching variables.
        settings: Whether it proposes root settings.
        start: Whether a start that the problem names is used.
        insist: Use the guide on instances unlike those of its training, too.
        audit: Whether a sample of the nodes of large trees goes to SCIP's own rule.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    branching: bool = True
    settings: bool = True
    start: bool = True
    insist: bool = False
    audit: bool = True
