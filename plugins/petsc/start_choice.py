"""Which start a sequence of linear solves is given: chosen by iterations and counted work, not by clocks.

Starts are compared on the same solves, without solving from each. While the energy space is kept, the energy error of
every start follows from a few coordinates; a line through what was seen (iterations over the logarithm of the error)
tells the iterations that each would have needed, and starts that come close to the best are then run in turn, since the
same energy error may be easy or hard to reduce. The cost of a start is its iterations at the price of one, and the
price of making it. Prices are measured once, in the first study; with prices that are given, as a ledger has them,
every decision repeats.

A study is short, and the next one follows after 64, 256, 1024 solves while the choice remains the same, or when the
iterations have changed. So the price of asking is bounded: it is the share of solves that are studied.
"""

from __future__ import annotations

import math
import statistics
from collections import deque
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any, Final, NamedTuple

import numpy as np


class Start(NamedTuple):
    """A way to start: the base, and whether the proposals join it."""

    base: str
    joined: bool = False

    def __str__(self) -> str:
        return f"{self.base} and proposals" if self.joined else self.base


BASES: Final = ("zero", "previous", "linear", "quadratic", "cubic", "projection")
SPACE: Final = "projection"

_FIRST_STUDY: Final = 24
_STUDY: Final = 10
_SETTLED: Final = 0.5
"""Share of a study that only fills the history."""
_ASKED: Final = 14
_ASKED_AGAIN: Final = 7
"""Solves at the end of the first and of another study for which the proposers are asked."""
_FEW: Final = 4
"""Solves of a study from which the iterations of a start are told, at least."""
_CLOSE: Final = 1.12
_EQUAL: Final = 1.03
_DUELLISTS: Final = 3
_DUEL: Final = 8
_FIRST_HOLD: Final = 64
_LONGEST_HOLD: Final = 4096
_RECENT: Final = 12
_DRIFT: Final = 0.3
_SHARE: Final = 0.05
"""Share of all solves that studies may take when they are called for ahead of time."""
_PRIOR: Final = 2.0
_DECADES: Final = 18.0
"""Natural logarithm by which a solve from zero reduces the error, where nothing better is known: of 1e-8."""


@dataclass(frozen=True, slots=True)
class Prices:
    """What the parts cost, in seconds; only their ratios matter.

    Attributes:
        iteration: One iteration of the solver.
        space: Keeping the energy space, for one solve.
        proposals: Asking all proposers and letting them join, for one solve.
    """

    iteration: float
    space: float
    proposals: float = 0.0

    def of(self, start: Start) -> float:
        """Return the price of making a start."""
        return (self.space if start.base == SPACE else 0.0) + (self.proposals if start.joined else 0.0)


@dataclass(slots=True)
class Seen:
    """One solve, as a study sees it.

    Attributes:
        start: What it started from.
        iterations: What it took.
        errors: Energy error of each start over the energy norm of the solution.
        seconds: Solve, space, proposals; NaN where unknown.
    """

    start: Start
    iterations: int
    errors: Mapping[Start, float]
    seconds: tuple[float, float, float] = (math.nan, math.nan, math.nan)


@dataclass(slots=True)
class _Phase:
    name: str
    left: int
    duellists: tuple[Start, ...] = ()
    expected: float = math.nan
    recent: deque[int] = field(default_factory=lambda: deque(maxlen=_RECENT))


