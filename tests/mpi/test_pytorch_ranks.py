"""Surrogates of the PyTorch plugin answer and differentiate alike on any number of ranks, an empty one included."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

torch = pytest.importorskip("torch")

from cosolve.core.communicator import Communicator, SerialCommunicator  # noqa: E402
from cosolve.core.consensus import FaultAwareCommunicator  # noqa: E402
from cosolve.core.ledger import Ledger, read_ledger  # noqa: E402
from cosolve.core.query import Query, Snapshot  # noqa: E402
from cosolve.core.session import Session  # noqa: E402
from cosolve.core.testing.mean_field import MeanFieldSolver  # noqa: E402
from cosolve.plugins.pytorch.basis import basis_on  # noqa: E402
from cosolve.plugins.pytorch.basis_surrogate import BasisSurrogate  # noqa: E402
from cosolve.plugins.pytorch.coefficient_network import CoefficientNetwork  # noqa: E402
from cosolve.plugins.pytorch.deeponet import DeepONet  # noqa: E402
from cosolve.plugins.pytorch.deeponet_surrogate import DeepONetSurrogate  # noqa: E402
from cosolve.plugins.pytorch.features import FeatureMap  # noqa: E402
from cosolve.plugins.pytorch.module_surrogate import TorchSurrogate  # noqa: E402
from cosolve.plugins.pytorch.operators.fno import FNOSurrogate  # noqa: E402

pytestmark = pytest.mark.mpi

N = 24
POINTS = np.stack(np.meshgrid(np.linspace(0, 1, 6), np.linspace(0, 1, 4), indexing="ij"), -1).reshape(-1, 2)


def basis_surrogate(base: str) -> BasisSurrogate:
    torch.manual_seed(0)
    features = FeatureMap((("rate", 1),), state_modes=3, history_modes=2)
    network = CoefficientNetwork(features.size, 4, 8, 2, quadratic=(2, 2))
    with torch.no_grad():
        for parameter in network.parameters():
            parameter.add_(0.1 * torch.randn(parameter.shape))
    functions = np.random.default_rng(0).standard_normal((8, N))
    return BasisSurrogate(basis_on(POINTS, functions), network, features, base=base)


def deeponet() -> DeepONetSurrogate:
    torch.manual_seed(0)
    model = DeepONet(6, 2, width=8, depth=1, terms=4)
    return DeepONetSurrogate(model, POINTS[::5], FeatureMap((("rate", 1),), time=False))


def fno() -> FNOSurrogate:
    torch.manual_seed(0)
    features = FeatureMap((("rate", 1),), time=False)
    low, high = POINTS.min(axis=0), POINTS.max(axis=0)
    return FNOSurrogate.build(features, low, high, modes=[3, 2], width=4, layers=2, dtype=torch.float64)


MAKERS: dict[str, Callable[[], BasisSurrogate | DeepONetSurrogate | FNOSurrogate]] = {
    "pod projected": lambda: basis_surrogate("projected"),
    "pod linear": lambda: basis_surrogate("linear"),
    "deeponet": deeponet,
    "fno": fno,
}


@pytest.mark.parametrize("kind", MAKERS)
@pytest.mark.parametrize("aware", [False, True], ids=["plain communicator", "fault-aware communicator"])
def test_ranks_do_not_matter(kind: str, aware: bool, comm: Communicator) -> None:
    rank, size = comm.Get_rank(), comm.Get_size()
    # The last of several ranks owns nothing; the others hold values in no particular order.
    owners = np.random.default_rng(1).integers(0, max(size - 1, 1), N)
    mine = np.flatnonzero(owners == rank)
    rng = np.random.default_rng(2)
    state, before, tangent, cotangent = rng.standard_normal((4, N))
    query = Query(state, t=0.3, dt=0.1, parameters={"rate": 0.7}, history=(Snapshot(0.2, before),))
    local = replace(query, state=state[mine], history=(Snapshot(0.2, before[mine]),))

    whole = MAKERS[kind]()
    whole.place(POINTS, SerialCommunicator())
    split = MAKERS[kind]()
    split.place(POINTS[mine], FaultAwareCommunicator(comm) if aware else comm)
    pairs = [
        (split.predict(local).value, whole.predict(query).value),
        (split.jvp(local, tangent[mine]), whole.jvp(query, tangent)),
        (split.vjp(local, cotangent[mine]), whole.vjp(query, cotangent)),
    ]
    for found, expected in pairs:
        assert found.shape == mine.shape
        assert np.allclose(found, expected[mine], rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("kind", MAKERS)
def test_stored_surrogates_take_the_leaders_answer(
    kind: str, comm: Communicator, monkeypatch: pytest.MonkeyPatch
) -> None:
    mine = np.array_split(np.arange(N), comm.Get_size())[comm.Get_rank()]
    state, before = np.random.default_rng(2).standard_normal((2, N))
    history = (Snapshot(0.2, before[mine]),)
    query = Query(state[mine], t=0.3, dt=0.1, parameters={"rate": 0.7}, history=history)
    found = {}
    for inference in ("per_rank", "node_leader"):
        monkeypatch.setenv("COSOLVE_TORCH_INFERENCE", inference)
        surrogate = MAKERS[kind]()
        surrogate.place(POINTS[mine], comm)
        alone = inference == "node_leader" and comm.Get_rank() > 0
        if alone:  # a network that nobody asks here cannot be heard
            for module in vars(surrogate).values():
                if isinstance(module, torch.nn.Module):
                    module.forward = None  # type: ignore[assignment]  # whoever calls it fails
        assert surrogate.placement()["inference"] == inference
        found[inference] = surrogate.predict(query).value
        surrogate.close()
    np.testing.assert_array_equal(found["node_leader"], found["per_rank"])


def test_the_leader_of_a_node_answers_as_each_rank_would(comm: Communicator, shared_path: Path) -> None:
    mine = np.array_split(np.arange(N), comm.Get_size())[comm.Get_rank()]
    query = Query(np.random.default_rng(4).standard_normal(N)[mine], t=0.3, dt=0.1)
    found = {}
    for inference in ("per_rank", "node_leader"):
        torch.manual_seed(1)
        # A module of the values of one rank, whatever their number.
        module = torch.nn.Sequential(torch.nn.Unflatten(1, (1, -1)), torch.nn.Conv1d(1, 1, 3, padding=1).double())
        surrogate = TorchSurrogate(module, residual=True, inference=inference)
        solver = MeanFieldSolver(N, comm)
        folder = shared_path / inference
        with Ledger(folder, comm) as ledger, Session(solver, None, mode="off", ledger=ledger) as session:
            session.bind([surrogate])
            found[inference] = surrogate.predict(query).value
        comm.Barrier()
        (placed,) = [record for record in read_ledger(folder) if record["kind"] == "placement"]
        assert (placed["inference"], placed["threads"], placed["device"]) == (inference, 1, "cpu")
        surrogate.close()
        solver.close()
    np.testing.assert_array_equal(found["node_leader"], found["per_rank"])
