"""The self-test of the native code, run as a process of its own: a call into the wrong library would end it.

It solves a small covering problem with the native rule, compares its features at every node with what PySCIPOpt's own
getters say, and the optimum with that of SCIP alone. `python -m cosolve.plugins.scip.self_test` prints `fine`.
"""

from __future__ import annotations

import sys
from typing import Any

import numpy as np
from cosolve.core.arrays import Array
from cosolve.plugins.scip.feature_names import NATIVE, PLAIN_INPUTS
from cosolve.plugins.scip.library import UnboundError, address_of, bind
from cosolve.plugins.scip.native_rule import NativeRule
from cosolve.plugins.scip.network import Network
from cosolve.plugins.scip.plain_features import plain_features
from pyscipopt import SCIP_RESULT, Branchrule, Model, quicksum

_TOLERANCE = 1e-9


def toy(seed: int = 3, rows: int = 40, columns: int = 80) -> Model:
    """Return a small set covering model whose tree has some dozen nodes."""
    rng = np.random.default_rng(seed)
    model = Model()
    model.hideOutput()
    costs = rng.integers(20, 30, columns)
    x = [model.addVar(f"x{j}", vtype="B", obj=float(costs[j])) for j in range(columns)]
    for i in range(rows):
        chosen = rng.choice(columns, 6, replace=False)
        model.addCons(quicksum(x[int(j)] for j in chosen) >= 1, f"row{i}")
    for name in ("separating/maxrounds", "separating/maxroundsroot", "presolving/maxrounds"):
        model.setParam(name, 0)
    model.setParam("heuristics/trivial/freq", -1)
    return model


class _Compare(Branchrule):  # type: ignore[misc]  # PySCIPOpt ships no types
    """Compares native with plain features at every node, and leaves the branching to SCIP."""

    def __init__(self, scip: int) -> None:
        self.scip = scip
        self.worst = 0.0
        self.nodes = 0
        self.fault = ""

    def branchexeclp(self, allowaddcons: bool) -> dict[str, Any]:
        """Compare."""
        try:
            self._compare()
        except Exception as error:  # told by the process's exit, not within SCIP
            self.fault = f"{type(error).__name__}: {error}"
        return {"result": SCIP_RESULT.DIDNOTRUN}

    def _compare(self) -> None:
        native = native_inputs(self.scip)
        _, plain = plain_features(self.model)
        self.worst = max(self.worst, float(np.abs(native[:, list(PLAIN_INPUTS)] - plain).max()))
        self.nodes += 1


def native_inputs(scip: int) -> Array:
    """Return the native inputs of the current node, shape (n, 66)."""
    from cosolve.plugins.scip.features import candidates, features

    variables, values, fractions, n = candidates(scip)
    inputs = np.zeros((n, len(NATIVE)))
    features(scip, variables, values, fractions, n, inputs)
    return inputs


def fraction_network() -> Network:
    """Return a network that prefers the most fractional candidate, for tests."""
    n = len(NATIVE)
    hidden = np.zeros((1, n), np.float32)
    hidden[0, NATIVE.index("distance_to_integer")] = 1.0
    return Network(
        np.zeros(n, np.float32), np.ones(n, np.float32), hidden, np.zeros(1, np.float32), np.ones(1, np.float32)
    )


def run() -> str:
    """Return what is wrong, empty when nothing is."""
    try:
        bind()
    except UnboundError as error:
        return str(error)
    alone = toy()
    compare = _Compare(address_of(alone))
    alone.includeBranchrule(compare, "compare", "compares features", 1_000_000, -1, 1.0)
    alone.optimize()
    if compare.fault:
        return f"the features could not be compared: {compare.fault}"
    if compare.nodes < 2 or not compare.worst <= _TOLERANCE:
        return f"native features differ from PySCIPOpt's by {compare.worst:.2g} at {compare.nodes} nodes"
    guided = toy()
    rule = NativeRule(guided, fraction_network(), priority=1_000_000, trace=4)
    guided.optimize()
    counts = rule.counts()
    if counts.decided < 2 or counts.declined.get("a failed call of SCIP"):
        return f"the native rule decided {counts.decided} of {counts.calls} nodes"
    if abs(guided.getObjVal() - alone.getObjVal()) > 1e-6:
        return f"the native rule found {guided.getObjVal()}, SCIP alone {alone.getObjVal()}"
    return ""


if __name__ == "__main__":
    wrong = run()
    print(wrong or "fine")
    sys.exit(1 if wrong else 0)
