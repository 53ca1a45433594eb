"""Branching rules in Python: plain features with a stored network, or a user's own scoring function.

Whatever the scores are (not finite, of a wrong shape, too late, an exception), the node goes to SCIP's own rule, and
after `MAX_FAULTS` such nodes all others do.
"""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable
from typing import Any, Final, TypeAlias

import numpy as np
from cosolve.core.arrays import Array
from cosolve.plugins.scip.decision import Decision, RuleCounts
from cosolve.plugins.scip.feature_names import NATIVE, PLAIN_INPUTS
from cosolve.plugins.scip.plain_features import plain_features
from pyscipopt import SCIP_RESULT, Branchrule, Model

Scorer: TypeAlias = Callable[[Array], Array]
"""Takes the inputs of a node's candidates, shape (n, inputs), and returns one score for each, shape (n,)."""

NAME: Final = "cosolve_python"
MAX_FAULTS: Final = 3
_PRODUCT: Final = PLAIN_INPUTS.index(NATIVE.index("pseudocost_product"))


class PythonRule(Branchrule):  # type: ignore[misc]  # PySCIPOpt ships no types
    """Branches on the candidate of the largest score.

    Args:
        score: Scores candidates by their plain inputs, see `cosolve.plugins.scip.plain_features`.
        deadline: Wall seconds that the scores of one node may take.
        trace: Decisions that are kept for `cosolve explain`.

    Attributes:
        fault: The sentence of the first fault; empty while there is none.
    """

    def __init__(self, score: Scorer, *, deadline: float = 1.0, trace: int = 0) -> None:
        self.fault = ""
        self._score = score
        self._deadline = deadline
        self._trace = trace
        self._on = True
        self._calls = self._decided = self._agreed = 0
        self._seconds = 0.0
        self._declined: Counter[str] = Counter()
        self._decisions: list[Decision] = []

    def include(self, model: Model, priority: int) -> None:
        """Put the rule into a model."""
        model.includeBranchrule(self, NAME, "branches as a trained guide proposes", priority, -1, 1.0)

    def detach(self, model: Model) -> None:
        """Leave every further node to SCIP's own rule. Idempotent."""
        self._on = False

    def branchexeclp(self, allowaddcons: bool) -> dict[str, Any]:
        """Branch, or leave the node to SCIP's rule."""
        self._calls += 1
        if not self._on:
            return {"result": SCIP_RESULT.DIDNOTRUN}
        start = time.process_time()
        chosen = None
        try:
            chosen = self._choose()
        except Exception as error:  # whatever a scorer raises: SCIP's own rule goes on with this very node
            self._blame(f"{type(error).__name__}: {error}")
        finally:
            self._seconds += time.process_time() - start
        if chosen is None:
            return {"result": SCIP_RESULT.DIDNOTRUN}
        self.model.branchVar(chosen)
        return {"result": SCIP_RESULT.BRANCHED}

    def branchexecps(self, allowaddcons: bool) -> dict[str, Any]:
        """Leave pseudo-solutions to SCIP's rule."""
        return {"result": SCIP_RESULT.DIDNOTRUN}

    def branchexecext(self, allowaddcons: bool) -> dict[str, Any]:
        """Leave external candidates to SCIP's rule."""
        return {"result": SCIP_RESULT.DIDNOTRUN}

    def _choose(self) -> Any | None:
        variables, inputs = plain_features(self.model)
        if len(variables) < 2:
            self._declined["a single candidate"] += 1
            return None
        began = time.perf_counter()
        scores = np.asarray(self._score(inputs), np.float64)
        took = time.perf_counter() - began
        if scores.shape != (len(variables),):
            self._blame(f"scores of shape {scores.shape} for {len(variables)} candidates")
            return None
        if not np.isfinite(scores).all():
            self._blame("a score that is not finite")
            return None
        if took > self._deadline:
            self._blame(f"scores that took {took:.2g} s, with a deadline of {self._deadline:.2g} s")
            return None
        chosen, replaced = int(np.argmax(scores)), int(np.argmax(inputs[:, _PRODUCT]))
        self._decided += 1
        self._agreed += chosen == replaced
        if len(self._decisions) < self._trace:
            self._decisions.append(self._decision(variables, scores, chosen, replaced))
        return variables[chosen]

    def _blame(self, sentence: str) -> None:
        self.fault = self.fault or sentence
        self._declined["a fault of the guide"] += 1
        if self._declined["a fault of the guide"] >= MAX_FAULTS:
            self._on = False

    def _decision(self, variables: list[Any], scores: Array, chosen: int, replaced: int) -> Decision:
        others = np.delete(scores, chosen)
        return Decision(
            node=self.model.getCurrentNode().getNumber(),
            depth=self.model.getDepth(),
            candidates=len(variables),
            variable=variables[chosen].name.removeprefix("t_"),
            replaced=variables[replaced].name.removeprefix("t_"),
            score=float(scores[chosen]),
            second=float(others.max()),
            replaced_score=float(scores[replaced]),
            bound=self.model.getLPObjVal(),
        )

    def counts(self) -> RuleCounts:
        """Return what the rule has done so far."""
        off = not self._on and self._declined["a fault of the guide"] >= MAX_FAULTS
        return RuleCounts(
            calls=self._calls,
            decided=self._decided,
            agreed=self._agreed,
            seconds=self._seconds,
            declined={name: count for name, count in self._declined.items() if count},
            verdict=f"the guide failed {MAX_FAULTS} times: {self.fault}" if off else "",
            handed_back=off,
        )

    def decisions(self) -> list[Decision]:
        """Return the decisions that were traced, in order."""
        return list(self._decisions)
