"""Weight files: plain tensors come in, code does not."""

from __future__ import annotations

import pickle
from pathlib import Path
from typing import Any

import pytest
import torch
from cosolve.core.errors import BadInputError, ModelMismatchError
from cosolve.plugins.pytorch import load_weights
from safetensors.torch import save_file
from torch import nn


def network(width: int = 3) -> nn.Module:
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(2, width), nn.Tanh(), nn.Linear(width, 1))


class Hostile:
    """Touches a file when it is unpickled."""

    def __init__(self, marker: Path) -> None:
        self.marker = marker

    def __reduce__(self) -> Any:
        return (Path.touch, (self.marker,))


@pytest.mark.parametrize("suffix", [".pt", ".pth", ".safetensors"])
@pytest.mark.parametrize("wrapped", [False, True])
def test_weights_come_back_bit_for_bit(tmp_path: Path, suffix: str, wrapped: bool) -> None:
    trained, path = network(), tmp_path / f"weights{suffix}"
    if suffix == ".safetensors":
        save_file(trained.state_dict(), path)
    else:
        torch.save({"state_dict": trained.state_dict(), "epoch": 3} if wrapped else trained.state_dict(), path)
    fresh = network()
    for parameter in fresh.parameters():
        nn.init.zeros_(parameter)
    loaded = load_weights(fresh, path)
    assert not loaded.training
    assert all(torch.equal(a, b) for a, b in zip(loaded.parameters(), trained.parameters(), strict=True))


@pytest.mark.parametrize("writer", ["pickle", "torch"])
def test_a_hostile_pickle_is_refused_and_does_not_run(tmp_path: Path, writer: str) -> None:
    path, marker = tmp_path / "hostile.pt", tmp_path / "it-ran"
    if writer == "pickle":
        path.write_bytes(pickle.dumps({"0.weight": Hostile(marker)}, protocol=2))
    else:
        torch.save({"0.weight": Hostile(marker)}, path)
    with pytest.raises(BadInputError, match=r"hostile\.pt was refused: .*run code.*state_dict"):
        load_weights(network(), path)
    assert not marker.exists()


def test_a_whole_pickled_module_is_refused_with_the_way_out(tmp_path: Path) -> None:
    path = tmp_path / "module.pt"
    torch.save(network(), path)
    with pytest.raises(BadInputError, match=r"torch\.save\(module\.state_dict\(\), path\)"):
        load_weights(network(), path)


@pytest.mark.parametrize("suffix", [".pt", ".safetensors"])
@pytest.mark.parametrize("keep", [0, 7, 100, -5])
def test_a_truncated_file_is_named(tmp_path: Path, suffix: str, keep: int) -> None:
    path = tmp_path / f"short{suffix}"
    if suffix == ".pt":
        torch.save(network().state_dict(), path)
    else:
        save_file(network().state_dict(), path)
    path.write_bytes(path.read_bytes()[:keep])
    with pytest.raises(BadInputError, match=f"short{suffix}"):
        load_weights(network(), path)


def test_weights_of_another_module_are_named(tmp_path: Path) -> None:
    path = tmp_path / "weights.pt"
    torch.save(network(3).state_dict(), path)
    with pytest.raises(ModelMismatchError, match=r"'0\.weight' has shape \(3, 2\), expected \(4, 2\)"):
        load_weights(network(4), path)
    with pytest.raises(ModelMismatchError, match=r"'bias' is missing \(2 missing, 4 unknown\)"):
        load_weights(nn.Linear(2, 3), path)


def test_nan_missing_and_other_files_are_refused(tmp_path: Path) -> None:
    state = network().state_dict()
    state["0.bias"] = torch.full_like(state["0.bias"], torch.nan)
    torch.save(state, tmp_path / "nan.pt")
    torch.save([1, 2], tmp_path / "list.pt")
    (tmp_path / "weights.h5").write_bytes(b"x")
    with pytest.raises(BadInputError, match=r"'0\.bias' holds NaN"):
        load_weights(network(), tmp_path / "nan.pt")
    with pytest.raises(BadInputError, match="holds list, expected the named tensors"):
        load_weights(network(), tmp_path / "list.pt")
    with pytest.raises(BadInputError, match=r"found '\.h5'"):
        load_weights(network(), tmp_path / "weights.h5")
    with pytest.raises(BadInputError, match="does not exist"):
        load_weights(network(), tmp_path / "absent.pt")
