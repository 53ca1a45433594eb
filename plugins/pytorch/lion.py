"""Lion, an optimiser that moves every parameter by the sign of a momentum.

Chen et al., Symbolic discovery of optimization algorithms, arXiv:2302.06675. Written from the equations

    c = b1 m + (1 - b1) g,   theta <- theta - lr (sign(c) + wd theta),   m <- b2 m + (1 - b2) g.

The learning rate is 3 to 10 times smaller than AdamW's, the weight decay larger by the same factor.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

import torch
from torch import Tensor
from torch.optim import Optimizer


class Lion(Optimizer):
    """One state a parameter, half of what AdamW keeps. Complex parameters: real and imaginary part by themselves.

    Args:
        params: Parameters, or groups of them.
        lr: Step of every parameter, positive.
        betas: Weights of the momentum in the step, and in its own update; each in [0, 1).
        weight_decay: Decoupled weight decay, not negative.

    Raises:
        ValueError: A number has no meaning; names it.
    """

    def __init__(
        self,
        params: Iterable[Any],
        lr: float = 1e-4,
        betas: tuple[float, float] = (0.9, 0.99),
        weight_decay: float = 0.0,
    ) -> None:
        if not lr > 0.0:
            raise ValueError(f"the learning rate of Lion must be positive, found {lr!r}")
        if not all(0.0 <= beta < 1.0 for beta in betas):
            raise ValueError(f"the betas of Lion must lie in [0, 1), found {betas!r}")
        if weight_decay < 0.0:
            raise ValueError(f"the weight decay of Lion must not be negative, found {weight_decay!r}")
        super().__init__(params, {"lr": lr, "betas": betas, "weight_decay": weight_decay})

    @torch.no_grad()
    def step(self, closure: Callable[[], Any] | None = None) -> Any:
        """Move all parameters once; return what `closure` returned."""
        loss = None
        if closure is not None:
            with torch.enable_grad():
                loss = closure()
        for group in self.param_groups:
            for parameter in group["params"]:
                if parameter.grad is not None:
                    state = self.state[parameter]
                    if "momentum" not in state:
                        state["momentum"] = torch.zeros_like(parameter)
                    _move(parameter, parameter.grad, state["momentum"], group)
        return loss


def _move(parameter: Tensor, gradient: Tensor, momentum: Tensor, group: dict[str, Any]) -> None:
    if parameter.is_complex():
        # The sign of a complex number is no direction along its parts.
        parameter, gradient, momentum = (torch.view_as_real(x) for x in (parameter, gradient, momentum))
    first, second = group["betas"]
    direction = torch.lerp(gradient, momentum, first).sign_()
    parameter.mul_(1.0 - group["lr"] * group["weight_decay"]).add_(direction, alpha=-group["lr"])
    momentum.lerp_(gradient, 1.0 - second)
