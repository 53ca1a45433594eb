"""The ledger can be read whatever was written into it and however the run ended."""

from __future__ import annotations

import json
import math
import os
from pathlib import Path

import numpy as np
import pytest
from cosolve.core.errors import BadInputError, OutputError
from cosolve.core.governor import Governor
from cosolve.core.ledger import LEDGER_NAME, Ledger, encode, read_ledger
from cosolve.core.loop import Loop
from cosolve.core.prediction import Prediction
from cosolve.core.query import Query
from cosolve.core.rejected import read_rejected
from cosolve.core.session import Session
from cosolve.core.surrogate import Surrogate
from cosolve.core.testing.mean_field import MeanFieldSolver, RatioVerifier
from hypothesis import given
from hypothesis import strategies as st

values = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**53), 2**53) | st.floats() | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
    max_leaves=12,
)


def _plain(value: object) -> object:
    if isinstance(value, float) and not math.isfinite(value):
        return "nan" if math.isnan(value) else ("inf" if value > 0 else "-inf")
    if isinstance(value, list):
        return [_plain(item) for item in value]
    if isinstance(value, dict):
        return {key: _plain(item) for key, item in value.items()}
    return value


@given(st.dictionaries(st.text().filter(lambda name: name != "kind"), values, max_size=5))
def test_a_record_is_one_line_of_strict_json_and_comes_back(record: dict[str, object]) -> None:
    line = encode({"kind": "step", **record})
    assert line.endswith("\n")
    assert "\n" not in line[:-1]

    def refuse(word: str) -> None:
        raise AssertionError(f"{word} is no strict JSON")

    expected = {"kind": "step", **_plain(record)}  # type: ignore[dict-item]  # a record is any JSON  # values are any JSON
    assert json.loads(line, parse_constant=refuse) == expected


def test_numpy_values_and_not_a_number_are_readable(tmp_path: Path) -> None:
    with Ledger(tmp_path) as ledger:
        ledger.write("step", measure=np.float64("nan"), count=np.int64(3), norms=np.array([1.0, np.inf]), far=-math.inf)
    record = read_ledger(tmp_path)[-1]
    assert math.isnan(float(record["measure"]))
    assert record["count"] == 3
    assert [float(norm) for norm in record["norms"]] == [1.0, math.inf]
    assert float(record["far"]) == -math.inf


@given(cut=st.integers(1, 60))
def test_a_last_line_that_was_cut_is_left_out(tmp_path_factory: pytest.TempPathFactory, cut: int) -> None:
    folder = tmp_path_factory.mktemp("cut")
    with Ledger(folder) as ledger:
        for step in range(5):
            ledger.write("step", step=step, text="ä" * 30)
    path = folder / LEDGER_NAME
    content = path.read_bytes()
    path.write_bytes(content[:-cut])
    steps = [record["step"] for record in read_ledger(folder) if record["kind"] == "step"]
    assert steps == [0, 1, 2, 3] if cut > 1 else [0, 1, 2, 3, 4]
    with Ledger(folder, resume=True) as ledger:
        ledger.write("step", step=99)
    assert read_ledger(folder)[-1]["step"] == 99


def test_each_record_is_on_disk_at_once(tmp_path: Path) -> None:
    ledger = Ledger(tmp_path)
    ledger.write("step", step=1)
    assert read_ledger(tmp_path)[-1] == {"kind": "step", "step": 1}
    ledger.close()


def test_a_folder_that_cannot_be_written_is_named(tmp_path: Path) -> None:
    blocker = tmp_path / "file"
    blocker.write_text("no folder")
    with pytest.raises(OutputError, match=f"the output folder {blocker}/run cannot be written: Not a directory; give"):
        Ledger(blocker / "run")


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs Linux's /dev/full")
def test_a_full_disk_is_kept_and_told_later(tmp_path: Path) -> None:
    os.symlink("/dev/full", tmp_path / LEDGER_NAME)
    ledger = Ledger(tmp_path)
    ledger.write("step", step=1)
    assert "cannot be written: No space left on device" in ledger.failure
    ledger.close()


def test_a_changed_line_is_named(tmp_path: Path) -> None:
    (tmp_path / LEDGER_NAME).write_text('{"kind":"step"}\nnonsense\n{"kind":"step"}\n')
    with pytest.raises(BadInputError, match=r"ledger\.jsonl line 2 is no ledger record"):
        read_ledger(tmp_path)


