"""A user's own module: few lines, no hidden copies, right derivatives, batches that do not matter."""

from __future__ import annotations

import inspect
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from cosolve.core.errors import BadInputError, PluginError
from cosolve.core.query import Query
from cosolve.core.surrogate import Surrogate
from cosolve.plugins.pytorch import TorchSurrogate
from cosolve.plugins.pytorch.module_surrogate import from_options
from cosolve.testing import SurrogateContract
from torch import nn


class TrainedNet(nn.Module):
    """Stands for a network that a user trained elsewhere: its input is the state and one parameter."""

    def __init__(self, size: int = 12, dtype: torch.dtype = torch.float64) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.layers = nn.Sequential(nn.Linear(size + 1, 20, dtype=dtype), nn.Tanh(), nn.Linear(20, size, dtype=dtype))

    def forward(self, values: torch.Tensor) -> torch.Tensor:
        result: torch.Tensor = self.layers(values)
        return result


def users_lines(weights: Path) -> Surrogate:
    from cosolve.plugins.pytorch import TorchSurrogate, load_weights

    def encode(state, query):  # type: ignore[no-untyped-def]  # as a user writes it
        return torch.cat([state, torch.tensor([query.parameters["k"]])])[None]

    return TorchSurrogate(load_weights(TrainedNet(), weights), encode, residual=True)


def query(dtype: str = "float64") -> Query:
    return Query(np.linspace(-1.0, 1.0, 12, dtype=dtype), t=0.0, dt=0.1, parameters={"k": 0.7})


def with_parameter(state: torch.Tensor, asked: Query) -> torch.Tensor:
    return torch.cat([state, torch.as_tensor([asked.parameters["k"]], dtype=state.dtype)])[None]


def test_a_users_module_takes_at_most_ten_lines(tmp_path: Path) -> None:
    torch.save(TrainedNet().state_dict(), tmp_path / "net.pt")
    surrogate = users_lines(tmp_path / "net.pt")
    expected = TrainedNet()(torch.cat([torch.from_numpy(query().state), torch.tensor([0.7])])[None])
    assert np.array_equal(surrogate.predict(query()).value, query().state + expected.detach().numpy()[0])
    lines = [line for line in inspect.getsource(users_lines).splitlines()[1:] if line.strip()]
    assert len(lines) <= 10


class TestContract(SurrogateContract):
    differentiable = True
    finite_difference_rtol = 1e-6

    def make(self) -> Surrogate:
        return TorchSurrogate(TrainedNet(), with_parameter, residual=True)

    def query(self) -> Query:
        return query()


class TestIdentityContract(SurrogateContract):
    """A module that hands its input back must not hand the solver's own state out."""

    def make(self) -> Surrogate:
        return TorchSurrogate(nn.Identity())

    def query(self) -> Query:
        return query()


def test_a_float32_module_answers_for_float64_states_and_its_copies_are_counted() -> None:
    single = TorchSurrogate(TrainedNet(dtype=torch.float32), with_parameter, residual=True).predict(query())
    double = TorchSurrogate(TrainedNet(), with_parameter, residual=True).predict(query())
    assert single.value.dtype == np.float64
    assert single.notes == {"copies": 2, "copied_bytes": 12 * 4 + 12 * 8}
    assert double.notes == {}
    assert np.max(np.abs(single.value - query().state)) > 0.0


