"""The judge of slow evolutions: true periods at checkpoints, in sweeps until the slow state stands still."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
from cosolve.core.prediction import Prediction
from cosolve.core.query import Query
from cosolve.core.solver import Solver
from cosolve.core.verdict import Decision, Grade, Verdict
from cosolve.core.verifier import Verifier
from cosolve.couplings.checkpoint import measure
from cosolve.couplings.cycle_jump_block import (
    HybridBlock,
    HybridSettings,
    effect_norm,
    relative_difference,
    run_hybrid_block,
)
from cosolve.couplings.cycle_solver import BlockRecord, CycleSolver


class CycleGovernor:
    """Decides whether the surrogate is worth a block; counts time steps, so that every rank and rerun decides alike.

    After a block in which the surrogate failed, or cost more than the classical cycle jump would have, it is left out
    for 1, 2, 4, ... blocks.
    """

    def __init__(self) -> None:
        self._pause = 0
        self._next_pause = 1

    def asks(self) -> bool:
        """Return whether the surrogate is believed worth the next block."""
        if self._pause > 0:
            self._pause -= 1
            return False
        return True

    def record(self, work: int, rival_work: int, converged: bool) -> None:
        """Take in a block in which the surrogate was asked, and the time steps of both."""
        if converged and work < rival_work:
            self._next_pause = 1
            return
        self._pause = self._next_pause
        self._next_pause *= 2

    def memory(self) -> dict[str, int]:
        """Return the pauses, for a checkpoint."""
        return {"pause": self._pause, "next_pause": self._next_pause}

    def restore(self, memory: Mapping[str, Any]) -> None:
        """Take back what `memory` returned."""
        self._pause, self._next_pause = int(memory["pause"]), int(memory["next_pause"])


@dataclass(frozen=True, slots=True)
class Audit:
    """Where a run is audited.

    Attributes:
        block: Number of the block.
        share: Time in it, as a share of its length.
    """

    block: int
    share: float


class CycleSweeps(Verifier):
    """Judges a slow surrogate's evolution of a block by true periods, and corrects it by what they measure."""

    name: ClassVar[str] = "cycle_sweeps"
    grade: ClassVar[Grade] = Grade.ESTIMATED
    guarantees: ClassVar[str] = (
        "true periods, run at the checkpoints from the corrected slow state, no longer change the end of the block by "
        "more than a calibrated share of the tolerance; one block of a run is audited at a random time by a finer step"
    )
    does_not_guarantee: ClassVar[str] = (
        "an error bound: between checkpoints the defect is interpolated, and the factors are calibrated on runs within "
        "the training ranges"
    )

    def __init__(self, hybrid: HybridSettings | None = None, audit_seed: int | None = 0) -> None:
        """Take the settings.

        Args:
            hybrid: Checkpoints and factors.
            audit_seed: Draws the audited block and time, the same on every rank; None audits nothing.
        """
        self.hybrid = hybrid or HybridSettings()
        self.audit_seed = audit_seed
        self.governor = CycleGovernor()

    def memory(self) -> Mapping[str, Any]:
        """Return the governor's pauses."""
        return self.governor.memory()

    def restore(self, memory: Mapping[str, Any]) -> None:
        """Take back the governor's pauses."""
        self.governor.restore(memory)

    def audit_of(self, blocks: int) -> Audit | None:
        """Return where a run of so many blocks is audited."""
        if self.audit_seed is None:
            return None
        rng = np.random.default_rng(self.audit_seed)
        return Audit(int(rng.integers(blocks)), float(rng.uniform(0.02, 0.95)))

    def _judge(self, solver: Solver, query: Query, prediction: Prediction) -> Verdict:
        """Run the checkpoints (collective); CORRECT keeps the corrected block with the solver."""
        if not isinstance(solver, CycleSolver):
            return _rejected("the solver runs no cycles")
        proposal, tolerance = solver.proposal, solver.settings.tolerance
        if proposal is None or proposal.step != query.step:
            return _rejected("the proposal brings no slow evolution that checkpoints could correct")
        if query.step == 0:
            self.governor = CycleGovernor()
            solver.account.floor = self.hybrid.steps_for(tolerance)[1]
        if proposal.refusal:
            return _rejected(proposal.refusal, tolerance)
        if not self.governor.asks():
            return _rejected("left out by the governor: the classical cycle jump was cheaper before", tolerance)
        block = solver.block(query)
        hybrid = run_hybrid_block(solver.cyclic, proposal.evolution, tolerance, self.hybrid)
        audit = self._audit(solver, query, hybrid)
        total = solver.account.with_block(hybrid.estimate, audit or 0.0)
        if hybrid.converged and not total <= tolerance:
            hybrid.converged = False
            hybrid.reason = f"the estimated error {total:.2g} is above the tolerance" + (
                "" if audit is None else f", an audit having changed it by {audit:.2g}"
            )
        rival = solver.classical.planned_work(block.periods)
        self.governor.record(solver.work_of_block, rival, hybrid.converged)
        if not hybrid.converged:
            return _rejected(hybrid.reason, tolerance, total)
        record = BlockRecord(
            "surrogate", hybrid.estimate, solver.work_of_block, hybrid.periods, tuple(hybrid.changes), audit
        )
        solver.keep(query, solver.flat(hybrid.slow, hybrid.fast), record)
        last = hybrid.changes[-1]
        reason = (
            f"checkpoint {len(hybrid.changes)} changes the end of the block by {last:.2g}; estimated error {total:.2g}"
        )
        return Verdict(Decision.CORRECT, Grade.ESTIMATED, total, tolerance, reason)

    def _audit(self, solver: CycleSolver, query: Query, hybrid: HybridBlock) -> float | None:
        """Measure the log-rate at a random time with a finer step, and correct the evolution by it (collective).

        Returns:
            The relative change of the quantity of interest at the block's end; None where this block is not audited.
        """
        audit = self.audit_of(len(solver.blocks))
        if audit is None or audit.block != query.step or not hybrid.converged:
            return None
        evolution, periods = hybrid.evolution, hybrid.evolution.block.periods
        tau = max(0, min(round(audit.share * periods), periods - 2))
        slow, _ = evolution.integrate_to(tau, periods)
        # Half as many steps again as at the checkpoints: the time step is audited, too.
        steps = self.hybrid.audit_steps(solver.settings.tolerance)
        found = measure(solver.cyclic, evolution, float(tau), slow, None, steps, self.hybrid.unsettled_limit)
        hybrid.periods += found.periods
        if not np.isfinite(effect_norm(solver.cyclic, evolution.start, hybrid.slow, found.defect)):
            return float("inf")
        # What the audit measured is used: the change that it makes is the error that the checkpoints had left.
        evolution.defects.add(found.tau, found.defect)
        end = evolution.integrate([float(periods)])[0]
        change = relative_difference(solver.cyclic, end, hybrid.slow)
        hybrid.slow = end
        return change


def from_options(audit: bool, audit_seed: int, **hybrid: Any) -> CycleSweeps:
    """Return the verifier of a case, see `CycleSweepsOptions`."""
    return CycleSweeps(HybridSettings(**hybrid), audit_seed if audit else None)


def _rejected(reason: str, tolerance: float = float("nan"), measured: float = float("nan")) -> Verdict:
    return Verdict(Decision.REJECT, Grade.ESTIMATED, measured, tolerance, reason)
