"""A series of related programs solved one after the other: what earlier ones taught makes the next one start ahead.

Before a solve: complete starts where an old solution still fits, partial starts where it does not (SCIP completes and
checks them), pseudo-costs of earlier trees, and the settings that did best in races on earlier instances. After it: all
of these are learned. Nothing here changes what SCIP proves: starts are checked, and pseudo-costs and settings only
order the search.
"""

from __future__ import annotations

import json
import math
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any, Final, Literal

from cosolve.core.errors import BadInputError, OutputError
from cosolve.plugins.scip.measured import Measured, measure
from cosolve.plugins.scip.settings import Settings
from pyscipopt import SCIP_EVENTTYPE, Eventhdlr, Model

KEPT_SOLUTIONS: Final = 8
_INTEGRAL: Final = 1e-6


@dataclass(frozen=True, slots=True)
class SeriesOptions:
    """What a series makes use of.

    Attributes:
        starts: `"last"` offers the last solution alone (the classical rival), `"all"` every kept one and what they
            have in common, `"none"` nothing.
        pseudo_costs: Hand on pseudo-costs.
        settings: What to choose from; the first one is used until a race was run. Empty leaves SCIP's settings alone.
    """

    starts: Literal["none", "last", "all"] = "all"
    pseudo_costs: bool = True
    settings: Sequence[Settings] = ()


@dataclass(slots=True)
class Series:
    """Memory of a series; `prepare` a model, solve it, `learn` from it.

    Args:
        options: What is made use of.

    Attributes:
        solutions: Best solutions of earlier instances, the newest last, by name of the variable.
        pseudo_costs: Down and up pseudo-cost of each variable, and the weight of what was seen.
        scores: Of each of the settings, one for each race; lower is better.
        chosen: The settings of the model that was prepared last; None leaves SCIP's.
        prepare_seconds: CPU seconds of the last `prepare`.
        race_seconds: CPU seconds of all races.
    """

    options: SeriesOptions = field(default_factory=SeriesOptions)
    solutions: list[dict[str, float]] = field(default_factory=list)
    pseudo_costs: dict[str, tuple[float, float, float]] = field(default_factory=dict)
    scores: dict[str, list[float]] = field(default_factory=dict)
    chosen: Settings | None = None
    prepare_seconds: float = 0.0
    race_seconds: float = 0.0
    _kept: list[Any] = field(default_factory=list)

    def prepare(self, model: Model) -> Series:
        """Give a model that is not yet solved what earlier ones taught; the user's own settings stay.

        Returns:
            This series, so that it can stand as the preparation of a measured solve.
        """
        start = time.process_time()
        self._kept = []
        self.chosen = self._choice()
        self._give(model, self.chosen)
        self.prepare_seconds = time.process_time() - start
        return self

    def _give(self, model: Model, settings: Settings | None) -> None:
        if settings is not None:
            settings.apply(model)
        if self.options.starts != "none" and self.solutions:
            self._offer(model)
        if self.options.pseudo_costs and self.pseudo_costs:
            handler = _HandOn(dict(self.pseudo_costs))
            model.includeEventhdlr(handler, "cosolve_history", "hands on pseudo-costs of earlier instances")
            self._kept.append(handler)

    def race(self, make: Callable[[], Model], seconds: float, score: Callable[[Measured], float]) -> None:
        """Try all settings on an earlier instance, each with what the series has; the best are used from now on.

        For the time between two instances, the night say.

        Args:
            make: Makes a fresh model of the instance.
            seconds: CPU seconds for each of the settings.
            score: Of one solve; lower is better.
        """
        for one in self.options.settings:
            self._kept = []
            found = measure(make(), Settings("default"), time_limit=seconds, prepare=partial(self._give, settings=one))
            self.scores.setdefault(one.name, []).append(score(found))
            self.race_seconds += found.seconds

    def learn(self, model: Model) -> None:
        """Remember what a solved model taught; after `optimize`, whatever its status."""
        variables = model.getVars(transformed=False)
        if model.getNSols():
            best = model.getBestSol()
            solution = {variable.name: float(model.getSolVal(best, variable)) for variable in variables}
            if solution in self.solutions:
                self.solutions.remove(solution)
            self.solutions = [*self.solutions, solution][-KEPT_SOLUTIONS:]
        if self.options.pseudo_costs and model.getNTotalNodes() > 1:
            self._learn_pseudo_costs(model)

    def save(self, path: Path) -> None:
        """Write the memory as JSON, for tomorrow.

        Raises:
            OutputError: The file cannot be written.
        """
        content = {"solutions": self.solutions, "pseudo_costs": self.pseudo_costs, "scores": self.scores}
        try:
            path.write_text(json.dumps(content) + "\n", encoding="utf-8")
        except OSError as error:
            raise OutputError(f"{path}: the series cannot be written: {error.strerror}; give another path.") from error

    @classmethod
    def load(cls, path: Path, options: SeriesOptions | None = None) -> Series:
        """Return the series that `save` wrote.

        Raises:
            BadInputError: The file holds something else.
        """
        try:
            content = json.loads(path.read_text(encoding="utf-8"))
            costs = {name: (float(a), float(b), float(w)) for name, (a, b, w) in content["pseudo_costs"].items()}
            return cls(options or SeriesOptions(), content["solutions"], costs, content["scores"])
        except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
            raise BadInputError(
                f"{path}: expected a series that `Series.save` wrote, found {type(error).__name__}: {error}; "
                "correct the path or begin a new series."
            ) from error

    def _choice(self) -> Settings | None:
        """Return the settings with the best mean score in races; the first ones before any race."""
        candidates = list(self.options.settings)
        raced = [one for one in candidates if self.scores.get(one.name)]
        if not raced:
            return candidates[0] if candidates else None
        return min(raced, key=lambda one: sum(self.scores[one.name]) / len(self.scores[one.name]))

    def _offer(self, model: Model) -> None:
        variables = {variable.name: variable for variable in model.getVars()}
        offered = self.solutions[-1:] if self.options.starts == "last" else self.solutions
        for solution in offered:
            known = {name: value for name, value in solution.items() if name in variables}
            whole = model.createOrigSol()
            for name, value in known.items():
                model.setSolVal(whole, variables[name], value)
            if len(known) == len(variables) and model.checkSol(whole, original=True):
                model.addSol(whole)
            else:
                model.freeSol(whole)
                _offer_part(model, variables, known)
        if self.options.starts == "all" and len(self.solutions) > 2:
            _offer_part(model, variables, _consensus(self.solutions))

    def _learn_pseudo_costs(self, model: Model) -> None:
        for variable in model.getVars(transformed=False):
            if variable.vtype() == "CONTINUOUS":
                continue
            image = model.getTransformedVar(variable)
            if image is None:
                continue
            down, up = model.getVarPseudocost(image, 0), model.getVarPseudocost(image, 1)
            before, above, weight = self.pseudo_costs.get(variable.name, (down, up, 0.0))
            share = 1.0 / (min(weight, 4.0) + 1.0)
            self.pseudo_costs[variable.name] = (
                before + share * (down - before),
                above + share * (up - above),
                weight + 1.0,
            )


