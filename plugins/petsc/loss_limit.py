"""How much a learned preconditioner may lose in one solve, in counted work: operations times their agreed prices."""

from __future__ import annotations

import math
import statistics
from collections import deque
from collections.abc import Mapping
from typing import Final

_KEPT: Final = 9
_FLAT: Final = 0.9


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

    It is stopped when its work is above `share` of a base solve and, at its own rate so far, it would not finish before
    the base method would. Progress up to there counts for nothing: a Krylov method that starts again from an iterate
    has lost its space, and often takes as long from there.

    Where the cost of the base method is unknown, it is stopped when the residual has hardly fallen for `patience`
    iterations.

    Args:
        base: Work of a solve by the base method; None where unknown.
        share: Largest loss, as a share of `base`.
        patience: Iterations.
        first: Norm of the first residual.
        tolerance: Norm of the residual at which the solve ends.
    """

    def __init__(self, base: float | None, *, share: float, patience: int, first: float, tolerance: float) -> None:
        self._base, self._share = base, share
        self._path = math.log(first / tolerance) if 0.0 < tolerance < first else 0.0
        self._first = first
        self._norms: deque[float] = deque(maxlen=patience + 1)
        self._patience = patience

    def progress(self, norm: float) -> float:
        """Return which share of the way to the tolerance lies behind."""
        if not (self._path > 0.0 and norm > 0.0):
            return 1.0
        return min(max(math.log(self._first / norm) / self._path, 0.0), 1.0)

    def stops(self, spent: float, norm: float) -> str:
        """Return why the learned preconditioner is stopped; empty while it may go on.

        Args:
            spent: Work so far in this solve.
            norm: Unpreconditioned norm of the residual.
        """
        if not math.isfinite(norm):
            return "the residual is not finite"
        self._norms.append(norm)
        if self._base is None:
            if len(self._norms) > self._patience and norm > _FLAT * self._norms[0]:
                return f"the residual fell by less than a tenth in {self._patience} iterations"
            return ""
        done = self.progress(norm)
        if spent > self._share * self._base and spent >= done * self._base:
            return (
                f"{done:.0%} of the way took {spent / self._base:.0%} of the work of a whole base solve; "
                f"at most {self._share:.0%} may be lost"
            )
        return ""
