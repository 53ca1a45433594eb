"""Lion: steps of one size, a two-step calculation by hand, one state a parameter, complex parameters by parts."""

from __future__ import annotations

import pytest
import torch
from cosolve.plugins.pytorch.lion import Lion


def test_the_first_step_moves_every_parameter_by_the_learning_rate() -> None:
    parameter = torch.nn.Parameter(torch.randn(50, dtype=torch.float64))
    before = parameter.detach().clone()
    (parameter**3).sum().backward()
    Lion([parameter], lr=0.01).step()
    assert torch.allclose((parameter - before).abs(), torch.full((50,), 0.01, dtype=torch.float64), atol=1e-15)


def test_two_steps_by_hand() -> None:
    parameter = torch.nn.Parameter(torch.tensor([1.0, -2.0], dtype=torch.float64))
    optimiser = Lion([parameter], lr=0.1, betas=(0.9, 0.5), weight_decay=0.2)
    parameter.grad = torch.tensor([4.0, -1.0], dtype=torch.float64)
    optimiser.step()
    # Decay by 1 - 0.1 * 0.2, then the sign of 0.1 g; the momentum becomes 0.5 g.
    assert parameter.tolist() == pytest.approx([0.98 - 0.1, -1.96 + 0.1], abs=1e-15)
    parameter.grad = torch.tensor([-10.0, 0.0], dtype=torch.float64)
    optimiser.step()
    # 0.9 * 2 - 0.1 * 10 = 0.8 > 0 and 0.9 * (-0.5) < 0: the momentum still leads.
    assert parameter.tolist() == pytest.approx([0.88 * 0.98 - 0.1, -1.86 * 0.98 + 0.1], abs=1e-15)
    assert optimiser.state[parameter]["momentum"].tolist() == pytest.approx([-4.0, -0.25])


def test_one_state_for_each_parameter() -> None:
    network = torch.nn.Linear(7, 5)
    network(torch.randn(3, 7)).sum().backward()
    optimiser = Lion(network.parameters())
    optimiser.step()
    kept = sum(v.numel() for state in optimiser.state.values() for v in state.values())
    assert kept == sum(parameter.numel() for parameter in network.parameters())


def test_complex_parameters_move_by_parts() -> None:
    parameter = torch.nn.Parameter(torch.zeros(3, dtype=torch.complex128))
    parameter.grad = torch.tensor([1 + 2j, -3 + 0j, -1 - 1j], dtype=torch.complex128)
    Lion([parameter], lr=0.5).step()
    assert parameter.tolist() == [-0.5 - 0.5j, 0.5 + 0j, 0.5 + 0.5j]


@pytest.mark.parametrize("options", [{"lr": 0.0}, {"lr": -1.0}, {"betas": (0.9, 1.0)}, {"weight_decay": -0.1}])
def test_numbers_without_a_meaning_are_refused(options: dict[str, object]) -> None:
    with pytest.raises(ValueError, match="of Lion must"):
        Lion([torch.nn.Parameter(torch.zeros(1))], **options)  # type: ignore[arg-type]  # wrong values are the test
