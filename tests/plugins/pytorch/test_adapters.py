"""LoRA and Hydra: the base network exactly at the start, the same answers after merging, few parameters."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from cosolve.plugins.pytorch.adapters import Adapted, Adapter, Hydra, LoRA
from cosolve.plugins.pytorch.layers import MLP
from torch import nn

KINDS: list[tuple[Callable[[nn.Linear], Adapter], int]] = [
    (lambda layer: LoRA(layer, rank=2, scale=0.7), 2 * (40 + 40)),
    (lambda layer: Hydra(layer, rank=2, scale=0.7), 2 * (40 + 40) + 2 * (40 + 40)),
]


@pytest.mark.parametrize(("make", "count"), KINDS)
@pytest.mark.parametrize(("dtype", "tolerance"), [(torch.float32, 1e-6), (torch.float64, 1e-14)])
def test_base_at_the_start_and_the_same_after_merging(
    make: Callable[[nn.Linear], Adapter], count: int, dtype: torch.dtype, tolerance: float
) -> None:
    torch.manual_seed(0)
    network = MLP([6, 40, 40, 3], dtype)
    values = torch.randn(11, 6, dtype=dtype)
    base = network(values).detach()
    adapted = Adapted(network, make, lambda name, layer: layer.in_features == layer.out_features == 40)
    assert torch.equal(adapted(values), base)
    assert sum(parameter.numel() for parameter in adapted.trainable()) == count
    target = torch.randn(11, 3, dtype=dtype)
    optimiser = torch.optim.Adam(adapted.trainable(), 1e-2)
    frozen = [p.detach().clone() for p in adapted.parameters() if not p.requires_grad]
    losses = []
    for _ in range(30):
        optimiser.zero_grad()
        loss = ((adapted(values) - target) ** 2).mean()
        loss.backward()
        optimiser.step()
        losses.append(float(loss.detach()))
    assert losses[-1] < 0.9 * losses[0]
    assert all(
        torch.equal(a, b) for a, b in zip(frozen, [p for p in adapted.parameters() if not p.requires_grad], strict=True)
    )
    trained = adapted(values).detach()
    merged = adapted.merge()
    assert not any(isinstance(module, Adapter) for module in merged.modules())
    assert float((merged(values) - trained).abs().max()) <= tolerance * float(trained.abs().max())


def test_a_network_without_linear_layers_is_refused() -> None:
    with pytest.raises(ValueError, match="Tanh has no linear layer to adapt"):
        Adapted(nn.Tanh(), LoRA)
    with pytest.raises(ValueError, match="positive rank, found 0"):
        LoRA(nn.Linear(2, 2), rank=0)
