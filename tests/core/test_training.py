"""Training: runs are made once and kept, split as wholes, charged honestly; the report says what it cost."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from cosolve.core.arrays import Array
from cosolve.core.errors import BadInputError, OutputError
from cosolve.core.model_file import load_card
from cosolve.core.prediction import Prediction
from cosolve.core.query import Query
from cosolve.core.rejected import RejectedProposals
from cosolve.core.surrogate import StoredSurrogate
from cosolve.core.training import Budget, Fitted, TrainingReport, TrainingSettings, train
from cosolve.core.training_data import TrainingData, generate, read_run, rejected_steps, run_key, split
from cosolve.core.trajectory import Trajectory
from hypothesis import given
from hypothesis import strategies as st


class Factor(StoredSurrogate):
    """Multiplies the state by a trained factor."""

    name = "factor"

    def __init__(self, factor: float) -> None:
        self.factor = factor

    def _predict(self, query: Query) -> Prediction:
        return Prediction(self.factor * query.state)

    def tensors(self) -> Mapping[str, Array]:
        return {"factor": np.array([self.factor])}

    def settings(self) -> Mapping[str, Any]:
        return {}

    @classmethod
    def from_file(cls, tensors: Mapping[str, Array], settings: Mapping[str, Any]) -> Factor:
        return cls(float(tensors["factor"][0]))


class Decay:
    """u' = -k u, whose factor over one step is trained; counts its runs."""

    name = "decay"

    def __init__(self, *, version: int = 1, draws: int = 1000, fail_at: int = -1, busy: float = 0.0) -> None:
        self.made: list[float] = []
        self.version, self.draws, self.fail_at, self.busy = version, draws, fail_at, busy

    def data_key(self) -> Mapping[str, Any]:
        return {"version": self.version}

    def draw_training_run(self, seed: int, index: int) -> Mapping[str, Any]:
        rng = np.random.default_rng([seed, index % self.draws])
        return {"k": float(rng.uniform(1.0, 2.0)), "shape": rng.uniform(size=3)}

    def training_run(self, parameters: Mapping[str, Any]) -> Trajectory:
        if len(self.made) == self.fail_at:
            raise KeyboardInterrupt
        self.made.append(parameters["k"])
        until = time.process_time() + self.busy
        while time.process_time() < until:
            sum(range(1000))
        times = 0.1 * np.arange(5)
        states = np.exp(-parameters["k"] * times)[:, None] * np.ones(4)
        return Trajectory(times, states, parameters, kicks=np.full((4, 4), 1e-3, dtype=np.float32))

    def fit_surrogate(
        self, data: TrainingData, settings: TrainingSettings, budget: Budget, progress: Callable[[float, str], None]
    ) -> Fitted:
        ratios = np.concatenate([run.states[1:] / run.states[:-1] for run in data.training])
        progress(0.5, "half")
        return Fitted(Factor(float(ratios.mean())), "factor", {"validation_error": 0.1}, units={"u": "1"})


def silent(share: float, text: str) -> None:
    """Say nothing."""


def settings(folder: Path, **options: Any) -> TrainingSettings:
    return TrainingSettings(
        **{"output": str(folder / "model.safetensors"), "data": str(folder / "data"), "runs": 10, **options}
    )


def test_a_model_and_its_report_are_written(tmp_path: Path) -> None:
    told: list[tuple[float, str]] = []
    problem = Decay()
    report = train(problem, settings(tmp_path), lambda share, text: told.append((share, text)), made_by="make it")
    card = load_card(tmp_path / "model.safetensors")
    assert report.card == card
    assert (card.surrogate, card.problem, card.made_by, card.seed) == ("factor", "decay", "make it", 0)
    assert report.runs == {"training": 8, "validation": 2, "test": 0}
    assert set(card.envelope) == {"k", "shape"}
    low, high = card.envelope["k"]
    assert min(problem.made) <= low < high <= max(problem.made)
    assert card.parameters == ("k", "shape")
    assert card.cost_data_seconds > 0.0
    assert card.cost_training_seconds > 0.0
    assert len(card.data_sha256) == 64
    assert {"python", "cosolve", "numpy"} <= set(card.versions)
    summary = json.loads((tmp_path / "model.json").read_text())
    assert summary["runs"] == report.runs
    assert summary["cost_data_seconds"] == card.cost_data_seconds
    text = (tmp_path / "model.txt").read_text()
    assert "8 training, 2 validation, 0 test (0 read from disk)" in text
    assert "figure       validation_error = 0.1" in text
    shares = [share for share, _ in told]
    assert shares == sorted(shares)
    assert shares[-1] == 1.0


