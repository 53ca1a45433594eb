"""Threads of a rank, and devices: one for each rank of a node."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from cosolve.core.errors import BadInputError
from cosolve.core.query import Query
from cosolve.plugins.pytorch import DeepONet, FourierNeuralOperator, TorchSurrogate
from cosolve.plugins.pytorch.deeponet_surrogate import DeepONetSurrogate
from cosolve.plugins.pytorch.features import FeatureMap
from cosolve.plugins.pytorch.operators.fno import FNOSurrogate
from cosolve.plugins.pytorch.placement import limit_threads, local_rank, place

LAUNCHERS = ("OMPI_COMM_WORLD_LOCAL_RANK", "MPI_LOCALRANKID", "SLURM_LOCALID")


def test_a_rank_uses_one_thread_unless_told_otherwise(monkeypatch: pytest.MonkeyPatch) -> None:
    before = torch.get_num_threads()
    monkeypatch.delenv("OMP_NUM_THREADS", raising=False)
    monkeypatch.delenv("COSOLVE_TORCH_THREADS", raising=False)
    try:
        assert (limit_threads(), torch.get_num_threads()) == (1, 1)
        monkeypatch.setenv("OMP_NUM_THREADS", "2,1")
        assert (limit_threads(), torch.get_num_threads()) == (2, 2)
        monkeypatch.setenv("COSOLVE_TORCH_THREADS", "1")
        assert limit_threads() == 1
        monkeypatch.setenv("COSOLVE_TORCH_THREADS", "many")
        with pytest.raises(BadInputError, match="COSOLVE_TORCH_THREADS='many': expected a positive number"):
            limit_threads()
    finally:
        torch.set_num_threads(before)


@pytest.mark.parametrize("launcher", LAUNCHERS)
def test_the_device_is_that_of_the_rank_on_its_node(launcher: str, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in LAUNCHERS:
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 4)
    assert place("cuda") == torch.device("cuda", 0)
    monkeypatch.setenv(launcher, "6")
    assert local_rank() == 6
    assert place("auto") == torch.device("cuda", 2)
    assert place("cpu") == torch.device("cpu")


def test_a_device_that_is_not_there_is_a_sentence(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    assert place("auto") == torch.device("cpu")
    with pytest.raises(BadInputError, match=r"torch sees no CUDA device .*Use device 'cpu' or 'auto'"):
        TorchSurrogate(torch.nn.Identity(), device="cuda")
    with pytest.raises(BadInputError, match=r"unknown device 'tpu'\. Known: auto, cpu, cuda\."):
        place("tpu")


def test_models_from_files_take_the_device_of_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    features = FeatureMap((), time=False)
    grid = FNOSurrogate.build(features, np.zeros(1), np.ones(1), modes=[3], width=4, layers=1)
    sensors = DeepONetSurrogate(DeepONet(2, 1, width=4, depth=1, terms=2), np.array([[0.0], [1.0]]), features)
    for stored in (grid, sensors):
        again = type(stored).from_file(stored.tensors(), stored.settings())
        assert again.device == torch.device("cpu")
    monkeypatch.setenv("COSOLVE_TORCH_DEVICE", "cuda")
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    for stored in (grid, sensors):
        with pytest.raises(BadInputError, match="torch sees no CUDA device"):
            type(stored).from_file(stored.tensors(), stored.settings())


needs_cuda = pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device")


@pytest.mark.gpu
@needs_cuda
@pytest.mark.parametrize(("dtype", "tolerance"), [(torch.float32, 1e-5), (torch.float64, 1e-12)])
def test_cuda_gives_the_answer_and_derivatives_of_the_cpu(dtype: torch.dtype, tolerance: float) -> None:
    def surrogate(device: str) -> TorchSurrogate:
        torch.manual_seed(0)
        module = FourierNeuralOperator(1, 1, (5, 5), width=8, layers=3, dtype=dtype)
        return TorchSurrogate(module, lambda state, query: state.reshape(1, 1, 16, 16), residual=True, device=device)

    rng = np.random.default_rng(0)
    query, tangent = Query(rng.standard_normal(256)), rng.standard_normal(256)
    on_cpu, on_cuda = surrogate("cpu"), surrogate("cuda")
    expected = on_cpu.predict(query).value
    found = on_cuda.predict(query)
    assert next(on_cuda.module.parameters()).device.type == "cuda"
    # There and back: one copy each, and one more for each change of precision on the way back.
    assert found.notes["copies"] >= 2
    assert found.value.dtype == np.float64
    assert np.max(np.abs(found.value - expected)) <= tolerance * np.max(np.abs(expected))
    forward = on_cpu.jvp(query, tangent)
    assert np.max(np.abs(on_cuda.jvp(query, tangent) - forward)) <= tolerance * np.max(np.abs(forward))
    backward = on_cpu.vjp(query, tangent)
    assert np.max(np.abs(on_cuda.vjp(query, tangent) - backward)) <= tolerance * np.max(np.abs(backward))


@pytest.mark.gpu
@needs_cuda
@pytest.mark.parametrize("kind", ["fno", "deeponet"])
def test_stored_models_answer_alike_on_cuda(kind: str, monkeypatch: pytest.MonkeyPatch) -> None:
    torch.manual_seed(0)
    features, points = FeatureMap((), time=False), np.linspace(0.0, 1.0, 9)[:, None]
    made: FNOSurrogate | DeepONetSurrogate
    if kind == "fno":
        sizes: dict[str, Any] = {"modes": [4], "width": 6, "layers": 2}
        made = FNOSurrogate.build(features, points[0], points[-1], dtype=torch.float64, **sizes)
    else:
        made = DeepONetSurrogate(DeepONet(9, 1, width=8, depth=1, terms=4), points, features)
    made.place(points)
    query, tangent = Query(np.sin(3.0 * points[:, 0])), np.cos(points[:, 0])
    monkeypatch.setenv("COSOLVE_TORCH_DEVICE", "cuda")
    on_cuda = type(made).from_file(made.tensors(), made.settings())
    on_cuda.place(points)
    assert on_cuda.device.type == "cuda"
    assert np.allclose(on_cuda.predict(query).value, made.predict(query).value, rtol=1e-10, atol=1e-12)
    assert np.allclose(on_cuda.jvp(query, tangent), made.jvp(query, tangent), rtol=1e-10, atol=1e-12)
    assert np.allclose(on_cuda.vjp(query, tangent), made.vjp(query, tangent), rtol=1e-10, atol=1e-12)
    for name, tensor in made.tensors().items():
        assert np.array_equal(on_cuda.tensors()[name], tensor), name


@pytest.mark.gpu
@needs_cuda
def test_ranks_of_a_node_share_its_devices_evenly(monkeypatch: pytest.MonkeyPatch) -> None:
    count = torch.cuda.device_count()
    for rank in range(2 * count):
        monkeypatch.setenv("OMPI_COMM_WORLD_LOCAL_RANK", str(rank))
        assert place("cuda").index == rank % count
