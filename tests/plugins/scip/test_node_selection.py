"""Node selection by a function: SCIP's best node where it fails, and the user's own selector first."""

from __future__ import annotations

import cosolve
import numpy as np
import pytest
from mip_models import guide, optimum, toy


def test_nodes_may_be_chosen_by_a_function() -> None:
    model = toy()
    guidance = cosolve.guide(model, guide(), nodes=lambda inputs: inputs[:, 2])
    model.optimize()
    assert guidance.selector.chosen > 3
    assert model.getObjVal() == pytest.approx(optimum(toy()))
    faulty = toy()
    guidance = cosolve.guide(faulty, guide(), nodes=lambda inputs: inputs[:, 0] * np.nan)
    faulty.optimize()
    assert guidance.selector.faults == 3
    assert guidance.selector.chosen == 0
    assert "finite score" in guidance.selector.fault
    assert faulty.getObjVal() == pytest.approx(optimum(toy()))
    chosen = toy()
    chosen.setParam("nodeselection/dfs/stdpriority", 900_000)
    guidance = cosolve.guide(chosen, guide(), nodes=lambda inputs: inputs[:, 0])
    assert guidance.selector is None
    assert [one.reason for one in guidance.declined if one.point == "nodes"] == [
        "the user chose the node selector 'dfs'"
    ]
