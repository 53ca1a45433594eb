"""Series are scored as the competition did, every row learns from its own past only, and learning is charged."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import pytest
from cosolve.core.errors import BadInputError
from cosolve.examples.mips import reoptimization_bench
from cosolve.examples.mips.options import ReoptimizationOptions
from cosolve.examples.mips.reoptimization_bench import DEFAULT, LAST, OURS, relative_gap, run_series, scored
from cosolve.examples.mips.set_cover import set_cover
from cosolve.plugins.scip.measured import Measured


@pytest.fixture
def series(tmp_path: Path) -> Path:
    folder = tmp_path / "vary_obj" / "series_1"
    base = set_cover("small", np.random.default_rng(0), 60, 80)
    for number in range(3):
        base.costs = [cost + (index * number) % 7 for index, cost in enumerate(base.costs)]
        base.write(folder / f"obj_{number}.mps")
    return folder


def test_the_competitions_score() -> None:
    assert scored(Measured(10.0, 1, 1, "optimal", 5.0, 5.0), 40.0).score == 0.25
    stopped = scored(Measured(40.1, 1, 1, "timelimit", 10.0, 8.0), 40.0)
    assert stopped.score == pytest.approx(1.2)
    nothing = scored(Measured(40.1, 1, 1, "timelimit", math.nan, 8.0), 40.0)
    assert nothing.score == 3.0
    assert relative_gap(-3.0, 2.0) == 1.0


def test_a_series_by_all_rows(series: Path) -> None:
    said: list[str] = []
    report = reoptimization_bench.bench(
        quick=True,
        seed=0,
        progress=lambda done, sentence: said.append(sentence),
        options=ReoptimizationOptions(series=series, seconds=5),
    )
    metrics = report.metrics["vary_obj"]
    assert metrics["optima_equal"] == 1
    assert {"score", "score_default", "score_last_solution"} <= set(metrics)
    assert report.metrics["better_than_both"] in (0, 1)
    assert len(report.cases) == 9
    assert {case["row"] for case in report.cases} == {OURS, DEFAULT, LAST}
    assert "vary_obj" in said[-1]


def test_an_instance_may_use_earlier_files_only(series: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    read: list[str] = []
    genuine = reoptimization_bench.read

    def noting(path: Path) -> object:
        read.append(path.name)
        return genuine(path)

    monkeypatch.setattr(reoptimization_bench, "read", noting)
    rows, race_seconds = run_series(sorted(series.iterdir())[:2], 5.0, 0, lambda *_: None)
    raced = len(reoptimization_bench.candidates())
    assert read == ["obj_0.mps"] * (3 + raced) + ["obj_1.mps"] * 3
    assert race_seconds > 0.0
    assert all(len(own) == 2 for own in rows.values())


def test_without_data_the_bench_says_so(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.delenv("COSOLVE_DATA", raising=False)
    with pytest.raises(BadInputError, match="COSOLVE_DATA"):
        reoptimization_bench.bench(quick=True, seed=0, progress=None, options=ReoptimizationOptions())
    with pytest.raises(BadInputError, match="correct the path"):
        reoptimization_bench.bench(
            quick=True, seed=0, progress=None, options=ReoptimizationOptions(series=tmp_path / "none")
        )
