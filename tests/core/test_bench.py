"""Bench reports: the JSON that every bench writes, and how parts of a bench are merged."""

from __future__ import annotations

import json
import math
from pathlib import Path

import numpy as np
import pytest
from cosolve.core.bench import BenchReport, data_folder, merge
from cosolve.core.errors import BadInputError, OutputError
from rich.console import Console


def report() -> BenchReport:
    metrics = {"speedup_median": np.float64(12.5), "unknown": math.nan, "oracle": {"share": 0.9}, "complete": True}
    return BenchReport(
        "time-loop", metrics, [{"seed": np.int64(3), "errors": np.array([0.1])}], {"oracle.share": "= 1"}
    )


def test_the_json_has_name_machine_metrics_and_cases(tmp_path: Path) -> None:
    report().write(tmp_path / "deep" / "out.json")
    read = json.loads((tmp_path / "deep" / "out.json").read_text())
    assert read["name"] == "time-loop"
    assert read["metrics"] == {"speedup_median": 12.5, "unknown": None, "oracle": {"share": 0.9}, "complete": True}
    assert read["cases"] == [{"seed": 3, "errors": [0.1]}]
    assert read["machine"]["cores"] >= 1
    assert read["machine"]["versions"]["cosolve"]


def test_a_json_that_cannot_be_written(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(OutputError, match="expected a file that can be written"):
        report().write(tmp_path / "file" / "out.json")


def test_the_table_shows_each_metric_and_its_target() -> None:
    console = Console(width=100, record=True, quiet=False, file=open("/dev/null", "w"))  # noqa: SIM115
    console.print(report().table())
    text = console.export_text()
    assert "speedup_median" in text
    assert "12.5" in text
    line = next(line for line in text.splitlines() if "oracle.share" in line)
    assert line.split() == ["oracle.share", "0.9", "=", "1"]
    assert "unknown" in text


def test_merging_keeps_the_parts_apart() -> None:
    merged = merge("time-loop", [BenchReport("a", {"x": 1}, [{"seed": 1}]), BenchReport("b", {"y": 2}, [{"seed": 1}])])
    assert merged.metrics == {"x": 1, "y": 2}
    assert [case["part"] for case in merged.cases] == ["a", "b"]
    with pytest.raises(ValueError, match="the part 'b' measures x again"):
        merge("time-loop", [BenchReport("a", {"x": 1}), BenchReport("b", {"x": 2})])


def test_data_come_from_the_environment_unless_an_option_names_another(tmp_path: Path, monkeypatch) -> None:
    monkeypatch.delenv("COSOLVE_DATA", raising=False)
    with pytest.raises(BadInputError, match="expected a folder in COSOLVE_DATA, found nothing; set it"):
        data_folder()
    monkeypatch.setenv("COSOLVE_DATA", "/no/such/folder")
    with pytest.raises(BadInputError, match="COSOLVE_DATA: expected a folder of bench data, found none at /no/such"):
        data_folder()
    assert data_folder(tmp_path) == tmp_path
