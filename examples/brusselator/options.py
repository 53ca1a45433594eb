"""Options of the Brusselator, checked without PETSc."""

from __future__ import annotations

from cosolve.core.options import Options, Positive
from pydantic import Field


class BrusselatorOptions(Options):
    """The `[problem]` table of a Brusselator case. Quantities are dimensionless, see the module `problem`.

    Attributes:
        cells: Grid points along each side of the periodic unit square.
        end_time: End of the run; a period of the reaction is about 7.
        dt: Length of a step.
        a: Feed a; the steady state is (a, b / a).
        b: Rate b; above 1 + a^2 the reaction oscillates.
        diffusivity_u: Diffusivity of u, in side^2 over time.
        diffusivity_v: Diffusivity of v.
        seed: Draws the phases of the initial waves.
    """

    cells: int = Field(default=128, ge=8, le=4096)
    end_time: Positive = 10.0
    dt: Positive = 0.05
    a: Positive = 1.0
    b: Positive = 2.5
    diffusivity_u: Positive = 2e-3
    diffusivity_v: Positive = 1e-3
    seed: int = Field(default=0, ge=0)


class LocalRegressionOptions(Options):
    """Options of the surrogate `local_regression`.

    Attributes:
        levels: Accepted states that a proposal reads, the last one included.
        rows: Grid points that each rank learns from in a step.
        forget: Share of what was learnt that is forgotten in each step.
        ridge: Weight of the penalty, relative to the mean square of a feature.
    """

    levels: int = Field(default=4, ge=2, le=6)
    rows: int = Field(default=2048, ge=16)
    forget: float = Field(default=0.5, ge=0.0, lt=1.0)
    ridge: float = Field(default=1e-10, gt=0.0)
