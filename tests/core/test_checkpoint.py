"""A checkpoint is complete or not there, and one that is truncated, forged or somebody else's is refused."""

from __future__ import annotations

import hashlib
import json
import os
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from cosolve.core.checkpoint import CHECKPOINT_FOLDER, Checkpoint, write_checkpoint
from cosolve.core.checkpoint_reading import read_checkpoint
from cosolve.core.communicator import SerialCommunicator
from cosolve.core.errors import BadInputError, OutputError
from cosolve.core.loop import Loop
from cosolve.core.query import Snapshot
from cosolve.core.result import Result
from cosolve.core.session import Session
from cosolve.core.testing.mean_field import MeanFieldSolver


def _loop(folder: Path, **settings: Any) -> Loop:
    return Loop(Session(MeanFieldSolver(), None, mode="off"), directory=folder, **({"dt": 0.1} | settings))


def _resume(folder: Path, **settings: Any) -> Result:
    return _loop(folder, **settings).run(resume=True)


def _checkpoint(folder: Path) -> Path:
    state = np.arange(5.0)
    checkpoint = Checkpoint(7, 0.1 + 0.2, state, (Snapshot(0.1, state + 1),), {"solver/a": np.ones(2)}, {"x": 1})
    return write_checkpoint(folder, SerialCommunicator(), checkpoint)


def test_a_checkpoint_comes_back_exactly(tmp_path: Path) -> None:
    _checkpoint(tmp_path)
    back = read_checkpoint(tmp_path, SerialCommunicator())
    assert (back.step, back.t, back.notes) == (7, 0.1 + 0.2, {"x": 1})
    np.testing.assert_array_equal(back.state, np.arange(5.0))
    np.testing.assert_array_equal(back.history[0].state, np.arange(5.0) + 1)
    np.testing.assert_array_equal(back.arrays["solver/a"], np.ones(2))


def test_no_checkpoint_is_named(tmp_path: Path) -> None:
    with pytest.raises(BadInputError, match=r"there is no checkpoint in .*; start the run without resuming"):
        read_checkpoint(tmp_path, SerialCommunicator())


def test_an_unfinished_checkpoint_does_not_count(tmp_path: Path) -> None:
    folder = _checkpoint(tmp_path)
    os.rename(folder, folder.with_name("step-00000009.partial"))
    with pytest.raises(BadInputError, match="there is no checkpoint"):
        read_checkpoint(tmp_path, SerialCommunicator())


@pytest.mark.parametrize("cut", [1, 100])
def test_a_truncated_checkpoint_is_refused(tmp_path: Path, cut: int) -> None:
    path = _checkpoint(tmp_path) / "rank-0000.npz"
    path.write_bytes(path.read_bytes()[:-cut])
    with pytest.raises(BadInputError, match=r"rank-0000\.npz is truncated or was changed"):
        read_checkpoint(tmp_path, SerialCommunicator())


def _forge(folder: Path, arrays: dict[str, Any], **index: Any) -> None:
    """Replace the arrays and put their true digest into the index, as somebody hostile would."""
    np.savez(folder / "rank-0000.npz", **arrays)
    path = folder / "checkpoint.json"
    content = json.loads(path.read_text()) | index
    content["digests"] = [hashlib.sha256((folder / "rank-0000.npz").read_bytes()).hexdigest()]
    path.write_text(json.dumps(content))


def test_a_checkpoint_with_pickled_objects_is_refused(tmp_path: Path) -> None:
    class Bomb:
        def __reduce__(self) -> tuple[Any, ...]:
            return (os.system, (f"touch {tmp_path}/exploded",))

    _forge(_checkpoint(tmp_path), {"state": np.array([Bomb()], dtype=object)})
    with pytest.raises(BadInputError, match="is no checkpoint"):
        read_checkpoint(tmp_path, SerialCommunicator())
    assert not (tmp_path / "exploded").exists()


def test_an_array_that_claims_to_be_huge_is_refused_before_memory_is_taken(tmp_path: Path) -> None:
    folder = _checkpoint(tmp_path)
    _forge(folder, {"state": np.arange(5.0), "history/0": np.arange(5.0)})
    path = folder / "rank-0000.npz"
    content = path.read_bytes()
    assert content.count(b"(5,), }        ") == 2
    path.write_bytes(content.replace(b"(5,), }        ", b"(500000000000,)"[:15]))
    index = json.loads((folder / "checkpoint.json").read_text())
    index["digests"] = [hashlib.sha256(path.read_bytes()).hexdigest()]
    (folder / "checkpoint.json").write_text(json.dumps(index))
    with pytest.raises(BadInputError, match="is no checkpoint"):
        read_checkpoint(tmp_path, SerialCommunicator())


