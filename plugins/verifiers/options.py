"""Options of the verifiers, checked with no solver installed."""

from __future__ import annotations

from typing import Any

from pydantic import BaseModel, ConfigDict, Field


class ResidualOptions(BaseModel):
    """Options of `residual`.

    Attributes:
        accept_fraction: A proposal is accepted when its residual is at most this fraction of the solver's tolerance.
        correct_ratio: Up to this many times the tolerance it is a start for a few iterations; above, it is rejected.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    accept_fraction: float = Field(default=0.5, gt=0.0, le=1.0)
    correct_ratio: float = Field(default=100.0, ge=0.0, allow_inf_nan=False)


class InvariantsOptions(BaseModel):
    """Options of `invariants`; names are those of the solver's invariants.

    Attributes:
        conserved: Largest change of each conserved quantity in one step, relative to its scale.
        decaying: Largest rise of each quantity that must not rise, relative to its scale.
        scale: Scale by name; by default the magnitude before the step, and 1 where that is zero.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    conserved: dict[str, float] = {}
    decaying: dict[str, float] = {}
    scale: dict[str, float] = {}


class EnvelopeOptions(BaseModel):
    """Options of `envelope`.

    Attributes:
        bounds: Lowest and highest value of each parameter.
        margin: How far outside a parameter may lie, as a fraction of its range.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    bounds: dict[str, tuple[float, float]]
    margin: float = Field(default=0.0, ge=0.0, allow_inf_nan=False)


class CompositionOptions(BaseModel):
    """Options of `all_of` and `first_of`.

    Attributes:
        members: Tables with the `name` of a verifier and its options.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    members: list[dict[str, Any]] = Field(min_length=1)