class StartChoice:
    """Says what each solve starts from (plain arithmetic, the same on every rank where the inputs are).

    Args:
        proposals: Whether there are proposers.
        prices: Given prices; None to measure them in the first study.

    Attributes:
        prices: Those in use; None until they are measured.
        chosen: The start in use between studies.
        studies: Studies begun so far.
    """

    def __init__(self, proposals: bool, prices: Prices | None = None) -> None:
        joined = (Start("zero", True), Start(SPACE, True)) if proposals else ()
        self.starts: tuple[Start, ...] = (*(Start(base) for base in BASES), *joined)
        self.widest = self.starts[-1]
        self.prices = prices
        self.chosen = self.widest
        self.studies = 1
        self._phase = _Phase("study", _FIRST_STUDY)
        self._solves = self._studied = 0
        self._hold = _FIRST_HOLD
        self._seen: deque[Seen] = deque(maxlen=96)
        self._first: tuple[Seen, ...] = ()
        self._timed: deque[Seen] = deque(maxlen=96)

    @property
    def studying(self) -> bool:
        """Whether the next solve is part of a study, so that errors of all starts are wanted."""
        return self._phase.name != "hold"

    @property
    def phase(self) -> str:
        """`study`, `duel` or `hold`."""
        return self._phase.name

    def next(self) -> Start:
        """Return what the next solve starts from."""
        phase = self._phase
        if phase.name == "hold":
            return self.chosen
        if phase.name == "duel":
            return phase.duellists[phase.left % len(phase.duellists)]
        asked = phase.left <= (_ASKED if self.studies == 1 else _ASKED_AGAIN)
        return self.widest if asked else Start(SPACE)

    def record(self, seen: Seen) -> str:
        """Take in a solve; return a sentence where a decision fell."""
        if not self.studying:
            return self.held(seen.iterations)
        self._solves += 1
        phase = self._phase
        phase.left -= 1
        self._studied += 1
        self._timed.append(seen)
        settled = phase.name == "duel" or phase.left < (1.0 - _SETTLED) * (
            _FIRST_STUDY if self.studies == 1 else _STUDY
        )
        if settled:
            self._seen.append(seen)
        if self._solves == 1:
            # The very first starts from nothing. Only the line knows of it: it needs errors of different size.
            self._first = (seen,) if seen.errors else ()
        if phase.left > 0:
            return ""
        if self.prices is None:
            self.prices = self._measured()
        costs = self.costs()
        if not costs:
            return self._settle(self.widest)
        if phase.name == "study":
            least = min(costs.values())
            close = [s for s in sorted(costs, key=lambda s: costs[s]) if costs[s] <= _CLOSE * least][:_DUELLISTS]
            # Once there is a choice, it stays while it is as good as the best by all that can be told.
            stays = self.studies > 1 and costs.get(self.chosen, math.inf) <= _EQUAL * least
            if stays:
                return self._settle(self.chosen)
            if len(close) > 1:
                self._phase = _Phase("duel", _DUEL * len(close), tuple(close))
                return "duel: " + ", ".join(map(str, close))
        return self._settle(min(costs, key=lambda s: costs[s]))

    def held(self, iterations: int) -> str:
        """Take in a solve between studies; return a sentence where a study begins."""
        self._solves += 1
        phase = self._phase
        phase.left -= 1
        drifted = self._drifted(phase, iterations)
        if phase.left > 0 and not drifted:
            return ""
        if drifted:
            self._hold = _FIRST_HOLD
        self.studies += 1
        self._seen.clear()
        self._phase = _Phase("study", _STUDY)
        return "study"

    def costs(self) -> dict[Start, float]:
        """Return what a solve from each start costs, in the unit of the prices, by all that was seen lately."""
        prices = self.prices
        if prices is None:
            return {}
        return {start: count * prices.iteration + prices.of(start) for start, count in self.counts().items()}

    def counts(self) -> dict[Start, float]:
        """Return the iterations that a solve from each start takes, as far as that can be told."""
        studied = [seen for seen in self._seen if seen.errors]
        if not studied:
            return {}
        offset, slope = self._line([*self._first, *studied])

        def told(error: float) -> float:
            return max(0.0, offset + slope * math.log(max(error, 1e-16)))

        found: dict[Start, float] = {}
        for start in self.starts:
            errors = [seen.errors[start] for seen in studied if start in seen.errors]
            if len(errors) < min(_FEW, len(studied)):
                continue
            runs = [
                seen.iterations - told(seen.errors[start])
                for seen in studied
                if seen.start == start and start in seen.errors
            ]
            # What it took beyond the line, drawn to zero while it was run a few times only.
            beyond = sum(runs) / (len(runs) + _PRIOR)
            found[start] = max(0.0, statistics.fmean(map(told, errors)) + beyond)
        return found

    def memory(self) -> dict[str, Any]:
        """Return the prices, for a ledger."""
        return {} if self.prices is None else asdict(self.prices)

    def _line(self, studied: Sequence[Seen]) -> tuple[float, float]:
        """Return offset and slope of iterations over the logarithm of the error, drawn to a slope of no surprise."""
        pairs = [(math.log(max(s.errors[s.start], 1e-16)), float(s.iterations)) for s in studied if s.start in s.errors]
        if not pairs:
            return statistics.fmean(s.iterations for s in studied), 0.0
        x, y = np.array(pairs).T
        x_mean, y_mean = float(x.mean()), float(y.mean())
        usual = max(y_mean, 0.5) / (_DECADES + min(x_mean, 0.0)) if x_mean > 1.0 - _DECADES else 0.5
        weight = 1.0  # that of one pair which lies one logarithm away
        slope = (float((x - x_mean) @ (y - y_mean)) + weight * usual) / (float((x - x_mean) @ (x - x_mean)) + weight)
        slope = max(slope, 0.0)
        return y_mean - slope * x_mean, slope

    def _measured(self) -> Prices:
        """Return the prices from the clocks of the study: medians, and the median slope over pairs of solves."""
        solves = [(seen.iterations, seen.seconds[0]) for seen in self._timed if math.isfinite(seen.seconds[0])]
        slopes = [(b[1] - a[1]) / (b[0] - a[0]) for i, a in enumerate(solves) for b in solves[:i] if a[0] != b[0]]
        slope = statistics.median(slopes) if slopes else 0.0
        if slope <= 0.0:
            slope = statistics.median([seconds / (count + 0.5) for count, seconds in solves] or [1.0])

        def median(part: int) -> float:
            values = [s.seconds[part] for s in self._timed if math.isfinite(s.seconds[part])]
            return statistics.median(values) if values else 0.0

        return Prices(slope, median(1), median(2))

    def _settle(self, best: Start) -> str:
        self._hold = _FIRST_HOLD if best != self.chosen or self.studies == 1 else min(4 * self._hold, _LONGEST_HOLD)
        self.chosen = best
        self._phase = _Phase("hold", self._hold)
        return f"chosen: {best}"

    def _drifted(self, phase: _Phase, iterations: int) -> bool:
        """Return whether solves take other counts than those that followed the choice, and a study is affordable."""
        phase.recent.append(iterations)
        if len(phase.recent) < _RECENT:
            return False
        mean = sum(phase.recent) / _RECENT
        if math.isnan(phase.expected):
            phase.expected = mean
        if abs(mean - phase.expected) <= max(1.0, _DRIFT * phase.expected):
            return False
        return self._studied <= _SHARE * self._solves + 2 * _FIRST_STUDY
