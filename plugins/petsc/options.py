"""Options of PETSc's solvers and couplings, checked without petsc4py."""

from __future__ import annotations

from cosolve.core.options import Count, Options, Positive


class PetscTsOptions(Options):
    """Options of the coupling `petsc_ts`; what is None comes from the problem, and PETSc's own options win.

    Attributes:
        t_end: End of the run, in the problem's unit of time; `-<prefix>ts_max_time` wins.
        dt: Length of the first step; `-<prefix>ts_dt` wins, and an adaptive TS chooses the others.
    """

    t_end: Positive | None = None
    dt: Positive | None = None


class EnergyProjectionOptions(Options):
    """Options of the proposer `energy_projection`.

    Attributes:
        size: Solutions that are kept at most; a full space forgets its older half.
    """

    size: Count = 20


class AdaptiveStartOptions(Options):
    """Options of the proposer `adaptive_start`.

    Attributes:
        size: Solutions that the space keeps at most.
    """

    size: Count = 20


class CoarseSpaceOptions(Options):
    """Options of the surrogate `coarse_space`.

    Attributes:
        size: Modes that are kept, at most.
        trains: Whether modes are trained when the solver is known, for its operator of then: see `slow_modes`.
        learns: Whether solutions join the space while there is room.
    """

    size: Count = 40
    trains: bool = False
    learns: bool = True
