"""The slow-time coupling: a surrogate proposes the slow evolution over many fast cycles, true cycles judge it.

Each transaction is one block of periods under one cyclic load. A slow surrogate proposes the end of the block; the
judge runs true periods at checkpoints and corrects the slow evolution by what they measure until its end stands still
(`cycle_jump_verifier`, grade: estimated); else the block is run by the classical cycle jump, and where that one's own
estimate is too large by full stepping (`cycle_solver`). One block of a run is audited at a random time.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, ClassVar, TypeAlias

from cosolve.core.coupling import Coupling, CouplingContext, Mode, VerdictFalls
from cosolve.core.errors import BadInputError
from cosolve.core.governor import Governor
from cosolve.core.ledger import Ledger
from cosolve.core.loop import Loop, LoopState
from cosolve.core.query import Query, Transaction
from cosolve.core.result import Result
from cosolve.core.session import Session
from cosolve.core.session_settings import checked_options
from cosolve.core.surrogate import Surrogate
from cosolve.core.verifier import Verifier
from cosolve.couplings.cycle_jump_verifier import CycleSweeps
from cosolve.couplings.cycle_solver import CycleSolver

OnBlock: TypeAlias = Callable[[LoopState], None]


class CycleJump(Coupling):
    """Advances a `CycleSolver` over all its blocks, one transaction for each.

    Args:
        context: Session, solver and proposers. The solver must be a `CycleSolver`.
        on_block: Called on every rank with the loop's state after each committed block.

    Raises:
        BadInputError: The solver runs no cycles.
    """

    name: ClassVar[str] = "cycle_jump"
    transaction: ClassVar[Transaction] = "run"
    verdict_falls: ClassVar[VerdictFalls] = "deferred"

    def __init__(self, context: CouplingContext, on_block: OnBlock | None = None) -> None:
        super().__init__(context)
        if not isinstance(context.solver, CycleSolver):
            raise BadInputError(
                f"the coupling cycle_jump needs a solver of cycles, but solver {context.solver.name!r} is none; "
                "wrap it as a `cosolve.couplings.cycle_solver.CycleSolver`"
            )
        self.solver = context.solver
        self._on_block = on_block

    def run(self) -> Result:
        """Run all blocks (collective)."""
        context, solver = self.context, self.solver
        blocks = solver.blocks
        began = solver.cyclic.work

        def length(state: LoopState) -> float:
            solver.begin(Query(state.value, state.t, step=state.step))
            return float(blocks[state.step].periods)

        loop = Loop(
            context.session,
            context.proposers,
            t=0.0,
            t_end=float(sum(block.periods for block in blocks)),
            dt=length,
            parameters=context.parameters,
            directory=context.directory,
            checkpoint_every=context.checkpoint_every,
            on_step=self._committed,
            options=context.options,
        )
        result = loop.run(resume=context.resume)
        stats = {**result.stats, **self.summary(solver.cyclic.work - began)}
        return replace(result, stats=stats)

    def summary(self, work: int) -> Mapping[str, Any]:
        """Return the run's figures: the estimate, work, and who computed how many blocks."""
        solver = self.solver
        records = [solver.records[step] for step in sorted(solver.records)]
        return {
            "estimated_error": solver.account.estimate,
            "tolerance": solver.settings.tolerance,
            "time_steps": work,
            "true_periods": sum(record.periods for record in records),
            "periods": sum(block.periods for block in solver.blocks),
            **{
                f"blocks_{source}": sum(record.source == source for record in records)
                for source in ("surrogate", "classical", "stepping")
            },
        }

    def _committed(self, state: LoopState) -> None:
        if self._on_block is not None:
            self._on_block(state)
        if self.context.on_commit is not None and state.outcome is not None:
            self.context.on_commit(state.t, state.value, state.outcome.source)


def cycle_jump(
    solver: CycleSolver,
    proposers: Surrogate | Sequence[Surrogate] = (),
    *,
    mode: Mode = "replace",
    verifier: Verifier | None = None,
    directory: str | Path | None = None,
    on_block: OnBlock | None = None,
    raise_on_failure: bool = True,
    **session_options: Any,
) -> Result:
    """Run a hybrid cycle jump from a user's own script (collective).

    ```python
    solver = CycleSolver(my_cyclic_solver, start, blocks, CycleSettings(tolerance=0.005))
    result = cycle_jump(solver, my_slow_surrogate)
    print(result.stats["estimated_error"], "with", result.stats["true_periods"], "true periods")
    ```

    Args:
        solver: The cyclic solver with its blocks.
        proposers: Slow surrogates in order of preference; empty for a classical run.
        mode: As in `time_loop`; `replace` is the hybrid, `off` the classical run.
        verifier: The judge; by default `CycleSweeps` with its calibrated factors.
        directory: Output folder for the ledger; None writes nothing.
        on_block: Called on every rank with the loop's state after each committed block.
        raise_on_failure: Raise when the run fails; False returns the result with its status.
        **session_options: Further arguments of `Session`.

    Returns:
        The result; its statistics hold the estimated error and who computed which blocks.

    Raises:
        NotConvergedError: Even full stepping gave values that are not finite.
    """
    chosen = [proposers] if isinstance(proposers, Surrogate) else list(proposers)
    judge = CycleSweeps() if verifier is None and mode != "off" else verifier
    folder = None if directory is None else Path(directory)
    further = checked_options(session_options, Session, "cycle_jump", inspect.signature(cycle_jump).parameters)
    ledger = None if folder is None else Ledger(folder, solver.comm)
    # The judge counts work itself; the session's governor would spend whole blocks on references.
    session = Session(solver, judge, mode=mode, ledger=ledger, **{"governor": Governor("off"), **further})
    try:
        result = CycleJump(CouplingContext(session, solver, chosen, judge, directory=folder), on_block).run()
    finally:
        session.tell_faults()
        session.close()
        if ledger is not None:
            ledger.close()
    return result.raise_on_failure() if raise_on_failure else result
