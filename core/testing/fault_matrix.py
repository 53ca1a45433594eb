"""The matrix of faults: each kind, in each role, in each coupling, on each number of ranks, and what must come of it.

A coupling joins by one `FaultTarget`, which makes a small run into which a fault can be planted. `run_cell` plants,
runs, and compares over the ranks: a cell holds when it ends with the classical answer to tolerance, or with an error of
cosolve's own that reads the same on every rank.
"""

from __future__ import annotations

import contextlib
import importlib
import importlib.util
import io
import itertools
import logging
import time
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Final

from cosolve.core.communicator import Communicator
from cosolve.core.errors import CosolveError
from cosolve.core.result import Result
from cosolve.core.testing.faults import CATALOGUE, Fault, FaultRole, Kind, missing, plant
from cosolve.core.verdict import Grade
from cosolve.core.watchdog import Heartbeat, Watchdog

ROLES: Final[tuple[FaultRole, ...]] = ("surrogate", "verifier", "solver")
RANKS: Final = (1, 2, 3)
DEADLINE_SECONDS: Final = 2.0
"""Deadline of proposers, verifier and solver in a cell, long for a busy machine; the kind `deadline` sleeps longer."""
LIMIT_SECONDS: Final = 15.0
"""Silence after which the watchdog ends a cell: several times the longest silence of any that does not block."""


@dataclass(frozen=True, slots=True)
class CellSettings:
    """How a run of a cell is made.

    Attributes:
        heartbeat: For `Session(heartbeat=...)`.
        directory: Where ledger and checkpoints go; the same on every rank.
        deadline_seconds: For `Session(deadline_seconds=...)`.
        solver_deadline_seconds: For `Session(solver_deadline_seconds=...)`: None where the solver does nothing wrong,
            so that a slow machine does not fail it.
        smallest_step_fraction: For `Session(smallest_step_fraction=...)`: smaller steps would be another answer.
    """

    heartbeat: Heartbeat
    directory: Path
    deadline_seconds: float = DEADLINE_SECONDS
    solver_deadline_seconds: float | None = None
    smallest_step_fraction: float = 1.0


class FaultCase(ABC):
    """One run of a coupling. Building it and all methods but `part` are collective."""

    @abstractmethod
    def part(self, role: FaultRole) -> Any:
        """Return the surrogate, verifier or solver of the run."""

    @abstractmethod
    def run(self, settings: CellSettings) -> Result:
        """Run to the end with a checkpoint after each transaction."""

    @abstractmethod
    def error(self, result: Result) -> float:
        """Return the distance from the classical answer, as a multiple of what the coupling promises."""

    def bad_answers(self) -> int:
        """Return how many accepted values of the last run miss the tolerance by a residual that is computed anew."""
        return 0

    def close(self) -> None:
        """Free what the case holds."""


@dataclass(frozen=True, slots=True)
class FaultTarget:
    """A coupling in the matrix.

    Attributes:
        name: Name of the coupling.
        factory: `"module:attribute"` of a function of the communicator and the role whose fault is planted, which
            returns a `FaultCase`. Where that role is the solver, nobody should propose, so that the solver is asked.
        grade: What its verdicts are worth.
        methods: Which methods go wrong, by role, where not those of `cosolve.core.testing.faults.METHODS`.
        told_step: Roles whose `methods` are given a `Query`, so that the fault begins with the third transaction, as it
            does in the methods of `METHODS`; others go wrong from their first call on.
        checkpoints: Whether a run leaves checkpoints, so that one must be whole after the watchdog; False where the run
            is a single transaction.
        roles: The roles that the coupling has.
        requires: Import names that it needs.
        left_out: Reason for each pair of kind and role that means nothing here.
        most_ranks: The most ranks that it runs on.
    """

    name: str
    factory: str
    grade: Grade = Grade.CERTIFIED
    methods: Mapping[FaultRole, tuple[str, ...]] = field(default_factory=dict)
    roles: tuple[FaultRole, ...] = ROLES
    requires: tuple[str, ...] = ()
    left_out: Mapping[tuple[Kind, FaultRole], str] = field(default_factory=dict)
    most_ranks: int = 3
    told_step: tuple[FaultRole, ...] = ()
    checkpoints: bool = True

    def make(self, comm: Communicator, role: FaultRole) -> FaultCase:
        """Build one run (collective)."""
        module, _, name = self.factory.partition(":")
        factory: Callable[[Communicator, FaultRole], FaultCase] = getattr(importlib.import_module(module), name)
        return factory(comm, role)


