"""The comparison of operators in small: errors, starts and files; bad files are one sentence."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from cosolve.core.errors import BadInputError
from cosolve.examples.operators.bench import bench, compare, summary
from cosolve.examples.operators.darcy import darcy
from cosolve.examples.operators.folder import read_file, read_folder
from cosolve.examples.operators.measures import h1_errors, l2_errors, start_gain
from cosolve.examples.operators.options import OperatorsOptions
from cosolve.examples.operators.rivals import PodRegression
from cosolve.examples.operators.tasks import Fields
from cosolve.examples.operators.zoo import FAMILIES, zoo


def pairs(count: int, *shape: int, seed: int = 0) -> tuple[Fields, Fields]:
    """Fields of four random amplitudes, and a linear map of them."""
    random = np.random.default_rng(seed)
    axes = [np.arange(n) / n for n in shape]
    grid = np.meshgrid(*axes, indexing="ij")
    basis = np.stack([np.sin((1 + k) * sum(grid)) + k * grid[0] ** 2 for k in range(4)])
    amplitudes = random.standard_normal((count, 4))
    x = np.tensordot(amplitudes, basis, axes=1)[:, None].astype(np.float32)
    return x, np.concatenate([3.0 * x, x.cumsum(axis=2)], axis=1).astype(np.float32)


def test_all_contestants_are_measured_by_errors_and_by_the_solver() -> None:
    for task in (darcy(16, 40, 8, 3), zoo(32, 48, 8, 3)):
        assert task.equations is not None
        cases = compare(task, ["fno"], 3000, 0.5, 0, lambda share, text: None)
        assert [case["method"] for case in cases] == ["POD + ridge", "POD + Gaussian process", "fno"]
        for case in cases:
            assert 0.0 < case["l2"] < 1.5
            assert case["h1"] >= 0.5 * case["l2"]
            assert case["residual"] > 0.0
            assert case["iterations_own"] > 0
            assert case["ms_per_field"] > 0.0
        table = summary(cases)[task.name]
        assert table["best_network"] == "fno"
        assert set(table["l2"]) == {case["method"] for case in cases}
        # The answers themselves are perfect starts: the coupling takes them and saves nearly all iterations.
        gain = start_gain(task.equations, task.x_test, task.y_test)
        assert gain.won >= 0.75
        assert gain.saved > 0.3
        # Nonsense loses every tournament and costs no iteration.
        gain = start_gain(task.equations, task.x_test, task.y_test + 50.0)
        assert gain.won == 0.0
        assert gain.saved == 0.0
        task.equations.close()


def test_the_zoo_holds_each_family_and_its_steps_are_solved() -> None:
    task = zoo(32, 8, 4, 1)
    assert task.groups == FAMILIES
    assert task.equations is not None
    task.equations.choose(task.x_test[2])
    from cosolve.core.query import Query

    start = task.equations.start()
    assert task.equations.solver.measure(Query(start), task.y_test[2, 0].astype(np.float64)).ratio < 1e6
    assert task.equations.solver.measure(Query(start), start).ratio > 1e6


def test_errors_against_hand_made_ones() -> None:
    true = np.ones((1, 1, 4, 4), dtype=np.float32)
    true[..., 2:] = 3.0
    assert l2_errors(true * 1.1, true)[0] == pytest.approx(0.1, rel=1e-5)
    assert h1_errors(true + 7.0, true)[0] == 0.0
    assert h1_errors(2.0 * true, true)[0] == pytest.approx(1.0)


@pytest.mark.parametrize("kind", ["ridge", "gp"])
def test_pod_learns_a_linear_map_exactly(kind: str) -> None:
    x, y = pairs(60, 12, 9)
    regression = PodRegression(kind)
    assert regression.fit(x[:50], y[:50]) < 1e-3
    assert l2_errors(regression.predict(x[50:]), y[50:]).max() < 1e-3
    assert regression.size > 0


def test_data_from_elsewhere_of_any_size(tmp_path: Path) -> None:
    for name, shape in (("plane", (11, 8)), ("line", (21,))):
        x, y = pairs(40, *shape)
        np.savez(tmp_path / f"{name}.npz", x_train=x[:32], y_train=y[:32], x_test=x[32:], y_test=y[32:])
    options = OperatorsOptions(data=tmp_path, budget=0.5, parameters=2000, systems="fno,unet,mgno")
    report = bench(quick=True, seed=0, options=options)
    assert list(report.metrics) == ["line", "plane"]
    assert report.arguments == ("--data", tmp_path.name, "--budget=0.5")
    methods = [case["method"] for case in report.cases if case["task"] == "line"]
    assert methods == ["POD + ridge", "POD + Gaussian process", "fno", "unet"], "mgno knows planes only"
    assert all(np.isfinite(case["l2"]) for case in report.cases)
    with pytest.raises(BadInputError, match="did you mean 'unet'"):
        bench(quick=True, seed=0, options=OperatorsOptions(systems="unett"))


def spoilt(change: str) -> dict[str, Any]:
    x, y = pairs(20, 8, 8)
    arrays: dict[str, Any] = {"x_train": x[:12], "y_train": y[:12], "x_test": x[12:], "y_test": y[12:]}
    if change == "nan":
        arrays["y_train"] = y[:12].copy()
        arrays["y_train"][[3, 7], 0, 1, 1] = np.nan
    elif change == "missing":
        arrays["x_tets"] = arrays.pop("x_test")
    elif change == "complex":
        arrays["x_train"] = x[:12] + 1j
    elif change == "pairs":
        arrays["y_train"] = y[:11]
    elif change == "grid":
        arrays["y_test"] = y[12:, :, ::2]
    elif change == "channels":
        arrays["y_test"] = y[12:, :1]
    elif change == "few":
        arrays["x_train"], arrays["y_train"] = x[:5], y[:5]
    elif change == "objects":
        arrays["x_train"] = np.array([{"a": 1}], dtype=object)
    elif change == "flat":
        arrays["x_train"] = x[:12, 0, 0]
    elif change == "last":
        arrays = {key: np.moveaxis(value, 1, -1) for key, value in arrays.items()}
    elif change == "huge":
        arrays["x_test"] = x[12:].astype(np.float64) * 1e200
    return arrays


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        ("nan", "y_train is NaN or infinite in sample 3 and 1 more"),
        ("missing", "expected the arrays x_train, .* found .*x_tets.*; x_test is missing"),
        ("complex", "x_train: expected real numbers, found complex"),
        ("pairs", "x_train has 12 samples and y_train 11"),
        ("grid", "x_test lives on a grid of 8 x 8 and y_test on 4 x 8"),
        ("channels", "y_train has 2 channels on 2 axes, y_test 1 on 2"),
        ("few", "5 training samples are too few"),
        ("objects", "expected a .npz file of plain arrays"),
        ("flat", r"expected shape \(sample, channel, n"),
        ("last", "are the channels the second axis"),
        ("huge", "beyond single precision"),
    ],
)
def test_bad_files_are_named_in_a_sentence(tmp_path: Path, change: str, sentence: str) -> None:
    file = tmp_path / "bad.npz"
    arrays = spoilt(change)
    np.savez(file, **arrays)
    with pytest.raises(BadInputError, match=rf"bad\.npz: .*{sentence}"):
        read_file(file)


def test_folders_without_data_are_refused(tmp_path: Path) -> None:
    with pytest.raises(BadInputError, match="found none there"):
        read_folder(tmp_path / "nowhere")
    with pytest.raises(BadInputError, match=r"expected .npz files with x_train"):
        read_folder(tmp_path)
    (tmp_path / "torn.npz").write_bytes(b"PK\x03\x04 torn")
    with pytest.raises(BadInputError, match=r"torn\.npz: expected a .npz file of plain arrays"):
        read_folder(tmp_path)