def test_no_ledger_is_named(tmp_path: Path) -> None:
    with pytest.raises(BadInputError, match=r"no ledger can be read at .*; give the output folder of a cosolve run"):
        read_ledger(tmp_path)


def test_rejected_proposals_come_back_as_a_training_set(tmp_path: Path) -> None:
    with Ledger(tmp_path) as ledger:
        ledger.rejected.fit_to(3 * 8)
        ledger.rejected.earn(1.0)
        for step in range(5):
            state = np.full(3, float(step))
            query = Query(state, 0.1 * step, 0.1, step, parameters={"power": 2.0, "field": np.zeros(3)})
            ledger.rejected.add(query, "net", state + 1.0, state + 2.0)
            state[:] = -1.0  # the caller's array may change afterwards
    samples = list(read_rejected(tmp_path / "rejected"))
    assert [sample["step"] for sample, _ in samples] == [0, 1, 2, 3, 4]
    assert samples[3][0] == {
        "step": 3,
        "t": pytest.approx(0.3),
        "dt": 0.1,
        "source": "net",
        "parameters": {"power": 2.0},
    }
    np.testing.assert_array_equal(samples[3][1]["state"], np.full(3, 3.0))
    np.testing.assert_array_equal(samples[3][1]["proposal"], np.full(3, 4.0))
    np.testing.assert_array_equal(samples[3][1]["answer"], np.full(3, 5.0))


@given(count=st.integers(0, 400), limit=st.integers(0, 70), work=st.floats(0.0, 1.0))
def test_rejected_proposals_are_bounded(
    tmp_path_factory: pytest.TempPathFactory, count: int, limit: int, work: float
) -> None:
    folder = tmp_path_factory.mktemp("bounded")
    with Ledger(folder, rejected_limit=limit) as ledger:
        ledger.rejected.fit_to(8)
        for step in range(count):
            ledger.rejected.earn(work)
            ledger.rejected.add(Query(np.zeros(1), step=step), "net", np.ones(1), np.ones(1))
        assert ledger.rejected.seen == (count if limit else 0)
    kept = list(read_rejected(folder / "rejected"))
    assert len(kept) <= -(-limit // 16) * 16
    assert len(kept) >= min(count, limit, 1)


def test_a_new_run_does_not_keep_the_rejections_of_the_old(tmp_path: Path) -> None:
    for source in ("old", "new"):
        with Ledger(tmp_path) as ledger:
            ledger.rejected.fit_to(8)
            ledger.rejected.add(Query(np.zeros(1)), source, np.ones(1), np.ones(1))
    assert [sample["source"] for sample, _ in read_rejected(tmp_path / "rejected")] == ["new"]


def test_what_plugins_note_is_recorded_whatever_it_is(tmp_path: Path) -> None:
    class Noting(Surrogate):
        name = "noting"

        def _predict(self, query: Query) -> Prediction:
            loop: list[object] = []
            loop.append(loop)
            notes = {"copies": 2, "pair": {(1, 2): 3}} if query.step == 0 else {"loop": loop}
            return Prediction(query.state.copy(), notes=notes)

    with Ledger(tmp_path) as ledger:
        session = Session(MeanFieldSolver(), RatioVerifier(), governor=Governor("off"), ledger=ledger)
        for step in range(2):
            session.attempt(Query(session.solver.initial_state(), dt=0.1, step=step), [Noting()])
    first, second = [record for record in read_ledger(tmp_path) if record["kind"] == "step"]
    assert first["proposals"] == {"noting": {"copies": 2, "pair": {"(1, 2)": 3}}}
    assert (second["step"], second["source"]) == (1, "solver")
    assert second["lost"].startswith("RecursionError")


def test_what_is_kept_of_rejections_is_bounded_by_the_size_of_a_state_in_a_loop_too(tmp_path: Path) -> None:
    class Wrong(Surrogate):
        name = "wrong"

        def _predict(self, query: Query) -> Prediction:
            return Prediction(query.state + 1.0)

    with Ledger(tmp_path) as ledger:
        session = Session(MeanFieldSolver(200_000), RatioVerifier(), governor=Governor("off"), ledger=ledger)
        Loop(session, [Wrong()], t_end=0.8, dt=0.1).run().raise_on_failure()
        # Two are free; 0.5 % of the work of eight steps does not pay for 16 ms of writing.
        assert (ledger.rejected.seen, ledger.rejected.count) == (8, 2)
