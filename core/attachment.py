"""The host whose loop belongs to a library: SNES, KSP, TS, SCIP call us back."""

from __future__ import annotations

import time
from abc import ABC, abstractmethod
from collections import Counter
from collections.abc import Callable
from types import TracebackType
from typing import Any, ClassVar, Self, TypeVar

from cosolve.core.consensus import FaultBox, guard
from cosolve.core.coupling import VerdictFalls
from cosolve.core.errors import InterruptedRunError
from cosolve.core.query import Transaction
from cosolve.core.session import Session

T = TypeVar("T")


class Attachment(ABC):
    """Attaches proposers to a library's own loop, and detaches them again.

    Inside a callback nothing raises and nothing adds communication: what goes wrong is kept and becomes NaN, so that
    the library's own reductions give the same reason on every rank. The solve is run through `solve`, which raises what
    was kept once, outside, on every rank. What callbacks count is written to the ledger once for each solve.

    Args:
        session: Agrees over the ranks and records.

    Attributes:
        name: Stable name, as in the ledger.
        transaction: What is rolled back as a whole.
        verdict_falls: By default the library's own proof.
    """

    name: ClassVar[str] = "attachment"
    transaction: ClassVar[Transaction] = "solve"
    verdict_falls: ClassVar[VerdictFalls] = "host"

    def __init__(self, session: Session) -> None:
        self.session = session
        self.attached = False
        self.solves = 0
        self._box = FaultBox()
        self._tally: Counter[str] = Counter()
        self._seconds: dict[str, float] = {}

    def attach(self) -> Self:
        """Put the callbacks in place (collective). Idempotent."""
        if not self.attached:
            self._attach()
            self.attached = True
        return self

    def detach(self) -> None:
        """Take the callbacks away and leave the library as it was (collective). Idempotent."""
        if self.attached:
            self._detach()
            self.attached = False

    def __enter__(self) -> Self:
        return self.attach()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.detach()

    @abstractmethod
    def _attach(self) -> None:
        """Put the callbacks in place."""

    @abstractmethod
    def _detach(self) -> None:
        """Take the callbacks away."""

    def guard(self, fn: Callable[..., T], poison: Callable[..., T]) -> Callable[..., T]:
        """Return a callback that counts and times `fn` and never raises; after a fault `poison` answers.

        Args:
            fn: The callback; must not communicate.
            poison: Takes the same arguments, typically fills the output with NaN.
        """
        name = getattr(fn, "__name__", "callback")

        def timed(*args: Any, **kwargs: Any) -> T:
            start = time.perf_counter()
            try:
                return fn(*args, **kwargs)
            finally:
                self._tally[name] += 1
                self._seconds[name] = self._seconds.get(name, 0.0) + time.perf_counter() - start

        return guard(timed, self._box, poison)

    def count(self, name: str, number: int = 1) -> None:
        """Count something inside a callback (not collective)."""
        self._tally[name] += number

    def solve(self, label: str, run: Callable[[], T], **values: Any) -> T:
        """Run a whole solve of the library, then agree and record (collective).

        Args:
            label: Who solves, for the sentence: `SNES 'beam_'`.
            run: Runs the library; its callbacks are guarded.
            values: Further values for the ledger's record.

        Returns:
            What `run` returned.

        Raises:
            RankFaultError: A callback or the library failed on some rank; on every rank. Roll the whole solve back.
            InterruptedRunError: Ctrl-C fell into the solve; on every rank.
        """
        step = self.solves
        self.solves += 1

        def whole() -> T:
            try:
                return run()
            finally:
                self._box.raise_kept()  # the root cause, rather than what the library made of its NaN

        status = "FAULT"
        try:
            answer = self.session.consensus.run(label, step, whole)
            status = "SUCCESS"
            return answer
        except InterruptedRunError:
            status = "INTERRUPTED"
            raise
        finally:
            self._record(step, status, values)

    def _record(self, step: int, status: str, values: dict[str, Any]) -> None:
        if self.session.ledger is not None:
            self.session.ledger.write(
                "solve",
                attachment=self.name,
                step=step,
                status=status,
                counts=dict(self._tally),
                callback_seconds=self._seconds,
                seconds=self.session.consensus.seconds,
                **values,
            )
        self._tally.clear()
        self._seconds = {}
