"""Rows that solve the same instances in turn, and what is said of them: the part that the MIP benches share."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from cosolve.examples.mips.exact import exactly_feasible
from cosolve.plugins.scip.measured import Measured, measure, shifted_geometric_mean
from cosolve.plugins.scip.settings import Settings
from pyscipopt import Model

TOLERANCE = 1e-6
"""Relative difference of two objectives that SCIP's own gap tolerance allows."""


@dataclass(frozen=True, slots=True)
class Row:
    """One way to solve.

    Attributes:
        name: What tables say.
        settings: Of SCIP.
        guide: Called with the model before it is solved, and kept until after; None for a classical row.
        seed_shift: Of SCIP's random numbers.
        only: How many of the instances this row solves, from the first on; None for all.
    """

    name: str
    settings: Settings = field(default_factory=lambda: Settings("default"))
    guide: Callable[[Model], Any] | None = None
    seed_shift: int = 0
    only: int | None = None


@dataclass(frozen=True, slots=True)
class Run:
    """A row on an instance.

    Attributes:
        measured: Time, nodes, bounds.
        limit: CPU seconds that it was given.
        guided: What the guide said of itself, if there was one.
        feasible: Whether the solution is feasible in exact rationals; None where that cannot be asked.
        maximise: Sense of the objective.
    """

    measured: Measured
    limit: float
    guided: Mapping[str, Any] = field(default_factory=dict)
    feasible: bool | None = None
    maximise: bool = False

    @property
    def seconds(self) -> float:
        """Time that counts: the limit where it was hit."""
        return self.measured.seconds if self.measured.solved else max(self.limit, self.measured.seconds)


@dataclass(slots=True)
class Budget:
    """CPU seconds of a whole bench, shared out so that no instance can eat those of the others.

    Attributes:
        seconds: Of the bench.
        instances: How many it solves.
        least: Every run is given at least these.
        most: No run is given more.
    """

    seconds: float
    instances: int
    least: float = 10.0
    most: float = 600.0
    _start: float = field(default_factory=time.process_time)
    _costs: list[float] = field(default_factory=list)

    def limit(self) -> float:
        """Return the limit for each run of the next instance: a share of what its like will leave over."""
        left = self.seconds - (time.process_time() - self._start)
        # The typical instance to come takes what the typical one took; an unusual one may have half of the rest.
        typical = float(np.median(self._costs)) if self._costs else self.seconds / (2.0 * self.instances)
        spare = left - typical * max(self.instances - len(self._costs) - 1, 0)
        return min(max(0.3 * spare, self.least), self.most)

    def spent(self, seconds: float) -> None:
        """Note what an instance cost."""
        self._costs.append(seconds)


def compare(
    instances: Sequence[tuple[str, Callable[[], Model]]],
    rows: Sequence[Row],
    budget: Budget,
    progress: Callable[[float, str], None],
) -> dict[str, list[Run | None]]:
    """Solve every instance by every row, interleaved, the first row of each instance another one.

    Returns:
        The runs of each row in the order of the instances; None where a row leaves one out.
    """
    runs: dict[str, list[Run | None]] = {row.name: [None] * len(instances) for row in rows}
    for number, (name, make) in enumerate(instances):
        limit = budget.limit()
        start = time.process_time()
        turn = number % len(rows)
        for row in (*rows[turn:], *rows[:turn]):
            if row.only is None or number < row.only:
                runs[row.name][number] = run_row(row, make(), limit)
        budget.spent(time.process_time() - start)
        progress((number + 1) / len(instances), f"{name}, at most {limit:.0f} s a run")
    return runs


def run_row(row: Row, model: Model, limit: float) -> Run:
    """Solve one model by one row."""
    guides: list[Any] = []

    def prepare(model: Model) -> None:
        assert row.guide is not None
        guides.append(row.guide(model))

    measured = measure(
        model, row.settings, time_limit=limit, seed_shift=row.seed_shift, prepare=prepare if row.guide else None
    )
    said = {}
    if guides:
        names = ("inference_seconds", "decisions", "fallbacks", "governed")
        said = {name: getattr(guides[0], name, None) for name in names}
    return Run(measured, limit, said, exactly_feasible(model), model.getObjectiveSense() == "maximize")


def mean_seconds(runs: Sequence[Run | None]) -> float:
    """Return the shifted geometric mean of the times that count."""
    return shifted_geometric_mean(run.seconds for run in runs if run is not None)


def speedup(runs: Sequence[Run | None], of: Sequence[Run | None]) -> float:
    """Return how many times faster `runs` are than `of`, over the instances that both solved."""
    pairs = [(one, other) for one, other in zip(runs, of, strict=True) if one is not None and other is not None]
    # SCIP's clock shows 0 for what takes less than a hundredth of a second.
    return mean_seconds([other for _, other in pairs]) / max(mean_seconds([one for one, _ in pairs]), 1e-3)


def ratios(runs: Sequence[Run | None], of: Sequence[Run | None]) -> list[float]:
    """Return the time of each run over that of the other on the same instance."""
    return [a.seconds / max(b.seconds, 1e-3) for a, b in zip(runs, of, strict=True) if a is not None and b is not None]


def percentile_95(values: Sequence[float]) -> float:
    """Return the 95th percentile, interpolated."""
    return float(np.percentile(values, 95)) if values else math.nan


def same_optima(runs: Mapping[str, Sequence[Run | None]], number: int) -> bool:
    """Return True if no two rows contradict each other on an instance.

    Solved runs agree on the objective. A run that hit its limit has no better solution than the proved optimum, and no
    bound beyond it.
    """
    ran = [run for own in runs.values() if (run := own[number]) is not None]
    found = [run.measured for run in ran]
    sign = -1.0 if any(run.maximise for run in ran) else 1.0
    proved = [sign * one.primal for one in found if one.solved and not math.isnan(one.primal)]
    if not proved:
        return True
    slack = TOLERANCE * max(1.0, abs(proved[0]))
    open_ended = [one for one in found if not one.solved]
    return (
        max(proved) - min(proved) <= slack
        and all(sign * one.dual <= proved[0] + slack for one in open_ended)
        and all(sign * one.primal >= proved[0] - slack for one in open_ended if not math.isnan(one.primal))
    )


def cases(instances: Sequence[tuple[str, Any]], runs: Mapping[str, Sequence[Run | None]]) -> list[dict[str, Any]]:
    """Return one record for each run."""
    found = []
    for number, (name, _) in enumerate(instances):
        for row, own in runs.items():
            run = own[number]
            if run is None:
                continue
            measured = run.measured
            record = {
                "instance": name,
                "row": row,
                "seconds": run.seconds,
                "nodes": measured.nodes,
                "lp_iterations": measured.lp_iterations,
                "status": measured.status,
                "primal": measured.primal,
                "limit": run.limit,
            }
            found.append({**record, "setup_seconds": measured.setup_seconds, "details": dict(run.guided)})
    return found
