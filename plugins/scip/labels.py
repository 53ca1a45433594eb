"""Collects labels: what strong branching would choose at sampled nodes of an instance's branch and bound."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, Final

import numpy as np
import numpy.typing as npt
from cosolve.core.arrays import Array
from cosolve.plugins.scip.feature_names import NATIVE
from cosolve.plugins.scip.library import address_of, bind
from cosolve.plugins.scip.network import Network
from cosolve.plugins.scip.settings import CPU_CLOCK, Settings
from cosolve.plugins.scip.starts import propose_start
from pyscipopt import SCIP_RESULT, Branchrule, Model

SHARE: Final = 0.08
"""Share of the nodes that are labelled; the root always is."""

FOLLOWED: Final = 0.5
"""How often the search follows strong branching at a labelled node, so that good and ordinary trees are seen."""

COLLECTOR_PRIORITY: Final = 3_000_000


@dataclass(slots=True)
class Labels:
    """Labelled nodes of one instance.

    Attributes:
        inputs: Inputs of all candidates of all nodes, shape (candidates, 66), float32.
        scores: Strong branching scores, shape (candidates,), float32.
        starts: Where each node's candidates start, and the end of the last; shape (nodes + 1,).
        depths: Depth of each node.
        seconds: CPU seconds of the whole collection on this instance.
    """

    inputs: Array
    scores: Array
    starts: npt.NDArray[np.int64]
    depths: npt.NDArray[np.int32]
    seconds: float = 0.0

    @property
    def nodes(self) -> int:
        """Number of labelled nodes."""
        return len(self.starts) - 1


@dataclass(slots=True)
class _Samples:
    inputs: list[Array] = field(default_factory=list)
    scores: list[Array] = field(default_factory=list)
    depths: list[int] = field(default_factory=list)


class _Collector(Branchrule):  # type: ignore[misc]  # PySCIPOpt ships no types
    """Labels a sample of the nodes, and branches by the label every other time."""

    def __init__(self, seed: int, limit: int, seconds: float) -> None:
        from cosolve.plugins.scip.features import candidates, features, gap_of
        from cosolve.plugins.scip.strong_branching import strong_branching

        self.samples = _Samples()
        self.fault: Exception | None = None
        self._address = 0
        self._limit = limit
        self._microseconds = int(1e6 * min(seconds, 3600.0))
        self._rng = np.random.default_rng(seed)
        self._native = (candidates, features, gap_of, strong_branching)

    def attach(self, model: Model) -> None:
        """Remember where the model is; PySCIPOpt hands rules a proxy."""
        self._address = address_of(model)

    def branchexeclp(self, allowaddcons: bool) -> dict[str, Any]:
        """Label this node, or leave it to SCIP's rule."""
        try:
            return self._label()
        except Exception as error:  # whatever it is, SCIP's own rule goes on; the caller raises it afterwards
            self.fault = error
            return {"result": SCIP_RESULT.DIDNOTRUN}

    def branchexecps(self, allowaddcons: bool) -> dict[str, Any]:
        """Leave pseudo-solutions to SCIP's rule."""
        return {"result": SCIP_RESULT.DIDNOTRUN}

    def branchexecext(self, allowaddcons: bool) -> dict[str, Any]:
        """Leave external candidates to SCIP's rule."""
        return {"result": SCIP_RESULT.DIDNOTRUN}

    def _label(self) -> dict[str, Any]:
        candidates, features, gap_of, strong_branching = self._native
        model, scip = self.model, self._address
        first = model.getNNodes() <= 1
        if self.fault is not None or len(self.samples.depths) >= self._limit:
            return {"result": SCIP_RESULT.DIDNOTRUN}
        if not first and self._rng.random() >= SHARE:
            return {"result": SCIP_RESULT.DIDNOTRUN}
        variables, values, fractions, n = candidates(scip)
        if n < 2:
            return {"result": SCIP_RESULT.DIDNOTRUN}
        inputs = np.zeros((n, len(NATIVE)))
        scores, gains = np.zeros(n), np.zeros((n, 2))
        features(scip, variables, values, fractions, n, inputs)
        if not strong_branching(scip, variables, n, gap_of(scip), scores, gains, self._microseconds):
            return {"result": SCIP_RESULT.DIDNOTRUN}
        if not (np.isfinite(inputs).all() and np.isfinite(scores).all()):
            return {"result": SCIP_RESULT.DIDNOTRUN}
        self.samples.inputs.append(inputs.astype(np.float32))
        self.samples.scores.append(scores.astype(np.float32))
        self.samples.depths.append(model.getDepth())
        if self._rng.random() >= FOLLOWED:
            return {"result": SCIP_RESULT.DIDNOTRUN}
        found = model.getLPBranchCands()[0]
        model.branchVar(found[int(np.argmax(scores))])
        return {"result": SCIP_RESULT.BRANCHED}


def collect(
    read: Callable[[], Model],
    settings: Settings,
    *,
    seed: int = 0,
    node_limit: int = 600,
    label_limit: int = 40,
    seconds: float = 1e20,
    network: Network | None = None,
    start_steps: int = 0,
) -> Labels:
    """Solve an instance and label a sample of its nodes (not collective).

    Args:
        read: Makes the model.
        settings: Under which the guide will work: labels belong to the trees that it will see.
        seed: Draws the nodes.
        node_limit: Nodes after which the instance has told enough.
        label_limit: Labelled nodes after which it has.
        seconds: CPU seconds after which it has.
        network: Branches between the labelled nodes, so that the trees are those of a guide (a second pass in the style
            of DAgger, Ross et al. 2011, arXiv:1011.0686); None leaves them to SCIP's rule.
        start_steps: Of the search for a start, if the guide will give one; 0 for none.

    Returns:
        The labels; none for an instance that is solved at the root.

    Raises:
        UnboundError: Native functions are not available.
    """
    bind()
    start = time.process_time()
    model = read()
    settings.merged(CPU_CLOCK).apply(model)
    model.setParam("limits/nodes", node_limit)
    model.setParam("limits/time", min(seconds, 1e20))
    if start_steps:
        propose_start(model, start_steps)
    collector = _Collector(seed, label_limit, seconds)
    model.includeBranchrule(
        collector, "cosolve_labels", "labels nodes by strong branching", COLLECTOR_PRIORITY, -1, 1.0
    )
    collector.attach(model)
    if network is not None:
        # Imported here: it includes this module's features, which `bind` made known.
        from cosolve.plugins.scip.native_rule import NativeRule

        NativeRule(model, network, priority=COLLECTOR_PRIORITY - 1, audit=False)
    model.optimize()
    if collector.fault is not None:
        raise collector.fault
    samples = collector.samples
    sizes = [len(scores) for scores in samples.scores]
    return Labels(
        np.concatenate(samples.inputs) if sizes else np.zeros((0, len(NATIVE)), np.float32),
        np.concatenate(samples.scores) if sizes else np.zeros(0, np.float32),
        np.concatenate([[0], np.cumsum(sizes)]).astype(np.int64),
        np.array(samples.depths, np.int32),
        time.process_time() - start,
    )
