"""Options of the curing case, checked without dolfinx."""

from __future__ import annotations

from typing import Literal

from cosolve.examples.curing.process import RANGES, Block, Load, Schedule
from pydantic import BaseModel, ConfigDict, Field


class LoadOptions(BaseModel):
    """One load, where a case gives it rather than draws it.

    Attributes:
        power: Q, peak of the heat source.
        radius: R of the spot's circle.
        centre_x: First coordinate of the circle's centre.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    power: float = Field(gt=0.0, allow_inf_nan=False)
    radius: float = Field(gt=0.0, lt=0.5)
    centre_x: float = Field(ge=0.0, le=1.0)


class CuringOptions(BaseModel):
    """The `[problem]` table of a curing case. Quantities are dimensionless, time is in periods; see `process`.

    Attributes:
        cells: Squares along each side of the unit square, each cut into two triangles.
        periods: Periods of each block.
        seed: Draws the initial bump and the loads that are not given.
        loads: Loads of the blocks, in order; empty draws them all.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    cells: int = Field(default=64, ge=8, le=1024)
    periods: tuple[int, ...] = Field(default=(100, 100, 100, 100), min_length=1)
    seed: int = Field(default=0, ge=0)
    loads: tuple[LoadOptions, ...] = ()

    def schedule(self) -> Schedule:
        """Return the run: given loads, the others drawn."""
        # Imported here: checking a case needs no numpy.
        import numpy as np

        drawn = RANGES.draw(np.random.default_rng(self.seed), self.periods)
        given = [Load(load.power, load.radius, load.centre_x) for load in self.loads]
        loads = given + [block.load for block in drawn.blocks[len(given) :]]
        blocks = tuple(Block(load, count) for load, count in zip(loads, self.periods, strict=False))
        return Schedule(drawn.bump, blocks)


class CuringSolverOptions(BaseModel):
    """The `[solver]` table of a curing case.

    Attributes:
        tolerance: Largest estimated relative L2 error of alpha at any block's end.
        method: `ladder` is the fallback of the hybrid; `classical` (cycle jump), `stepping` and `controlled` (full
            stepping with error control) are the rivals.
        scheme: Integrator: `cn-ab2`, `bdf2` or `bdf3`.
        stepping_steps: Steps in a period where all periods are run.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    tolerance: float = Field(default=0.005, gt=0.0, lt=1.0)
    method: Literal["ladder", "classical", "stepping", "controlled"] = "ladder"
    scheme: Literal["cn-ab2", "bdf2", "bdf3"] = "cn-ab2"
    stepping_steps: int = Field(default=32, ge=4, le=10_000)


class ComparedOptions(BaseModel):
    """Options of the coupling `compared_cycle_jump`.

    Attributes:
        steps: Steps in a period of full stepping, fewer and more than it needs for the hybrid's error: its cost at that
            error is interpolated.
        classical_steps: Steps in a period of the classical cycle jump.
        repeats: Runs of the hybrid and of the classical jump whose median is shown; full stepping is run once.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    steps: tuple[int, ...] = Field(default=(16, 20, 24), min_length=2)
    classical_steps: int = Field(default=16, ge=8, le=1000)
    repeats: int = Field(default=3, ge=1, le=100)
