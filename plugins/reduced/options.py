"""Options of fitting the reduced surrogates; imports nothing heavy."""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict, Field, field_validator


class PodRidgeFit(BaseModel):
    """Options of `PodRidge.fit`.

    Attributes:
        modes_in: POD modes of the state that the regression reads.
        modes_out: POD modes of the next state that it writes.
        leading: How many of the inputs enter all monomials of degree 2, 3, ...; inputs are parameters, schedules, then
            POD coefficients in falling order of energy.
        ridge: Weight of the penalty, relative to the mean square of a feature.
        skip: First steps of each run that the fit leaves out: transients that cost modes and come once a run.
        stiffness: Weight of fine scales in the POD of the next state: modes are chosen in the norm
            |a (1 + stiffness pi^2 |k|^2)|, the residual of an implicit diffusion step where it is dt times the
            diffusivity. Needs the cosine transform; 0 for the L2 norm.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    modes_in: int = Field(default=20, ge=1)
    modes_out: int = Field(default=20, ge=1)
    leading: tuple[int, ...] = (10,)
    ridge: float = Field(default=1e-8, ge=0.0, allow_inf_nan=False)
    skip: int = Field(default=0, ge=0)
    stiffness: float = Field(default=0.0, ge=0.0, allow_inf_nan=False)

    @field_validator("leading")
    @classmethod
    def _falls(cls, leading: tuple[int, ...]) -> tuple[int, ...]:
        if any(count < 0 for count in leading):
            raise ValueError("counts of leading inputs must not be negative")
        return leading


class DmdFit(BaseModel):
    """Options of `Dmd.fit`.

    Attributes:
        modes: POD modes on which the map acts.
        skip: First steps of each run that the fit leaves out.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    modes: int = Field(default=20, ge=1)
    skip: int = Field(default=0, ge=0)
