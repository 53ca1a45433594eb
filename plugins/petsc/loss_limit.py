"""How much a learned preconditioner may lose in one solve, in counted work: operations times their agreed prices."""

from __future__ import annotations

import math
import statistics
from collections import deque
from collections.abc import Mapping
from typing import Final

_KEPT: Final = 9
_FLAT: Final = 0.9
_SLOW_START: Final = 2.0


class Prices:
    """Median seconds of each kind of operation. Samples are agreed over the ranks before they come here.

    Args:
        fixed: Prices that are not measured, by kind; makes every decision repeatable.
    """

    def __init__(self, fixed: Mapping[str, float] | None = None) -> None:
        self._fixed = dict(fixed or {})
        self._samples: dict[str, deque[float]] = {}

    def add(self, kind: str, seconds: float, count: int = 1) -> None:
        """Take in what `count` operations took."""
        if count > 0 and math.isfinite(seconds):
            self._samples.setdefault(kind, deque(maxlen=_KEPT)).append(seconds / count)

    def of(self, kind: str, unknown: float = 0.0) -> float:
        """Return the price of one operation."""
        if kind in self._fixed:
            return self._fixed[kind]
        samples = self._samples.get(kind)
        return statistics.median(samples) if samples else unknown


class LossLimit:
    """Decides in each iteration whether the learned preconditioner may go on; the same on every rank.

    It does not begin where its own preparation (a Galerkin matrix, say) has taken all but `share` of a base solve. From
    there on it is stopped when its iterations took more than `share` of a base solve and, at twice their rate so far,
    it would not finish before the base method would: Krylov methods begin slowly. Progress up to there counts for
    nothing: one that starts again from an iterate has lost its space, and often takes as long from there.

    Where the cost of the base method is unknown, it is stopped when the residual has hardly fallen for `patience`
    iterations.

    Args:
        base: Work of a solve by the base method; None where unknown.
        shared: The part of it that the learned one takes over (its set-up) and that `spent` leaves out.
        share: Largest loss, as a share of `base`.
        patience: Iterations.
        first: Norm of the first residual.
        tolerance: Norm of the residual at which the solve ends.
    """

    def __init__(
        self, base: float | None, shared: float, *, share: float, patience: int, first: float, tolerance: float
    ) -> None:
        self._base, self._shared, self._share = base, shared, share
        self._path = math.log(first / tolerance) if 0.0 < tolerance < first else 0.0
        self._first = first
        self._norms: deque[float] = deque(maxlen=patience + 1)
        self._patience = patience
        self._prepared = 0.0

    def is_too_dear(self, work: float) -> bool:
        """Return whether some work of preparation takes all but the share of a base solve."""
        return self._base is not None and work >= (1.0 - self._share) * (self._base - self._shared)

    def begin(self, prepared: float) -> str:
        """Take in the work of the preparation; return why not to begin at all, empty where it may."""
        self._prepared = prepared
        if self.is_too_dear(prepared):
            return f"the preparation took {prepared:.3g} of work, a whole base solve {self._base:.3g}"
        return ""

    def progress(self, norm: float) -> float:
        """Return which share of the way to the tolerance lies behind."""
        if not (self._path > 0.0 and norm > 0.0):
            return 1.0
        return min(max(math.log(self._first / norm) / self._path, 0.0), 1.0)

    def stops(self, spent: float, norm: float) -> str:
        """Return why the learned preconditioner is stopped; empty while it may go on.

        Args:
            spent: Work of the iterations so far.
            norm: Unpreconditioned norm of the residual.
        """
        if not math.isfinite(norm):
            return "the residual is not finite"
        self._norms.append(norm)
        if self._base is None:
            if len(self._norms) > self._patience and norm > _FLAT * self._norms[0]:
                return f"the residual fell by less than a tenth in {self._patience} iterations"
            return ""
        done, left = self.progress(norm), self._base - self._shared - self._prepared
        if spent > self._share * self._base and spent >= min(_SLOW_START * done, 1.0) * left:
            return (
                f"{done:.0%} of the way took {(spent + self._prepared) / self._base:.0%} of the work of a whole base "
                f"solve; iterations may lose {self._share:.0%}"
            )
        return ""