def test_an_interrupted_training_goes_on_where_it_was(tmp_path: Path) -> None:
    broken = Decay(fail_at=4)
    with pytest.raises(KeyboardInterrupt):
        train(broken, settings(tmp_path), silent)
    assert not (tmp_path / "model.safetensors").exists()
    again = Decay()
    report = train(again, settings(tmp_path), silent)
    assert (len(broken.made), len(again.made), report.reused) == (4, 6, 4)
    fresh = train(Decay(), settings(tmp_path, data=str(tmp_path / "other")), silent)
    assert fresh.card.data_sha256 == report.card.data_sha256
    assert fresh.card.tensors_sha256 == report.card.tensors_sha256


def test_runs_are_made_again_when_what_they_depend_on_has_changed(tmp_path: Path) -> None:
    train(Decay(version=1), settings(tmp_path), silent)
    changed, same = Decay(version=2), Decay(version=1)
    assert train(changed, settings(tmp_path), silent).reused == 0
    assert train(same, settings(tmp_path), silent).reused == 10
    assert (len(changed.made), len(same.made)) == (10, 0)


def test_the_same_parameters_are_run_once(tmp_path: Path) -> None:
    problem = Decay(draws=3)
    report = train(problem, settings(tmp_path), silent)
    assert len(problem.made) == 3
    assert sum(report.runs.values()) == 3


@pytest.mark.parametrize("damage", ["truncate", "garbage", "empty"])
def test_a_damaged_run_is_made_again(tmp_path: Path, damage: str) -> None:
    train(Decay(), settings(tmp_path), silent)
    path = sorted((tmp_path / "data").glob("run-*.safetensors"))[0]
    whole = path.read_bytes()
    path.write_bytes({"truncate": whole[:-9], "garbage": b"\xff" * 200, "empty": b""}[damage])
    assert read_run(path) is None
    again = Decay()
    assert train(again, settings(tmp_path), silent).reused == 9
    assert len(again.made) == 1


def test_a_run_comes_back_from_disk_bit_for_bit(tmp_path: Path) -> None:
    problem = Decay()
    budget = Budget(60.0)
    made = generate(problem, settings(tmp_path), budget, silent)
    read = generate(problem, settings(tmp_path), budget, silent)
    for one, other in zip(made, read, strict=True):
        assert (one.reused, other.reused) == (False, True)
        assert one.cost_seconds == other.cost_seconds
        assert np.array_equal(one.trajectory.states, other.trajectory.states)
        assert other.trajectory.kicks is not None
        assert np.array_equal(one.trajectory.starts, other.trajectory.starts)
        assert one.trajectory.parameters["k"] == other.trajectory.parameters["k"]
        assert np.array_equal(one.trajectory.parameters["shape"], other.trajectory.parameters["shape"])


def test_data_keep_to_their_share_of_the_budget_and_reused_runs_are_charged(tmp_path: Path) -> None:
    tight = settings(tmp_path, runs=100, budget_minutes=1.0 / 60.0, data_share=0.5)
    first = Decay(busy=0.05)
    report = train(first, tight, silent)
    assert 3 <= len(first.made) <= 10
    assert 0.05 * len(first.made) <= report.card.cost_data_seconds <= 0.5
    # What lies on disk costs what it cost: an interruption buys no more data.
    second = Decay(busy=0.05)
    again = train(second, tight, silent)
    assert again.card.cost_data_seconds == pytest.approx(report.card.cost_data_seconds, abs=0.07)
    assert len(second.made) <= 1


def test_a_budget_for_less_than_two_runs_is_a_sentence(tmp_path: Path) -> None:
    with pytest.raises(BadInputError, match=r"only 1 training runs fit 0 CPU s, at least 2 are needed.*budget_minutes"):
        train(Decay(busy=0.05), settings(tmp_path, budget_minutes=0.001), silent)


@given(st.integers(3, 60), st.floats(0.05, 0.4), st.floats(0.0, 0.4), st.integers(0, 1000))
def test_splits_are_by_whole_runs(count: int, validation: float, test: float, seed: int) -> None:
    runs = [Trajectory(np.arange(2.0), np.full((2, 1), float(i)), {"k": float(i)}) for i in range(count)]
    try:
        data = split(runs, validation, test, seed)
    except BadInputError:
        assert count <= 4
        return
    parts = [[run.parameters["k"] for run in part] for part in (data.training, data.validation, data.test)]
    assert sorted(k for part in parts for k in part) == [float(i) for i in range(count)]
    assert parts[0]
    assert parts[1]
    assert bool(parts[2]) == (test > 0.0)
    assert split(runs, validation, test, seed) == data


