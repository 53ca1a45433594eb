"""What every network on a grid must keep: precisions, batches, derivatives, vmap, files, and its claimed resolution."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
import torch
from cosolve.core.query import Query
from cosolve.plugins.pytorch.features import FeatureMap
from cosolve.plugins.pytorch.grid_surrogate import GridSurrogate
from cosolve.plugins.pytorch.operators.fno import FNOSurrogate, FourierNeuralOperator
from cosolve.plugins.pytorch.operators.grid_operator import GridOperator
from cosolve.plugins.pytorch.operators.local_operator import LocalOperator, LocalOperatorSurrogate
from cosolve.plugins.pytorch.operators.mgno import MgNO, MgNOSurrogate
from cosolve.plugins.pytorch.operators.sinenet import SineNet, SineNetSurrogate
from cosolve.plugins.pytorch.operators.unet import UNet, UNetSurrogate
from torch import Tensor

Maker = Callable[[torch.dtype], GridOperator]

MAKERS: dict[str, Maker] = {
    "fno": lambda dtype: FourierNeuralOperator(2, 1, [5, 5], 6, 2, dtype=dtype),
    "local operator": lambda dtype: LocalOperator(2, 1, [5, 5], 6, 2, base=16, dtype=dtype),
    "u-net by the rules": lambda dtype: UNet(2, 1, 2, 6, 2, base=16, boundary="circular", dtype=dtype),
    "u-net": lambda dtype: UNet(2, 1, 2, 6, 2, dtype=dtype),
    "mgno": lambda dtype: MgNO(2, 1, 6, 2, 3, dtype=dtype),
    "mgno with transfers": lambda dtype: MgNO(2, 1, 6, 2, 3, boundary="circular", base=16, dtype=dtype),
    "sinenet": lambda dtype: SineNet(2, 1, 6, 2, 2, dtype=dtype),
}
CONVERGES = ("fno", "local operator", "u-net by the rules", "mgno with transfers")


def make(name: str, dtype: torch.dtype = torch.float64) -> GridOperator:
    torch.manual_seed(0)
    return MAKERS[name](dtype).eval()


def smooth(n: int, dtype: torch.dtype = torch.float64) -> Tensor:
    s = 2.0 * torch.pi * torch.arange(n, dtype=torch.float64) / n
    x, y = torch.meshgrid(s, s, indexing="ij")
    first = torch.sin(x) * torch.cos(2 * y) + 0.5 * torch.cos(3 * x + y)
    return torch.stack([first, torch.cos(x - y)])[None].to(dtype)


def noise(n: int = 16, dtype: torch.dtype = torch.float64) -> Tensor:
    return torch.randn(3, 2, n, n, dtype=dtype, generator=torch.Generator().manual_seed(1))


@pytest.mark.parametrize("name", MAKERS)
def test_derivatives_against_finite_differences(name: str) -> None:
    net, values = make(name), noise()
    tangent, cotangent = torch.randn_like(values), torch.randn_like(values[:, :1])
    out, forward = torch.func.jvp(net, (values,), (tangent,))
    h = 1e-5
    difference = (net(values + h * tangent) - net(values - h * tangent)) / (2 * h)
    assert float((difference - forward).detach().norm()) <= 1e-6 * float(forward.detach().norm())
    backward = torch.func.vjp(net, values)[1](cotangent)[0]
    assert float((cotangent * forward).detach().sum()) == pytest.approx(
        float((backward * tangent).detach().sum()), rel=1e-9, abs=1e-11
    )
    assert out.shape == (3, 1, 16, 16)


@pytest.mark.parametrize("name", MAKERS)
@pytest.mark.parametrize(("dtype", "tolerance"), [(torch.float32, 2e-5), (torch.float64, 1e-12)])
def test_vmap_and_batches_do_not_matter(name: str, dtype: torch.dtype, tolerance: float) -> None:
    net, values = make(name, dtype), noise(dtype=dtype)
    with torch.no_grad():
        together = net(values)
        alone = torch.cat([net(one[None]) for one in values])
        mapped = torch.vmap(lambda one: net(one[None])[0])(values)
    assert together.dtype == dtype
    scale = float(together.abs().max())
    assert float((alone - together).abs().max()) <= tolerance * scale
    assert float((mapped - together).abs().max()) <= tolerance * scale


def drift(net: GridOperator, base: int = 16) -> list[float]:
    """How far the answers on n and 2n points are apart, for n = base, 2 base, 4 base."""
    found = []
    with torch.no_grad():
        for n in (base, 2 * base, 4 * base):
            coarse, fine = net(smooth(n)), net(smooth(2 * n))[..., ::2, ::2]
            found.append(float((fine - coarse).norm() / coarse.norm()))
    return found


@pytest.mark.parametrize("name", CONVERGES)
def test_operators_converge_as_the_grid_is_refined(name: str) -> None:
    first, second, third = drift(make(name))
    assert second <= 0.6 * first + 1e-12
    assert third <= 0.6 * second + 1e-12
    assert type(make(name)).resolution_invariant or name == "mgno with transfers"


@pytest.mark.parametrize("name", ["u-net", "mgno"])
def test_networks_whose_kernels_live_in_points_do_not_converge(name: str) -> None:
    first, _, third = drift(make(name))
    assert third > 0.25 * first
    assert third > 0.01


SURROGATES: list[tuple[type[GridSurrogate], dict[str, object]]] = [
    (FNOSurrogate, {"modes": [3, 3], "width": 4, "layers": 1}),
    (LocalOperatorSurrogate, {"modes": [3, 3], "width": 4, "layers": 2, "base": 8}),
    (UNetSurrogate, {"width": 4, "levels": 1, "base": 8}),
    (MgNOSurrogate, {"width": 4, "layers": 2, "levels": 2}),
    (SineNetSurrogate, {"width": 4, "waves": 2, "levels": 1}),
]


@pytest.mark.parametrize(("kind", "settings"), SURROGATES)
def test_surrogates_come_back_from_their_tensors(kind: type[GridSurrogate], settings: dict[str, object]) -> None:
    torch.manual_seed(0)
    axis = np.arange(8) / 8.0
    points = np.stack(np.meshgrid(axis, axis, indexing="ij"), axis=-1).reshape(-1, 2)
    features = FeatureMap((("rate", 1),), time=False)
    made = kind.build(features, np.zeros(2), np.full(2, 0.875), dtype=torch.float64, **settings)
    again = kind.from_file(made.tensors(), made.settings())
    query = Query(np.sin(5 * points[:, 0]) + points[:, 1] ** 2, dt=0.1, parameters={"rate": 0.3})
    answers = []
    for surrogate in (made, again):
        surrogate.place(points)
        answers.append(surrogate.predict(query).value)
    assert np.array_equal(answers[0], answers[1])
    assert answers[0].shape == (64,)