@dataclass(frozen=True, slots=True)
class Cell:
    """One cell of the matrix."""

    kind: Kind
    role: FaultRole
    target: str
    ranks: int

    @property
    def blocks(self) -> bool:
        """Whether only the watchdog can end it."""
        return CATALOGUE[self.kind].blocks

    @property
    def name(self) -> str:
        """The cell in words, for a command line."""
        return f"{self.target}/{self.role}/{self.kind}/{self.ranks}"

    @classmethod
    def named(cls, name: str) -> Cell:
        """Return the cell of a `name`."""
        target, role, kind, ranks = name.split("/")
        return cls(kind, role, target, int(ranks))  # type: ignore[arg-type]  # names that a cell has given


def cells_of(targets: Iterable[FaultTarget], ranks: Sequence[int] = RANKS) -> tuple[list[Cell], list[tuple[Cell, str]]]:
    """Return the cells that can be run here, and those that cannot, each with its reason (not collective)."""
    run: list[Cell] = []
    left_out: list[tuple[Cell, str]] = []
    for target, (kind, entry), role, count in itertools.product(targets, CATALOGUE.items(), ROLES, ranks):
        cell = Cell(kind, role, target.name, count)
        reason = _why_not(target, cell)
        if reason:
            left_out.append((cell, reason))
        elif entry is not None:
            run.append(cell)
    return run, left_out


def _why_not(target: FaultTarget, cell: Cell) -> str:
    kind = CATALOGUE[cell.kind]
    absent = [name for name in target.requires if importlib.util.find_spec(name) is None]
    if cell.role not in target.roles:
        return f"{target.name} has no {cell.role}"
    if cell.role not in kind.roles:
        return "a lie is the surrogate's alone: what verifier and solver say is what a run believes"
    if cell.ranks < kind.ranks:
        return f"needs {kind.ranks} ranks: on one there is no other rank"
    if cell.ranks > target.most_ranks:
        return f"{target.name} runs on {target.most_ranks} ranks at most"
    if absent or missing(cell.kind):
        return f"{', '.join(absent) or missing(cell.kind)} is not installed"
    return target.left_out.get((cell.kind, cell.role), "")


def pairwise(cells: Sequence[Cell]) -> list[Cell]:
    """Return a choice of cells in which each pair of values of two factors that occurs in `cells` occurs (greedy).

    >>> two = [Cell(kind, role, "t", 1) for kind in ("nan", "inf") for role in ("surrogate", "solver")]
    >>> len(pairwise(two))
    4
    """
    open_pairs = {pair for cell in cells for pair in _pairs(cell)}
    chosen: list[Cell] = []
    while open_pairs:
        best = max(cells, key=lambda cell: len(open_pairs & _pairs(cell)))
        open_pairs -= _pairs(best)
        chosen.append(best)
    return chosen


def _pairs(cell: Cell) -> set[tuple[tuple[str, Any], tuple[str, Any]]]:
    factors = tuple(sorted(asdict(cell).items()))
    return set(itertools.combinations(factors, 2))


@dataclass(frozen=True, slots=True)
class CellOutcome:
    """What became of a cell, the same on every rank.

    Attributes:
        cell: Its name.
        ended: `classical answer`, `typed error`, `watchdog` or `failed`.
        why: The sentence of the error, or what is wrong.
        seconds: Longest time over the ranks.
        error: Distance from the classical answer, as a multiple of what the coupling promises; NaN after an error.
        bad_answers: Accepted values that miss the tolerance.
        struck: How often the fault struck, over all ranks.
    """

    cell: str
    ended: str
    why: str = ""
    seconds: float = 0.0
    error: float = float("nan")
    bad_answers: int = 0
    struck: int = 0

    @property
    def holds(self) -> bool:
        """Whether the cell is as it should be."""
        cell = Cell.named(self.cell)
        return self.ended == "watchdog" if cell.blocks else self.ended in ("classical answer", "typed error")


