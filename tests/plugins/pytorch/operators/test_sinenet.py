"""SineNet commutes with translations of a periodic grid when, and only when, it pads periodically."""

from __future__ import annotations

import torch
from cosolve.plugins.pytorch.operators.sinenet import SineNet


def difference_after_shift(boundary: str, shift: int) -> float:
    torch.manual_seed(0)
    net = SineNet(2, 1, 8, waves=2, levels=3, boundary=boundary, dtype=torch.float64)  # type: ignore[arg-type]  # a text
    values = torch.randn(1, 2, 32, 32, dtype=torch.float64)
    with torch.no_grad():
        moved_after = net(values).roll((shift, 2 * shift), (2, 3))
        moved_before = net(values.roll((shift, 2 * shift), (2, 3)))
    return float((moved_after - moved_before).abs().max() / moved_after.abs().max())


def test_it_commutes_with_translations_on_a_periodic_grid() -> None:
    assert difference_after_shift("circular", 8) <= 1e-12
    assert difference_after_shift("zeros", 8) > 1e-3
    assert difference_after_shift("circular", 3) > 1e-6
