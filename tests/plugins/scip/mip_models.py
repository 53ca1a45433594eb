"""Small models for the tests: trees of some dozen nodes."""

from __future__ import annotations

import numpy as np
from cosolve.plugins.scip.feature_names import NATIVE, PLAIN_INPUTS
from cosolve.plugins.scip.guide import MIPGuide
from cosolve.plugins.scip.network import Network
from cosolve.plugins.scip.self_test import toy
from cosolve.plugins.scip.settings import Settings
from pyscipopt import Model, quicksum

LEAN = Settings("lean", {"separating/maxrounds": 0, "separating/maxroundsroot": 0, "presolving/maxrestarts": 0})


def network(feature: str = "pseudocost_product", sign: float = 1.0, names: tuple[str, ...] = NATIVE) -> Network:
    """Return a network whose score is one feature, up to the clipping."""
    n = len(names)
    hidden = np.zeros((1, n), np.float32)
    hidden[0, names.index(feature)] = sign
    return Network(
        np.zeros(n, np.float32),
        np.ones(n, np.float32),
        hidden,
        np.full(1, 10.0, np.float32),
        np.ones(1, np.float32),
    )


def guide(feature: str = "pseudocost_product", **arguments: object) -> MIPGuide:
    """Return a guide of that network in both forms."""
    plain_names = tuple(NATIVE[index] for index in PLAIN_INPUTS)
    return MIPGuide(network(feature), network(feature, names=plain_names), **arguments)


def general_integers(seed: int = 0) -> Model:
    """Return a maximisation with general integers, continuous variables and equality rows."""
    rng = np.random.default_rng(seed)
    model = Model()
    model.hideOutput()
    x = [model.addVar(f"x{j}", vtype="I", ub=7) for j in range(14)]
    y = [model.addVar(f"y{j}", ub=3.5) for j in range(4)]
    for _ in range(7):
        a = rng.integers(20, 60, 14)
        model.addCons(quicksum(int(a[j]) * x[j] for j in range(14)) + 2 * y[0] <= int(a.sum() * 2.3))
    model.addCons(quicksum(y) + x[0] == 6)
    c = rng.integers(20, 60, 14)
    model.setObjective(quicksum(int(c[j]) * x[j] for j in range(14)) + 1.5 * y[1], "maximize")
    for name, value in LEAN.params.items():
        model.setParam(name, value)
    return model


def optimum(model: Model) -> float:
    """Solve by SCIP alone."""
    model.optimize()
    return float(model.getObjVal())


__all__ = ["LEAN", "general_integers", "guide", "network", "optimum", "toy"]