def test_the_change_is_added_in_the_precision_of_the_state() -> None:
    """What a float32 network leaves alone keeps all its digits."""

    class Nothing(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.factor = nn.Parameter(torch.zeros(1))

        def forward(self, values: torch.Tensor) -> torch.Tensor:
            return self.factor * values

    state = np.full(3, 1.0 + 1e-12)
    assert np.array_equal(TorchSurrogate(Nothing(), residual=True).predict(Query(state)).value, state)


def test_dropout_is_off_and_the_answer_does_not_depend_on_the_batch() -> None:
    module = nn.Sequential(nn.Linear(12, 12, dtype=torch.float64), nn.Dropout(0.5)).train()
    surrogate = TorchSurrogate(module)
    first = surrogate.predict(query()).value
    assert np.array_equal(first, surrogate.predict(query()).value)
    batch = torch.stack([torch.from_numpy(query().state) * factor for factor in (1.0, 2.0, 3.0)])
    with torch.inference_mode():
        assert np.allclose(module(batch)[0].numpy(), first, rtol=1e-14, atol=1e-14)


def test_several_arguments_and_a_grid() -> None:
    class Two(nn.Module):
        def forward(self, field: torch.Tensor, factor: torch.Tensor) -> torch.Tensor:
            return field.flip(-1) * factor

    surrogate = TorchSurrogate(
        Two(),
        lambda state, asked: (state.reshape(1, 3, 4), torch.tensor(asked.parameters["k"])),
        lambda output, asked: output[0].flatten(),
    )
    assert np.allclose(surrogate.predict(query()).value, 0.7 * query().state.reshape(3, 4)[:, ::-1].ravel())


def test_what_is_no_module_is_refused() -> None:
    not_a_module: Any = {"weights": 1}
    with pytest.raises(BadInputError, match=r"needs a torch\.nn\.Module, found dict"):
        TorchSurrogate(not_a_module)


def test_a_case_names_a_module_in_a_file(tmp_path: Path) -> None:
    code = "import torch\nclass Net(torch.nn.Linear):\n    def encode(self, state, query): return 2 * state[None]\n"
    (tmp_path / "mynet_of_a_case.py").write_text(code)
    torch.manual_seed(1)
    linear = nn.Linear(12, 12, dtype=torch.float64)
    torch.save(linear.state_dict(), tmp_path / "weights.pt")
    surrogate = from_options(
        f"{tmp_path}/mynet_of_a_case.py:Net",
        {"in_features": 12, "out_features": 12, "dtype": torch.float64},
        str(tmp_path / "weights.pt"),
    )
    expected = linear(2 * torch.from_numpy(query().state)).detach().numpy()
    assert np.allclose(surrogate.predict(query()).value, expected, rtol=1e-14)
    assert surrogate.name == "Net"


def test_a_case_that_names_nothing_useful_gets_a_sentence(tmp_path: Path) -> None:
    (tmp_path / "broken_net_of_a_case.py").write_text("raise RuntimeError('half written')\n")
    with pytest.raises(BadInputError, match=r"has no 'Lineer'"):
        from_options("torch.nn:Lineer")
    with pytest.raises(BadInputError, match=r"cannot be built from arguments"):
        from_options("torch.nn:Linear", {"features": 3})
    with pytest.raises(BadInputError, match=r"does not exist"):
        from_options(f"{tmp_path}/absent.py:Net")
    with pytest.raises(BadInputError, match=r"no_such_package.* cannot be imported"):
        from_options("no_such_package:Net")
    with pytest.raises(PluginError, match=r"raised while it was imported: RuntimeError: half written"):
        from_options(f"{tmp_path}/broken_net_of_a_case.py:Net")
    with pytest.raises(BadInputError, match=r"is Tensor, expected a torch\.nn\.Module"):
        from_options("torch:zeros", {"size": (2,)})


def test_derivatives_of_a_float32_module_are_its_own() -> None:
    surrogate = TorchSurrogate(TrainedNet(dtype=torch.float32), with_parameter)
    double = TrainedNet()
    double.load_state_dict({name: t.double() for name, t in surrogate.module.state_dict().items()})
    tangent = np.cos(np.arange(12.0))
    exact = TorchSurrogate(double, with_parameter).jvp(query(), tangent)
    assert np.allclose(surrogate.jvp(query(), tangent), exact, atol=1e-6)
    moved = replace(query(), parameters={"k": 0.1})
    assert not np.allclose(surrogate.jvp(moved, tangent), exact, atol=1e-4)
