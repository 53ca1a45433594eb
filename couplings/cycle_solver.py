"""Any cyclic solver as a solver of cosolve's contract: one step is one block of periods.

The state is one flat array: the owned values of the slow variable, then those of the fast one. A classical step runs a
block by the classical cycle jump, and by full stepping where that one's own correctors are too large.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any, ClassVar, Literal

import numpy as np
from cosolve.core.arrays import Array
from cosolve.core.consensus import FaultAwareCommunicator
from cosolve.core.query import Query
from cosolve.core.solver import ResidualMeasure, Solver, SolveResult
from cosolve.core.verdict import Grade
from cosolve.couplings.cycle_control import ControlledStepping, ControlSettings
from cosolve.couplings.cycle_jump_classical import ClassicalCycleJump, ClassicalSettings
from cosolve.couplings.cyclic import CyclicBlock, CyclicSolver, FloatArray
from cosolve.couplings.slow_evolution import SlowEvolution

Method = Literal["ladder", "classical", "stepping", "controlled"]
Source = Literal["surrogate", "classical", "stepping"]


@dataclass(frozen=True, slots=True)
class BlockRecord:
    """What became of one block.

    Attributes:
        source: Who computed its end.
        estimate: Estimated relative error that the block added.
        work: Time steps, those of rejected attempts included.
        periods: True periods run.
        changes: Relative changes by checkpoints, or by correctors.
        audit: Relative change of the block's end by an audit, None where there was none.
    """

    source: Source
    estimate: float
    work: int
    periods: int
    changes: tuple[float, ...]
    audit: float | None = None


@dataclass(slots=True)
class ErrorAccount:
    """The estimated relative error of the quantity of interest, the largest over the block ends so far.

    Errors of blocks are taken as independent, so their squares are added; what an audit changes may be wrong in every
    block.

    Attributes:
        floor: Error that nothing measures (the time step's).
        audit_factor: Share of an audit's change that enters.
        squares: Sum of the squared estimates of the blocks.
        audit: Largest change that an audit made.
    """

    floor: float = 0.0
    audit_factor: float = 0.5
    squares: float = 0.0
    audit: float = 0.0

    def with_block(self, estimate: float, audit: float = 0.0) -> float:
        """Return the estimate if a block with these figures were added."""
        return self.floor + math.sqrt(self.squares + estimate**2) + self.audit_factor * max(self.audit, audit)

    def add(self, estimate: float, audit: float = 0.0) -> None:
        """Add a block."""
        self.squares += estimate**2
        self.audit = max(self.audit, audit)

    @property
    def estimate(self) -> float:
        """The estimate so far."""
        return self.with_block(0.0)


@dataclass(slots=True)
class Proposal:
    """What a slow surrogate leaves for the judge: the evolution of a block, before any checkpoint."""

    step: int
    evolution: SlowEvolution
    refusal: str = ""


@dataclass(slots=True)
class _Kept:
    """A corrected block that the judge found good enough; `correct` hands it out."""

    step: int
    value: Array
    record: BlockRecord


def cautious() -> ClassicalSettings:
    """Return settings of the classical cycle jump as a fallback: dearer than the tuned ones, and half their error."""
    return ClassicalSettings(start_periods=13, first_jump=6, growth=2.0)


@dataclass(frozen=True, slots=True)
class CycleSettings:
    """How blocks are run classically.

    Attributes:
        tolerance: Largest estimated relative error of the quantity of interest at any block's end.
        method: `ladder`: the classical cycle jump, then full stepping; `classical`, `stepping` and `controlled` (full
            stepping with error control) are the rivals, which ask for no estimate.
        classical: Settings of the classical cycle jump.
        stepping_steps: Steps in a period where all periods are run.
        control: Settings of the error control.
        classical_factor: Estimated error of a classical block as a share of the sum of its correctors' changes; to be
            calibrated for a problem.
        floor: Error that nothing measures.
        audit_factor: Share of an audit's change that enters the estimate.
    """

    tolerance: float = 0.005
    method: Method = "ladder"
    classical: ClassicalSettings = field(default_factory=cautious)
    stepping_steps: int = 32
    control: ControlSettings = field(default_factory=ControlSettings)
    classical_factor: float = 0.1
    floor: float = 0.002
    audit_factor: float = 0.5


class CycleSolver(Solver):
    """A `CyclicSolver` with its row of blocks (collective to build).

    Attributes:
        cyclic: Runs true periods.
        blocks: The blocks; transaction number i advances over block i.
        settings: How blocks are run classically.
        account: The estimated error so far.
        records: What became of each committed block; of a block that is tried again the last.
        proposal: The last proposal of a slow surrogate.
    """

    name: ClassVar[str] = "cycles"
    grade: ClassVar[Grade] = Grade.ESTIMATED

    def __init__(
        self,
        cyclic: CyclicSolver[Any],
        start: Any,
        blocks: Sequence[CyclicBlock],
        settings: CycleSettings | None = None,
    ) -> None:
        """Take the parts; `start` is the state at the start of the first block."""
        self.cyclic = cyclic
        # Reductions of ours meet first, so that a fault on one rank is known on all before PETSc is entered again.
        self.comm = FaultAwareCommunicator(cyclic.comm)
        cyclic.comm = self.comm
        self.blocks = tuple(blocks)
        self.settings = settings or CycleSettings()
        self.account = ErrorAccount(self.settings.floor, self.settings.audit_factor)
        self.records: dict[int, BlockRecord] = {}
        self.proposal: Proposal | None = None
        self.classical = ClassicalCycleJump(cyclic, self.settings.classical)
        self.controlled = ControlledStepping(cyclic, self.settings.control)
        self._start = start
        self._kept: _Kept | None = None
        self._work_before = 0

    @property
    def n_owned(self) -> int:
        """Twice the number of owned values of a field: the slow, then the fast variable."""
        return 2 * len(self.cyclic.slow(self._start))

    def initial_state(self) -> Array:
        """Return slow and fast variable at the start."""
        return self.flat(self.cyclic.slow(self._start), self.cyclic.fast(self._start))

    def coordinates(self) -> Array:
        """Return the nodes, once for each of the two fields, with the field's index as the last column (local).

        Raises:
            NotImplementedError: The cyclic solver has no `points`.
        """
        points = getattr(self.cyclic, "points", None)
        if points is None:
            raise NotImplementedError(f"solver {self.name!r} does not say where its values live")
        return np.concatenate([np.column_stack([points, np.full(len(points), float(index))]) for index in (0, 1)])

    @staticmethod
    def flat(slow: FloatArray, fast: FloatArray) -> Array:
        """Return one array of both."""
        return np.concatenate([slow, fast])

    def parts(self, state: Array) -> tuple[FloatArray, FloatArray]:
        """Return the slow and the fast variable of a flat state (views)."""
        half = len(state) // 2
        return state[:half], state[half:]

    def block(self, query: Query) -> CyclicBlock:
        """Return the block that `query` asks for."""
        return self.blocks[query.step]

    def begin(self, query: Query) -> None:
        """Note that work on the block of `query` starts, before anybody is asked."""
        self._work_before = self.cyclic.work

    def keep(self, query: Query, value: Array, record: BlockRecord) -> None:
        """Keep a corrected block for `correct`."""
        self._kept = _Kept(query.step, value, record)

    @property
    def work_of_block(self) -> int:
        """Time steps since the block was begun."""
        return self.cyclic.work - self._work_before

    def _correct(self, query: Query, x0: Array, max_iterations: int) -> SolveResult:
        """Hand out what the judge's checkpoints made of the proposal."""
        kept = self._kept
        if kept is None or kept.step != query.step:
            return self._step(query, None)
        self.account.add(kept.record.estimate, kept.record.audit or 0.0)
        self.records[query.step] = kept.record
        self._kept = None
        return SolveResult(kept.value, True, "corrected at checkpoints", iterations=kept.record.periods)

    def _step(self, query: Query, x0: Array | None) -> SolveResult:
        """Run the block classically."""
        settings, cyclic, block = self.settings, self.cyclic, self.block(query)
        start = self._start if query.step == 0 else cyclic.state(*self.parts(query.state))
        source: Source = "stepping"
        estimate, periods = 0.0, 0
        changes: tuple[float, ...] = ()
        end = None
        if settings.method not in ("stepping", "controlled"):
            tried = self.classical.run_block(start, block)
            changes, periods = tried.corrections, tried.periods
            estimate = settings.classical_factor * float(sum(changes))
            # NaN (an unstable scheme) compares as False and leads to full stepping, too.
            if settings.method == "classical" or self.account.with_block(estimate) <= settings.tolerance:
                source, end = "classical", tried.state
        if end is None:
            if settings.method == "controlled":
                end = self.controlled.run_block(start, block)
            else:
                end = cyclic.advance(start, block.load, block.periods, settings.stepping_steps)
            estimate, periods = 0.0, periods + block.periods
        value = self.flat(cyclic.slow(end), cyclic.fast(end))
        finite = bool(cyclic.total(np.array([float(not np.isfinite(value).all())]))[0] == 0.0)
        self.account.add(estimate)
        self.records[query.step] = BlockRecord(source, estimate, self.work_of_block, periods, changes)
        reason = f"{periods} true periods, {source}" if finite else "values are not finite: the scheme was unstable"
        return SolveResult(value, finite, reason, iterations=periods)

    def measure(self, query: Query, candidate: Array) -> ResidualMeasure:
        """Return no measure: a jump over many periods has no discrete equation of its own."""
        return ResidualMeasure({"block": math.nan}, {"block": self.settings.tolerance})

    def norm(self, state: Array) -> float:
        """Return the norm of the slow part (collective)."""
        return self.cyclic.norm(self.parts(state)[0])

    def quantities(self, state: Array) -> Mapping[str, float]:
        """Return the norm of the quantity of interest (collective)."""
        return {"quantity": self.cyclic.norm(self.cyclic.quantity(self.parts(state)[0]))}

    def restart_memory(self) -> Mapping[str, Any]:
        """Return the records of the blocks so far, the floor of the account, and the work."""
        records = {str(step): asdict(record) for step, record in self.records.items()}
        return {"records": records, "floor": self.account.floor, "work": self.cyclic.work}

    def restart_from(self, memory: Mapping[str, Any]) -> None:
        """Take back records, floor and work (local)."""
        self.records = {
            int(step): BlockRecord(**{**record, "changes": tuple(record["changes"])})
            for step, record in memory["records"].items()
        }
        self.account.floor = float(memory["floor"])
        self.cyclic.work = int(memory["work"])

    def memory(self) -> Mapping[str, Array]:
        """Return the account of errors."""
        return {"account": np.array([self.account.squares, self.account.audit])}

    def restore(self, memory: Mapping[str, Array]) -> None:
        """Take back the account."""
        self.account.squares, self.account.audit = (float(value) for value in memory["account"])

    def close(self) -> None:
        """Free the cyclic solver's objects (collective)."""
        self.cyclic.close()
