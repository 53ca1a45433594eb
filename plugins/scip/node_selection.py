"""Which node SCIP turns to next, by scores of a user's or a guide's function; SCIP's best node where that fails."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final, TypeAlias

import numpy as np
from cosolve.core.arrays import Array
from pyscipopt import Model, Nodesel

NodeScorer: TypeAlias = Callable[[Array], Array]
"""Takes the inputs of the nodes to choose from, shape (n, 4), and returns a score for each, shape (n,).

The inputs: bound and estimate, both as shares of the gap between the tree's bound and the best solution (of their own
size where there is no solution); depth / (depth + 10); 0 for a child of the last node, 1 for a sibling, 2 for the best
of the other open nodes.
"""

NAME: Final = "cosolve_nodes"
PRIORITY: Final = 2_000_000
MAX_FAULTS: Final = 3


class ScoredNodes(Nodesel):  # type: ignore[misc]  # PySCIPOpt ships no types
    """Chooses among children, siblings and the best open node by a score.

    Args:
        score: Scores nodes.

    Attributes:
        chosen: Nodes that the score chose.
        faults: How often SCIP's best node was taken because the score failed; after three, it always is.
        fault: The sentence of the first fault; empty while there is none.
    """

    def __init__(self, score: NodeScorer) -> None:
        self.chosen = 0
        self.faults = 0
        self.fault = ""
        self._score = score

    def include(self, model: Model) -> None:
        """Put the selector into a model."""
        model.includeNodesel(self, NAME, "chooses nodes by a score", PRIORITY, PRIORITY)

    def nodeselect(self) -> dict[str, Any]:
        """Choose; SCIP calls this when it wants a node."""
        if self.faults < MAX_FAULTS:
            try:
                node = self._choose()
                if node is not None:
                    self.chosen += 1
                    return {"selnode": node}
            except Exception as error:  # whatever a scorer raises: SCIP's best node is a good choice
                self.faults += 1
                self.fault = self.fault or f"{type(error).__name__}: {error}"
        return {"selnode": self.model.getBestNode()}

    def nodecomp(self, node1: Any, node2: Any) -> int:
        """Order the queue of open nodes by their estimates, as SCIP's default does."""
        one, other = node1.getEstimate(), node2.getEstimate()
        return -1 if one < other else int(one > other)

    def _choose(self) -> Any | None:
        _, children, siblings = self.model.getOpenNodes()
        leaf = self.model.getBestLeaf()
        nodes = [*children, *siblings, *([] if leaf is None else [leaf])]
        if not nodes:
            return None
        kinds = [0.0] * len(children) + [1.0] * len(siblings) + [2.0] * (leaf is not None)
        lowest, best = self.model.getDualbound(), self.model.getPrimalbound()
        known = abs(best) < self.model.infinity() and abs(lowest) < self.model.infinity()
        width = max(abs(best - lowest), 1e-9) if known else max(abs(lowest), 1.0)
        start = min(node.getLowerbound() for node in nodes)
        inputs = np.array(
            [
                [
                    (node.getLowerbound() - start) / width,
                    (node.getEstimate() - start) / width,
                    node.getDepth() / (node.getDepth() + 10.0),
                    kind,
                ]
                for node, kind in zip(nodes, kinds, strict=True)
            ]
        )
        scores = np.asarray(self._score(inputs), np.float64)
        if scores.shape != (len(nodes),) or not np.isfinite(scores).all():
            raise ValueError(f"expected a finite score for each of {len(nodes)} nodes, found shape {scores.shape}")
        return nodes[int(np.argmax(scores))]
