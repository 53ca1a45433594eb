"""MultiONet and MT-DeepONet: points in any order, derivatives by the point, zero outside the mask."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from cosolve.core.errors import BadInputError
from cosolve.core.query import Query
from cosolve.plugins.pytorch.features import FeatureMap
from cosolve.plugins.pytorch.operators.mt_deeponet import MultiTaskDeepONet
from cosolve.plugins.pytorch.operators.multionet import MultiONet, MultiONetSurrogate
from cosolve.plugins.pytorch.operators.pod_deeponet import PODDeepONet
from cosolve.testing import StoredSurrogateContract

F64 = torch.float64
LINE = np.linspace(0.0, 1.0, 33)[:, None]


class TestMultiONetContract(StoredSurrogateContract):
    differentiable = True
    finite_difference_rtol = 1e-6

    def make(self) -> MultiONetSurrogate:
        torch.manual_seed(0)
        net = MultiONet(6, 1, 8, 3, 2, F64)
        surrogate = MultiONetSurrogate(net, LINE[::8], FeatureMap((("rate", 1),), time=False))
        surrogate.place(LINE)
        return surrogate

    def query(self) -> Query:
        return Query(np.sin(3.0 * LINE[:, 0]), dt=0.1, parameters={"rate": 0.5})

    def test_file_round_trip_gives_the_same_answer(self) -> None:
        surrogate, query = self.make(), self.query()
        again = MultiONetSurrogate.from_file(surrogate.tensors(), surrogate.settings())
        again.place(LINE)
        assert np.array_equal(again.predict(query).value, surrogate.predict(query).value)


def test_answers_of_a_pod_deeponet_keep_what_all_training_outputs_have_in_common() -> None:
    generator = torch.Generator().manual_seed(0)
    s = torch.linspace(0.0, 1.0, 40, dtype=F64)
    amplitudes = torch.randn(30, 5, generator=generator, dtype=F64)
    outputs = 2.0 + amplitudes @ torch.stack([torch.sin(torch.pi * (k + 1) * s) for k in range(5)])
    values = torch.randn(30, 7, generator=generator, dtype=F64)
    torch.manual_seed(0)
    net = PODDeepONet.of(values, outputs, terms=5, width=8, depth=1)
    with torch.no_grad():
        answers = net(100.0 * values)
    assert float((answers[:, [0, -1]] - 2.0).abs().max()) < 1e-11, "boundary values of the training outputs"
    assert torch.allclose(net.best(outputs), outputs, atol=1e-10)
    assert torch.allclose(net.best(answers), answers, atol=1e-8), "answers lie in the span"
    with pytest.raises(BadInputError, match="6 terms needs as many independent outputs, found 5"):
        PODDeepONet.of(values, outputs, terms=6)
    with pytest.raises(BadInputError, match=r"expected|needs modes of shape"):
        PODDeepONet(7, net.mean[:3], net.modes, net.sizes)


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
