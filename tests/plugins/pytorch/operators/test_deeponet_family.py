"""MultiONet and MT-DeepONet: points in any order, derivatives by the point, zero outside the mask."""

from __future__ import annotations

import pytest
import torch
from cosolve.plugins.pytorch.operators.mt_deeponet import MultiTaskDeepONet
from cosolve.plugins.pytorch.operators.multionet import MultiONet

F64 = torch.float64


@pytest.mark.parametrize("activation", ["gelu", "tanh", "silu", "tanh-sin"])
def test_points_do_not_see_each_other_and_have_derivatives(activation: str) -> None:
    torch.manual_seed(0)
    net = MultiONet(9, 2, 16, 4, 3, F64, activation)
    values, points = torch.randn(3, 9, dtype=F64), torch.rand(30, 2, dtype=F64)
    order = torch.randperm(30)
    together = net(values, points)
    assert torch.allclose(net(values, points[order]), together[:, order], rtol=0, atol=1e-14)
    alone = torch.cat([net(values, point[None]) for point in points], dim=1)
    assert torch.allclose(alone, together, rtol=0, atol=1e-13)
    tangent, h = torch.randn_like(points), 1e-6
    moved = torch.func.jvp(lambda at: net(values, at), (points,), (tangent,))[1]
    difference = (net(values, points + h * tangent) - net(values, points - h * tangent)) / (2 * h)
    assert float((moved - difference).detach().norm()) <= 1e-7 * float(moved.detach().norm())


def test_one_product_of_unit_weight_is_a_deeponet() -> None:
    torch.manual_seed(0)
    net = MultiONet(5, 1, 8, 3, 1, F64)
    values, points = torch.randn(2, 5, dtype=F64), torch.rand(4, 1, dtype=F64)
    branch, trunk = values, points
    for k in range(3):
        branch, trunk = net.branch[k](branch), net.trunk[k](trunk)
        if k < 2:
            branch, trunk = torch.nn.functional.gelu(branch), torch.nn.functional.gelu(trunk)
    assert torch.allclose(net(values, points), branch @ trunk.T / 8**0.5, atol=1e-14)
    with pytest.raises(ValueError, match="joins 1 to 3 of them, found 4"):
        MultiONet(5, 1, 8, 3, 4)


def test_answers_are_zero_outside_the_mask_and_see_nothing_there() -> None:
    torch.manual_seed(0)
    net = MultiTaskDeepONet(1, (16, 16), (4, 8), 16, 16, F64)
    axis = torch.arange(16, dtype=F64) / 15
    points = torch.stack(torch.meshgrid(axis, axis, indexing="ij"), dim=-1).reshape(-1, 2)
    mask = ((points - 0.5).norm(dim=1) < 0.4).to(F64)
    field = torch.randn(2, 1, 16, 16, dtype=F64)
    masks = mask.reshape(1, 16, 16).expand(2, -1, -1)
    out = net(field, masks, points, mask[None])
    assert torch.equal(out[:, mask == 0], torch.zeros_like(out[:, mask == 0]))
    assert float(out[:, mask == 1].abs().min()) > 0.0
    changed = torch.where(masks[:, None] == 1, field, field + 100.0)
    assert torch.allclose(net(changed, masks, points, mask[None]), out, atol=1e-13)
    assert len(net.dense_layers()) == 6
