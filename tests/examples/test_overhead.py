"""The overhead bench asks and judges in every step, and tells its figures under their agreed names."""

from __future__ import annotations

import json

import pytest
from cosolve.examples.overhead import bench as module
from cosolve.examples.overhead.busy import Clock


@pytest.mark.parametrize("right_every", [1, 2])
def test_every_step_is_asked_and_judged(right_every: int) -> None:
    case = module._measure(Clock(), 1e-4, right_every, 40)
    assert case["steps"] == case["judged"] == 40
    assert case["accepted"] == 40 // right_every
    # Ten times the bar: a machine that is busy with other things must not fail the test.
    assert 0.0 < case["overhead_ms_per_step"] < 2.0


def test_the_report_has_the_agreed_names(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "_STEP_SECONDS", (0.001, 0.0001))
    report = module.bench(quick=True, seed=0)
    content = json.loads(report.as_json())
    assert content["name"] == "overhead"
    assert {"overhead_ms_per_step", "overhead_share_of_10ms"} <= set(content["metrics"])
    assert content["metrics"]["judged_share"] == 1.0
    assert len(content["cases"]) == 20