def test_a_state_of_another_size_is_refused(tmp_path: Path) -> None:
    _forge(_checkpoint(tmp_path), {"state": np.arange(4.0), "history/0": np.arange(5.0)})
    with pytest.raises(BadInputError, match=r"the state must have shape \(5,\), got \(4,\)"):
        read_checkpoint(tmp_path, SerialCommunicator())


@pytest.mark.parametrize(
    ("index", "sentence"),
    [
        ({"owned": [5, 5]}, "is no index of a checkpoint .*2 ranks with 1 digests"),
        ({"owned": [5, 5], "digests": ["", ""]}, "was written by 2 ranks, this run has 1, .*; start 2 ranks"),
        ({"version": 99}, "has version 99, this cosolve reads 2"),
        ({"arrays": {"solver/a": "everywhere"}}, "an array is neither spread, same nor own"),
        ({"arrays": {"solver/b": "same"}}, "'solver/b' is not there"),
        ({"cells": [0.0]}, "a cell of the lattice has no length"),
        ({"cells": [1.0]}, r"the keys must have shape \(5, 1\)"),
        ({"owned": "nonsense"}, "is no index of a checkpoint"),
        ({"t": float("nan")}, "is no index of a checkpoint .*step 7 at t = nan"),
        ({"step": -1}, "is no index of a checkpoint .*step -1"),
    ],
)
def test_a_strange_index_is_refused(tmp_path: Path, index: dict[str, Any], sentence: str) -> None:
    folder = _checkpoint(tmp_path)
    path = folder / "checkpoint.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | index))
    with pytest.raises(BadInputError, match=sentence):
        read_checkpoint(tmp_path, SerialCommunicator())


def test_a_checkpoint_of_another_problem_is_refused(tmp_path: Path) -> None:
    _checkpoint(tmp_path)
    with pytest.raises(BadInputError, match="this rank owns 40 values of float64, the checkpoint has 5 of float64"):
        _resume(tmp_path)


def test_a_folder_that_cannot_be_written_is_named(tmp_path: Path) -> None:
    (tmp_path / CHECKPOINT_FOLDER).write_text("in the way")
    with pytest.raises(OutputError, match=r"writing the checkpoint .* failed: Not a directory"):
        _checkpoint(tmp_path)


@pytest.mark.parametrize("bad", [np.full(5, np.nan), np.arange(5.0, dtype=np.float32), np.arange(4.0)])
def test_states_that_are_not_alike_or_not_finite_are_refused(tmp_path: Path, bad: Any) -> None:
    _forge(_checkpoint(tmp_path), {"state": np.arange(5.0), "history/0": bad})
    with pytest.raises(BadInputError, match="the state and those before it must be finite and alike"):
        read_checkpoint(tmp_path, SerialCommunicator())


@pytest.mark.parametrize(
    "notes",
    [{"governor": {"net": 3}}, {"governor": {"net": {"references": ["x"]}}}, {"tournament": {"next": {"a": "x"}}}],
)
def test_a_memory_that_is_none_is_refused(tmp_path: Path, notes: dict[str, Any]) -> None:
    write_checkpoint(tmp_path, SerialCommunicator(), Checkpoint(3, 0.3, MeanFieldSolver().initial_state(), notes=notes))
    with pytest.raises(BadInputError, match=r"resuming from the checkpoint in .* failed"):
        _resume(tmp_path)


def test_a_new_run_in_an_old_folder_leaves_its_own_checkpoints_alone(tmp_path: Path) -> None:
    _loop(tmp_path, t_end=2.0, checkpoint_every=10).run()
    _loop(tmp_path, t_end=0.5, checkpoint_every=2).run()
    assert read_checkpoint(tmp_path, SerialCommunicator()).step == 5
    assert _resume(tmp_path, t_end=0.8).stats["steps"] == 3


def test_a_checkpoint_of_the_same_step_is_replaced(tmp_path: Path) -> None:
    first = _checkpoint(tmp_path)
    before = (first / "checkpoint.json").stat().st_ino
    assert _checkpoint(tmp_path) == first
    assert [path.name for path in first.parent.iterdir()] == [first.name]
    assert (first / "checkpoint.json").stat().st_ino != before


def test_a_run_resumed_with_another_step_goes_on_from_its_time(tmp_path: Path) -> None:
    _loop(tmp_path, t_end=0.5, checkpoint_every=5).run()
    times: list[float] = []
    result = _resume(tmp_path, dt=0.04, t_end=0.7, on_step=lambda state: times.append(state.t))
    assert result.t == pytest.approx(0.7)
    assert np.all(np.diff([0.5, *times]) > 0.0)
    assert np.diff([0.5, *times]).max() == pytest.approx(0.04)
