"""`run_case`: a plugin's mistakes are named, faults of one rank are everybody's, fields and PETSc's options arrive."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from cosolve.core import petsc_options
from cosolve.core.case_reading import load_case
from cosolve.core.communicator import Communicator, SerialCommunicator
from cosolve.core.entries import Entry
from cosolve.core.errors import BadInputError, OutputError, PluginError
from cosolve.core.events import RunEvent
from cosolve.core.hookspecs import hookimpl
from cosolve.core.ledger import read_ledger
from cosolve.core.problem import Problem
from cosolve.core.registry import Registry
from cosolve.core.run import run_case
from cosolve.core.solver import Solver
from cosolve.core.testing.mean_field import MeanFieldSolver
from cosolve.core.together import together

HERE = "test_run_objects"


class Mean(Problem):
    name = "mean"
    series: list[tuple[float, str]] | None = None

    def __init__(self, options: Any) -> None:
        self.parameters = {"k": 5.0}

    def make_solver(self, comm: Communicator, settings: Any) -> Solver:
        return MeanFieldSolver(9, comm, **settings)

    @property
    def time_span(self) -> tuple[float, float, float]:
        return 0.0, 1.0, 0.01

    def open_fields(self, solver: Solver, directory: Path) -> Any:
        if Mean.series is None:
            return None
        return Series(directory / "series.xdmf", Mean.series)


class Series:
    names = ("u",)

    def __init__(self, path: Path, seen: list[tuple[float, str]]) -> None:
        self.path, self.seen = path, seen

    def write(self, t: float, fields: dict[str, Any], source: str = "") -> None:
        self.seen.append((round(t, 6), source))

    def close(self) -> None:
        self.path.write_text("closed")


class Plugin:
    """Offers the problem and what is wrong, and watches runs."""

    def __init__(self) -> None:
        self.events: list[RunEvent] = []

    @hookimpl
    def cosolve_problems(self) -> list[Entry]:
        return [Entry("mean", "", f"{HERE}:Mean")]

    @hookimpl
    def cosolve_surrogates(self) -> list[Entry]:
        return [
            Entry("not_a_surrogate", "", f"{HERE}:not_a_surrogate"),
            Entry("raising", "", f"{HERE}:raising"),
            Entry("no_model", "", f"{HERE}:raising", options="json:loads"),
        ]

    @hookimpl
    def cosolve_run_started(self, event: RunEvent) -> None:
        self.events.append(event)

    @hookimpl
    def cosolve_run_finished(self, event: RunEvent) -> None:
        self.events.append(event)
        raise RuntimeError("an observer that fails")


def raising() -> None:
    raise KeyError("weights")


@pytest.fixture
def plugin(monkeypatch: pytest.MonkeyPatch) -> Plugin:
    module = type(sys)(HERE)
    module.Mean, module.raising, module.not_a_surrogate = Mean, raising, dict  # type: ignore[attr-defined]  # made here
    monkeypatch.setitem(sys.modules, HERE, module)
    monkeypatch.setattr(Mean, "series", None)
    return Plugin()


@pytest.fixture
def registry(plugin: Plugin) -> Registry:
    registry = Registry.discover({"COSOLVE_PLUGINS": "couplings,baselines,verifiers"})
    registry.register(plugin, "mine")
    return registry


def tables(folder: Path, **more: Any) -> dict[str, Any]:
    return {
        "problem": {"name": "mean"},
        "surrogate": [{"name": "quadratic_extrapolation"}],
        "output": {"directory": str(folder)},
        **more,
    }


def test_observers_see_start_and_end_and_their_faults_are_in_the_ledger(
    registry: Registry, plugin: Plugin, tmp_path: Path
) -> None:
    result = run_case(load_case(tables(tmp_path), registry, environment={}), registry=registry)
    assert result.ok
    assert [event.result for event in plugin.events] == [None, result]
    assert plugin.events[0].case["verifier"]["accept_fraction"] == 0.5
    faults = [record for record in read_ledger(tmp_path) if record["kind"] == "observer_fault"]
    assert [(fault["plugin"], fault["hook"], fault["error"]) for fault in faults] == [
        ("mine", "cosolve_run_finished", "RuntimeError: an observer that fails")
    ]


@pytest.mark.parametrize(
    ("name", "sentence"),
    [
        ("raising", "surrogate.0.name: surrogate 'raising' could not be built: KeyError: 'weights'."),
        (
            "not_a_surrogate",
            "surrogate.0.name: surrogate 'not_a_surrogate': expected its factory 'test_run_objects:not_a_surrogate' to "
            "make a Surrogate, found dict; correct the entry of that plugin.",
        ),
    ],
)
def test_a_factory_that_breaks_its_contract_is_named(
    registry: Registry, tmp_path: Path, name: str, sentence: str
) -> None:
    case = load_case(tables(tmp_path, surrogate=[{"name": name}]), registry, environment={})
    with pytest.raises(PluginError) as caught:
        run_case(case, registry=registry)
    assert sentence in str(caught.value)


def test_options_that_are_no_model_are_the_plugins_fault(registry: Registry, tmp_path: Path) -> None:
    with pytest.raises(PluginError, match="'no_model' names 'json:loads' as its options, expected a pydantic model"):
        load_case(tables(tmp_path, surrogate=[{"name": "no_model"}]), registry, environment={})


def test_a_series_gets_about_fifty_snapshots_with_their_source_and_the_end(
    registry: Registry, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: list[tuple[float, str]] = []
    monkeypatch.setattr(Mean, "series", seen)
    case = load_case(tables(tmp_path, coupling={"mode": "off"}), registry, environment={})
    run_case(case, registry=registry)
    assert [t for t, _ in seen] == pytest.approx(np.arange(0.02, 1.001, 0.02))
    assert {source for _, source in seen} == {"solver"}
    assert (tmp_path / "series.xdmf").read_text() == "closed"
    seen.clear()
    run_case(
        load_case(
            tables(tmp_path, coupling={"mode": "off"}, output={"directory": str(tmp_path), "fields_every": 40}),
            registry,
            environment={},
        ),
        registry=registry,
    )
    assert [t for t, _ in seen] == pytest.approx([0.4, 0.8, 1.0])


class TwoRanks(SerialCommunicator):
    """Rank 0 of two, the other of which fails as told."""

    def __init__(self, other: tuple[int, str] | None) -> None:
        self.other = other

    def allgather(self, sendobj: Any) -> list[Any]:
        return [sendobj, self.other]


def test_what_fails_on_one_rank_fails_on_all_alike() -> None:
    assert together(TwoRanks(None), "reading", lambda: 3) == 3
    with pytest.raises(OutputError, match="no room on rank 1"):
        together(TwoRanks((7, "no room on rank 1")), "reading", lambda: 3)
    with pytest.raises(PluginError, match=r"reading failed: KeyError: 'x'\."):
        together(TwoRanks(None), "reading", lambda: {}["x"])

    def bad() -> None:
        raise BadInputError("mine comes first")

    with pytest.raises(BadInputError, match="mine comes first"):
        together(TwoRanks((7, "no room on rank 1")), "reading", bad)


def test_options_reach_petsc_before_it_starts_and_the_environment_is_left_as_it_was(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.delitem(sys.modules, "petsc4py.PETSc", raising=False)
    monkeypatch.setenv("PETSC_OPTIONS", "-mine 1")
    with petsc_options.handed_over(("-ksp_type", "cg", "-title", "two words")):
        assert os.environ["PETSC_OPTIONS"] == '-mine 1 -ksp_type cg -title "two words"'
    assert os.environ["PETSC_OPTIONS"] == "-mine 1"
    assert petsc_options.unused(("-ksp_type", "cg", "-log_view")) == ["-ksp_type", "-log_view"]


def test_options_reach_a_petsc_that_runs_already() -> None:
    PETSc = pytest.importorskip("petsc4py.PETSc")
    words = ("-cosolve_test_ksp_type", "cg", "-cosolve_test_nobody_reads", "3")
    with petsc_options.handed_over(words):
        ksp = PETSc.KSP().create(PETSc.COMM_SELF)
        ksp.setOptionsPrefix("cosolve_test_")
        ksp.setFromOptions()
        assert ksp.getType() == "cg"
        ksp.destroy()
        assert petsc_options.unused(words) == ["-cosolve_test_nobody_reads"]
    assert not PETSc.Options().hasName("cosolve_test_ksp_type")
