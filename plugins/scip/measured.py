"""One solve by SCIP's own CPU clock, as a record; and the means that solver papers report."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterable
from dataclasses import asdict, dataclass
from typing import Any

from cosolve.plugins.scip.settings import CPU_CLOCK, Settings
from pyscipopt import Model

SHIFT_SECONDS = 1.0
"""Shift of the geometric mean of times: instances of milliseconds must not decide it."""

Prepare = Callable[[Model], Any]
"""Called with a model before it is solved, such as `cosolve.guide`; what it returns lives until the solve is over."""


@dataclass(frozen=True, slots=True)
class Measured:
    """One solve.

    Attributes:
        seconds: CPU seconds of SCIP, and of what prepared the model.
        nodes: Nodes of the tree, those before restarts included.
        lp_iterations: Simplex iterations, strong branching included.
        status: SCIP's word, `"optimal"` or `"timelimit"` and so on.
        primal: Best objective found, NaN if none.
        dual: Best bound proved.
        setup_seconds: Of `seconds`, what preparing took.
    """

    seconds: float
    nodes: int
    lp_iterations: int
    status: str
    primal: float
    dual: float
    setup_seconds: float = 0.0

    @property
    def solved(self) -> bool:
        """True if SCIP proved what it says."""
        return self.status in {"optimal", "infeasible", "unbounded", "inforunbd"}

    def as_json(self) -> dict[str, Any]:
        """Return it as a table; NaN as None."""
        values = asdict(self)
        values["primal"] = None if math.isnan(self.primal) else self.primal
        return values

    @classmethod
    def from_json(cls, content: dict[str, Any]) -> Measured:
        """Return what `as_json` gave."""
        primal = content["primal"]
        return cls(**{**content, "primal": math.nan if primal is None else primal})


def measure(
    model: Model,
    settings: Settings,
    *,
    time_limit: float | None = None,
    seed_shift: int = 0,
    prepare: Prepare | None = None,
) -> Measured:
    """Solve `model` under `settings` on one thread and return what it took; the model keeps its solution.

    Args:
        model: Not yet solved; its own parameters give way to the settings.
        settings: Set first.
        time_limit: CPU seconds of SCIP; a run that hits it counts with it.
        seed_shift: SCIP's `randomization/randomseedshift`.
        prepare: Called last before the solve; its CPU time counts.
    """
    settings.apply(model, respect_user=False)
    model.setParams({**CPU_CLOCK, "randomization/randomseedshift": seed_shift})
    start = time.process_time()
    kept = prepare(model) if prepare is not None else None
    setup = time.process_time() - start if prepare is not None else 0.0
    if time_limit is not None:
        model.setParam("limits/time", max(time_limit - setup, 0.0))
    model.optimize()
    found = Measured(
        seconds=model.getSolvingTime() + setup,
        nodes=int(model.getNTotalNodes()),
        lp_iterations=int(model.getNLPIterations()),
        status=str(model.getStatus()),
        primal=float(model.getPrimalbound()) if model.getNSols() else math.nan,
        dual=float(model.getDualbound()),
        setup_seconds=setup,
    )
    del kept
    return found


def shifted_geometric_mean(values: Iterable[float], shift: float = SHIFT_SECONDS) -> float:
    """Return the geometric mean of `values + shift`, less the shift.

    >>> round(shifted_geometric_mean([1.0, 7.0]), 6)
    3.0
    """
    logs = [math.log(value + shift) for value in values]
    return math.exp(math.fsum(logs) / len(logs)) - shift
