"""The coupling role: joins proposers, verifier, solver and fallback into a way of flowing."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Literal

from cosolve.core.query import Transaction

if TYPE_CHECKING:
    from cosolve.core.arrays import Array
    from cosolve.core.problem import Problem
    from cosolve.core.result import Result
    from cosolve.core.session import Session
    from cosolve.core.solver import Solver
    from cosolve.core.surrogate import Surrogate
    from cosolve.core.verifier import Verifier

VerdictFalls = Literal["now", "deferred", "host"]
"""When a verdict falls: with the transaction, after later checkpoints, or by the host library's own proof."""

Mode = Literal["replace", "correct", "initial_guess", "shadow", "off"]
"""What a proposal may become: the state itself, a start of a few iterations, a start of the full solve, or nothing."""


@dataclass(frozen=True, slots=True)
class CouplingContext:
    """All that a coupling works with, built by `cosolve.core.run` or by the user's script.

    Attributes:
        session: Proposes, agrees, judges, commits; owns ledger, governor and collectives.
        solver: The classical solver.
        proposers: Surrogates and classical proposers, in order of preference.
        verifier: The judge; None in modes where nothing is judged (`off`, `initial_guess`).
        problem: The case's problem; None in a user's own script.
        parameters: What surrogates see as `Query.parameters`.
        directory: Output folder, None when nothing is written.
        settings: The validated options of the coupling.
        checkpoint_every: Transactions between checkpoints; 0 writes one only when the run stops early.
        resume: Whether to go on from the newest checkpoint in `directory`.
        on_commit: Called on every rank after each commit with the time, the owned values and their source; may be
            collective (it writes fields). None where nobody wants to know.
        options: Effective options of the run, for its checkpoints.
    """

    session: Session
    solver: Solver
    proposers: Sequence[Surrogate]
    verifier: Verifier | None
    problem: Problem | None = None
    parameters: Mapping[str, Any] = field(default_factory=dict)
    directory: Path | None = None
    settings: Any = None
    checkpoint_every: int = 0
    resume: bool = False
    on_commit: Callable[[float, Array, str], None] | None = None
    options: Mapping[str, Any] = field(default_factory=dict)


class Coupling(ABC):
    """A way of joining. Declares the size of its transaction and when its verdicts fall.

    Attributes:
        name: Stable name, as registered.
        transaction: What is tried, judged, then committed or rolled back as a whole.
        verdict_falls: When a verdict falls.
    """

    name: ClassVar[str] = "coupling"
    transaction: ClassVar[Transaction] = "step"
    verdict_falls: ClassVar[VerdictFalls] = "now"

    def __init__(self, context: CouplingContext) -> None:
        self.context = context

    @abstractmethod
    def run(self) -> Result:
        """Run to the end (collective) and return the result; never raises for a failed run, see `Result`."""