def fault_of(cell: Cell, *, told_step: bool = True) -> Fault:
    """Return the fault of a cell: on the last rank, from the third transaction on.

    Args:
        cell: The cell.
        told_step: Whether the methods that go wrong are told the step; others go wrong from their first call on.
    """
    # A solver that is off by more than its tolerance would be a lie, and lies are the surrogate's alone.
    slight = cell.kind == "slight" or (cell.kind == "random" and cell.role == "solver")
    steps = tuple(range(2, 100)) if told_step else ()
    return Fault(
        cell.kind,
        cell.ranks - 1,
        steps,
        seconds=1.5 * DEADLINE_SECONDS,
        size=1e-12 if slight and cell.role == "solver" else 1e-7 if slight else 0.05,
        # Methods that are not told the step are called hundreds of times.
        most=1 if cell.kind == "deadline" else 0 if told_step else 40,
    )


def run_cell(
    target: FaultTarget, cell: Cell, comm: Communicator, directory: Path, *, limit_seconds: float = LIMIT_SECONDS
) -> CellOutcome:
    """Plant the fault of a cell, run, and compare over the ranks (collective).

    A cell that blocks does not return: the watchdog ends the process with exit code 5 after `limit_seconds`.

    Args:
        target: Of the cell's coupling.
        cell: Kind, role and number of ranks, which must be that of `comm`.
        comm: Communicator of the run.
        directory: An own folder for the cell, the same on every rank.
        limit_seconds: Longest silence before the watchdog ends the process.
    """
    printed = io.StringIO()
    status, why, error, bad = "classical answer", "", float("nan"), 0
    case = target.make(comm, cell.role)
    methods = target.methods.get(cell.role, ())
    fault = fault_of(cell, told_step=not methods or cell.role in target.told_step)
    with Watchdog(limit_seconds) as watchdog, plant(case.part(cell.role), fault, comm, methods) as planted:
        began = time.perf_counter()
        try:
            with _captured(printed):
                strict = DEADLINE_SECONDS if cell.role == "solver" else None
                settings = CellSettings(watchdog, directory, solver_deadline_seconds=strict)
                result = case.run(settings).raise_on_failure()
        except CosolveError as caught:
            status, why = "typed error", f"{type(caught).__name__}: {caught}"
        except Exception as caught:  # whatever else it is: the cell has failed, and says by what
            status, why = "failed", f"not an error of cosolve: {type(caught).__name__}: {caught}"
        seconds = time.perf_counter() - began
        struck = planted.struck
    if _same(comm, status) and status == "classical answer":
        error, bad = case.error(result), case.bad_answers()
    case.close()
    told = comm.allgather((status, why, seconds, error, bad, struck, printed.getvalue()))
    return _judged(cell, told)


def _judged(cell: Cell, told: Sequence[tuple[str, str, float, float, int, int, str]]) -> CellOutcome:
    status, why, _, error, bad, _, _ = told[0]
    seconds, struck = max(one[2] for one in told), sum(one[5] for one in told)
    if any(one[:2] != (status, why) for one in told):
        status, why = "failed", "the ranks ended differently: " + "; ".join(f"{one[0]} {one[1]}" for one in told)
    elif status == "classical answer" and not error <= 1.0:
        status, why = "failed", f"the answer is off the classical one by {error:.3g} of what is promised"
    elif bad:
        status, why = "failed", f"{bad} accepted values miss the tolerance"
    elif struck == 0:
        status, why = "failed", "the fault was never asked for: the cell says nothing"
    noise = next((one[6] for one in told if "Traceback" in one[6]), "")
    if status != "failed" and noise:
        status, why = "failed", f"more than the root cause was printed: {noise[-500:]}"
    return CellOutcome(cell.name, status, why, seconds, error, bad, struck)


def _same(comm: Communicator, value: str) -> bool:
    return len(set(comm.allgather(value))) == 1


@contextlib.contextmanager
def _captured(printed: io.StringIO) -> Iterator[None]:
    """Keep what is printed on standard error and what is logged at warnings and above."""
    handler = logging.StreamHandler(printed)
    handler.setLevel(logging.WARNING)
    root = logging.getLogger()
    root.addHandler(handler)
    try:
        with contextlib.redirect_stderr(printed):
            yield
    finally:
        root.removeHandler(handler)
