"""What is kept of a new guide: equal limits, no mean over what nobody solved, nothing where optima contradict."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from cosolve.plugins.scip import validation
from cosolve.plugins.scip.guide import MIPGuide
from cosolve.plugins.scip.measured import Measured
from cosolve.plugins.scip.settings import Settings
from cosolve.plugins.scip.validation import DEFAULT, GUIDE, SETTINGS, Validation, gate, validate


def solved(seconds: float, status: str = "optimal", primal: float = 1.0) -> Measured:
    return Measured(seconds, 10, 100, status, primal, primal)


def guide() -> MIPGuide:
    return MIPGuide(None, None, settings=Settings("lean", {"separating/maxrounds": 0}))


def found(default: float, alone: float, whole: float) -> Validation:
    return Validation({Path("a.mps"): {DEFAULT: solved(default), SETTINGS: solved(alone), GUIDE: solved(whole)}})


def test_every_way_has_the_same_limit_and_what_nobody_solves_counts_nowhere(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    limits: dict[str, list[float]] = {"easy": [], "hard": []}

    def measure(name: str, settings: Settings, *, time_limit: float, prepare: object) -> Measured:
        limits[name].append(time_limit)
        return solved(time_limit, "timelimit") if name == "hard" else solved(0.5)

    monkeypatch.setattr(validation, "read_instance", lambda path: path.stem)
    monkeypatch.setattr(validation, "measure", measure)
    monkeypatch.setattr(validation, "ScipHost", lambda model: SimpleNamespace(attach_branching=lambda *_, **__: None))
    result = validate(guide(), [Path("easy.mps"), Path("hard.mps")], 60.0)
    assert len(limits["easy"]) == len(limits["hard"]) == 3
    for own in limits.values():
        assert np.ptp(own) == 0.0
    assert list(result.solves) == [Path("easy.mps")]
    assert result.unsolved == [Path("hard.mps")]
    assert result.mean(GUIDE) == pytest.approx(0.5)


@pytest.mark.parametrize(
    ("times", "settings", "sentence"),
    [
        ((4.0, 2.0, 1.0), True, "expect 4.00 times the speed of SCIP's default"),
        ((4.0, 1.0, 2.0), True, "the learnt branching is left out"),
        ((1.0, 2.0, 2.0), False, "the guide leaves these instances to SCIP"),
    ],
)
def test_only_what_pays_is_kept(times: tuple[float, float, float], settings: bool, sentence: str) -> None:
    kept, advice = gate(guide(), found(*times))
    assert sentence in advice[0]
    assert (kept.root_settings is not None) == settings


def test_contradicting_optima_leave_the_instances_to_scip() -> None:
    result = found(4.0, 2.0, 1.0)
    result.unequal.append(Path("a.mps"))
    kept, advice = gate(guide(), result)
    assert kept.root_settings is None
    assert "proved different optima on a.mps" in advice[0]