def test_the_key_of_a_run_depends_on_everything_that_the_run_does() -> None:
    key = run_key({"cells": 8}, {"k": 1.0, "q": np.array([1.0, 2.0])})
    assert key == run_key({"cells": 8}, {"q": np.array([1.0, 2.0]), "k": 1.0})
    assert len({key, run_key({"cells": 9}, {"k": 1.0}), run_key({"cells": 8}, {"k": 1.0 + 1e-15})}) == 3
    assert key != run_key({"cells": 8}, {"k": 1.0, "q": np.array([1.0, 2.5])})


def test_an_output_that_cannot_be_written_is_found_before_the_work(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    problem = Decay()
    with pytest.raises(OutputError, match=r"model\.safetensors cannot be written: .*`--output FILE`"):
        train(problem, settings(tmp_path, output=str(tmp_path / "file" / "model.safetensors")), silent)
    assert problem.made == []
    with pytest.raises(OutputError, match=r"folder of training runs .* cannot be made"):
        train(problem, settings(tmp_path, data=str(tmp_path / "file" / "data")), silent)


def test_a_problem_may_train_by_itself(tmp_path: Path) -> None:
    class Alone:
        name = "alone"

        def train(self, settings: TrainingSettings, progress: Callable[[float, str], None]) -> TrainingReport:
            inner = train(Decay(), settings, silent)
            return TrainingReport(inner.path, inner.card, notes={"by": "itself"})

    report = train(Alone(), settings(tmp_path), silent)
    assert json.loads((tmp_path / "model.json").read_text())["notes"] == {"by": "itself"}
    assert "runs         not stated" in report.as_text()


def test_a_problem_that_cannot_be_trained_says_what_it_lacks() -> None:
    with pytest.raises(BadInputError, match="problem 'object' cannot be trained: it offers neither `train` nor"):
        train(object(), TrainingSettings(), silent)


def test_kicks_must_fit_the_run() -> None:
    with pytest.raises(BadInputError, match=r"kicks need the shape \(1, 3\), found \(2, 3\)"):
        Trajectory(np.arange(2.0), np.zeros((2, 3)), kicks=np.zeros((2, 3)))


def leave_rejections(folder: Path, parameters: Mapping[str, Any], *, rank: int = 0, width: int = 4) -> None:
    kept = RejectedProposals(folder / "rejected", rank, 8)
    kept.fit_to(8 * width)
    for step in range(2):
        query = Query(np.full(width, 2.0), 0.1 * step, 0.1, step=step, parameters=parameters)
        kept.earn(1.0)
        kept.add(query, "factor", np.zeros(width), np.full(width, 1.5))
    kept.flush()


class DecayByHand(Decay):
    """Its runs have a scalar parameter alone, as a ledger keeps."""

    def draw_training_run(self, seed: int, index: int) -> Mapping[str, Any]:
        return {"k": super().draw_training_run(seed, index)["k"]}


def test_rejected_proposals_of_a_run_are_trained_on(tmp_path: Path) -> None:
    leave_rejections(tmp_path / "run", {"k": 1.5})
    factors, reports = [], []
    for ledger in ("", str(tmp_path / "run")):
        settings = TrainingSettings(
            output=str(tmp_path / f"m{len(factors)}.safetensors"),
            data=str(tmp_path / "data"),
            runs=5,
            from_ledger=ledger,
        )
        reports.append(train(DecayByHand(), settings, lambda share, text: None))
        factors.append(load_card(reports[-1].path))
    assert reports[0].runs["training"] == reports[1].runs["training"]
    assert reports[1].runs["rejected steps"] == 2
    assert "rejected steps" not in reports[0].runs
    assert factors[0].data_sha256 != factors[1].data_sha256


def test_a_ledger_that_cannot_be_trained_on_is_refused_in_a_sentence(tmp_path: Path) -> None:
    like = DecayByHand().training_run({"k": 1.0})
    with pytest.raises(BadInputError, match=r"found none in .*nowhere"):
        rejected_steps(tmp_path / "nowhere", like)
    leave_rejections(tmp_path / "other", {"q": 1.0})
    with pytest.raises(BadInputError, match="lacks the parameters k, expected 4 values"):
        rejected_steps(tmp_path / "other", like)
    leave_rejections(tmp_path / "wide", {"k": 1.0}, width=7)
    with pytest.raises(BadInputError, match="has 7 values, expected 4 values"):
        rejected_steps(tmp_path / "wide", like)
    leave_rejections(tmp_path / "ranks", {"k": 1.0})
    leave_rejections(tmp_path / "ranks", {"k": 1.0}, rank=1)
    with pytest.raises(BadInputError, match="made on several ranks"):
        rejected_steps(tmp_path / "ranks", like)
    (next((tmp_path / "wide" / "rejected").iterdir())).write_bytes(b"torn")
    with pytest.raises(BadInputError, match="cannot be read"):
        rejected_steps(tmp_path / "wide", like)
