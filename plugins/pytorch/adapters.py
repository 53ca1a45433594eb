"""Low-rank adapters: a trained network learns a new task in few parameters, and loses nothing of the old ones.

LoRA: Hu et al., arXiv:2106.09685. Hydra: Kim et al., arXiv:2309.06922, which adds a second, sequential branch on the
output of the frozen layer. Written from the equations. Both start as the network they adapt, exactly, and merge into
plain layers.
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable

import torch
from torch import Tensor, nn


class Adapter(nn.Module):
    """A frozen linear layer with low-rank branches.

    Args:
        base: The layer; its parameters are frozen in place.
        rank: Rank of each branch, positive.
        scale: Factor of the branches.
    """

    def __init__(self, base: nn.Linear, rank: int, scale: float) -> None:
        super().__init__()
        if rank < 1:
            raise ValueError(f"an adapter needs a positive rank, found {rank}")
        self.base, self.rank, self.scale = base, rank, scale
        for parameter in base.parameters():
            parameter.requires_grad_(False)

    @abstractmethod
    def merged(self) -> nn.Linear:
        """Return one plain layer that computes the same."""

    def _branch(self, n_in: int) -> tuple[nn.Parameter, nn.Parameter]:
        like = self.base.weight
        into = torch.randn(self.rank, n_in, dtype=like.dtype, device=like.device) / self.rank**0.5
        out = torch.zeros(self.base.out_features, self.rank, dtype=like.dtype, device=like.device)
        return nn.Parameter(into), nn.Parameter(out)

    def _plain(self, weight: Tensor, bias: Tensor | None) -> nn.Linear:
        layer = nn.Linear(
            self.base.in_features,
            self.base.out_features,
            bias=bias is not None,
            dtype=weight.dtype,
            device=weight.device,
        )
        with torch.no_grad():
            layer.weight.copy_(weight)
            if bias is not None:
                layer.bias.copy_(bias)
        return layer


class LoRA(Adapter):
    """`W0 x + b0 + s B A x` with `B = 0` at the start."""

    def __init__(self, base: nn.Linear, rank: int = 8, scale: float = 1.0) -> None:
        super().__init__(base, rank, scale)
        self.a, self.b = self._branch(base.in_features)

    def forward(self, values: Tensor) -> Tensor:
        """Return `(..., n_out)` from `(..., n_in)`."""
        result: Tensor = self.base(values) + self.scale * (values @ self.a.T) @ self.b.T
        return result

    def merged(self) -> nn.Linear:
        """Return the layer with `W = W0 + s B A`."""
        return self._plain(self.base.weight + self.scale * self.b @ self.a, self.base.bias)


class Hydra(Adapter):
    """`h + s Bp Ap x + s Bs As h` with `h = W0 x + b0`, and `Bp = Bs = 0` at the start."""

    def __init__(self, base: nn.Linear, rank: int = 8, scale: float = 1.0) -> None:
        super().__init__(base, rank, scale)
        self.a_parallel, self.b_parallel = self._branch(base.in_features)
        self.a_sequential, self.b_sequential = self._branch(base.out_features)

    def forward(self, values: Tensor) -> Tensor:
        """Return `(..., n_out)` from `(..., n_in)`."""
        frozen: Tensor = self.base(values)
        parallel = (values @ self.a_parallel.T) @ self.b_parallel.T
        sequential = (frozen @ self.a_sequential.T) @ self.b_sequential.T
        return frozen + self.scale * (parallel + sequential)

    def merged(self) -> nn.Linear:
        """Return the layer with `W = W0 + s (Bp Ap + Bs As W0)` and `b = b0 + s Bs As b0`."""
        sequential = self.b_sequential @ self.a_sequential
        weight = self.base.weight + self.scale * (self.b_parallel @ self.a_parallel + sequential @ self.base.weight)
        bias = None if self.base.bias is None else self.base.bias + self.scale * sequential @ self.base.bias
        return self._plain(weight, bias)


class Adapted(nn.Module):
    """A network whose linear layers carry adapters.

    Args:
        network: The trained network; all its parameters are frozen in place.
        make: Makes the adapter of a layer, `LoRA` or `Hydra` with their rank.
        chosen: Which layers, by their name and the layer; all of them by default.

    Raises:
        ValueError: The network has no linear layer that is chosen.
    """

    def __init__(
        self,
        network: nn.Module,
        make: Callable[[nn.Linear], Adapter],
        chosen: Callable[[str, nn.Linear], bool] = lambda name, layer: True,
    ) -> None:
        super().__init__()
        for parameter in network.parameters():
            parameter.requires_grad_(False)
        layers = [(name, m) for name, m in network.named_modules() if isinstance(m, nn.Linear) and chosen(name, m)]
        if not layers:
            raise ValueError(f"{type(network).__name__} has no linear layer to adapt")
        for name, layer in layers:
            _replace(network, name, make(layer))
        self.network = network

    def forward(self, *values: Tensor) -> Tensor:
        """Return what the network returns."""
        result: Tensor = self.network(*values)
        return result

    def trainable(self) -> list[nn.Parameter]:
        """Return the adapters' parameters."""
        return [parameter for parameter in self.parameters() if parameter.requires_grad]

    def merge(self) -> nn.Module:
        """Put plain layers in the place of the adapters, in place, and return the network."""
        for name, adapter in [(n, m) for n, m in self.network.named_modules() if isinstance(m, Adapter)]:
            _replace(self.network, name, adapter.merged())
        return self.network


def _replace(network: nn.Module, name: str, layer: nn.Module) -> None:
    parent_name, _, attribute = name.rpartition(".")
    setattr(network.get_submodule(parent_name), attribute, layer)
