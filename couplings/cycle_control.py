"""Full stepping with error control: every period is run, with as many steps as an error estimate asks for.

At times that grow geometrically after each change of load one period is run twice, with the steps in use and with half
as many again. The difference of the growth, by the order of the scheme, gives the error of both and the steps that the
tolerance needs from there on. The finer of the two runs is kept.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

from cosolve.couplings.cyclic import CyclicBlock, CyclicSolver


@dataclass(frozen=True, slots=True)
class ControlSettings:
    """How the steps in a period are controlled.

    Attributes:
        tolerance: Relative error of the growth of the quantity of interest in one period. Errors of many periods and
            places cancel in part, so that the error at the end is smaller.
        counts: Steps in a period to choose from, ascending; each has its own factorisation.
        order: Order of the scheme.
        first_check: Periods after a change of load before the first check, when the transient is over.
        spacing: Each check comes at this many times the time of the one before.
    """

    tolerance: float = 0.02
    counts: tuple[int, ...] = (8, 10, 12, 14, 16, 18, 20, 24, 28, 32, 36, 40, 48)
    order: int = 2
    first_check: int = 1
    spacing: int = 4


class ControlledStepping:
    """Runs blocks period by period (collective).

    Attributes:
        steps: Steps in a period in use; carried from block to block.
    """

    def __init__(self, solver: CyclicSolver[Any], settings: ControlSettings | None = None) -> None:
        self.solver = solver
        self.settings = settings or ControlSettings()
        self.steps = self.settings.counts[len(self.settings.counts) // 2]

    def run_block(self, state: Any, block: CyclicBlock) -> Any:
        """Return the state at the end of `block` (collective); not finite where the scheme was unstable."""
        tau, check = 0, self.settings.first_check
        while tau < block.periods:
            if tau == check:
                state = self._checked(state, block.load)
                tau, check = tau + 1, check * self.settings.spacing
                continue
            until = check if tau < check < block.periods else block.periods
            state = self.solver.advance(state, block.load, until - tau, self.steps)
            tau = until
        return state

    def _checked(self, state: Any, load: Any) -> Any:
        """Run one period twice, choose the steps, and return the end of the finer run."""
        settings, solver = self.settings, self.solver
        finer = min((count for count in settings.counts if count >= 1.5 * self.steps), default=settings.counts[-1])
        coarser = max((count for count in settings.counts if 1.5 * count <= finer), default=settings.counts[0])
        fine = solver.advance(state, load, 1, finer)
        start, end = (solver.quantity(solver.slow(one)) for one in (state, fine))
        coarse = solver.quantity(solver.slow(solver.advance(state, load, 1, coarser)))
        growth = solver.norm(end - start)
        difference = solver.norm(end - coarse) / (1.0 - (coarser / finer) ** settings.order)
        error = difference / growth if growth > 0.0 else math.inf
        # Not finite: the coarser run was unstable, and nothing can be extrapolated from it.
        wanted = coarser * (error / settings.tolerance) ** (1.0 / settings.order) if math.isfinite(error) else math.inf
        self.steps = min((count for count in settings.counts if count >= wanted), default=settings.counts[-1])
        return fine