class _HandOn(Eventhdlr):  # type: ignore[misc]  # PySCIPOpt ships no type of its base classes
    """Gives the tree the pseudo-costs of earlier ones, once, when its first node is there."""

    def __init__(self, costs: Mapping[str, tuple[float, float, float]]) -> None:
        self.costs = costs
        self.done = False

    def eventinit(self) -> None:
        """Listen for nodes."""
        self.model.catchEvent(SCIP_EVENTTYPE.NODEFOCUSED, self)

    def eventexit(self) -> None:
        """Listen no more."""
        self.model.dropEvent(SCIP_EVENTTYPE.NODEFOCUSED, self)

    def eventexec(self, event: Any) -> None:
        """Hand on, at the first node."""
        if self.done:
            return
        self.done = True
        for variable in self.model.getVars(transformed=True):
            found = self.costs.get(variable.name.removeprefix("t_"))
            if found is not None and variable.vtype() != "CONTINUOUS":
                down, up, weight = found
                for _ in range(int(min(weight, 2.0))):
                    self.model.updateVarPseudocost(variable, -1.0, max(down, 0.0), 1.0)
                    self.model.updateVarPseudocost(variable, 1.0, max(up, 0.0), 1.0)


def _offer_part(model: Model, variables: Mapping[str, Any], known: Mapping[str, float]) -> None:
    """Offer the integer part of an old solution, within the bounds of today; SCIP completes and checks it."""
    partial = model.createPartialSol()
    count = 0
    for name, value in known.items():
        variable = variables.get(name)
        if variable is None or variable.vtype() == "CONTINUOUS":
            continue
        value = round(value) if abs(value - round(value)) < _INTEGRAL else value
        value = min(max(value, variable.getLbOriginal()), variable.getUbOriginal())
        model.setSolVal(partial, variable, value)
        count += 1
    if count:
        model.addSol(partial)
    else:
        model.freeSol(partial)


def _consensus(solutions: Sequence[Mapping[str, float]]) -> dict[str, float]:
    """Return the values that all solutions share."""
    first, *others = solutions
    return {
        name: value
        for name, value in first.items()
        if all(abs(other.get(name, math.inf) - value) < _INTEGRAL for other in others)
    }
