"""Features in, coefficients out: a linear fit plus an ensemble of small networks on what it leaves."""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np
import numpy.typing as npt
import torch
from cosolve.plugins.pytorch.layers import MLP, Normaliser
from torch import Tensor, nn

Float64 = npt.NDArray[np.float64]
_HALF = math.sqrt(0.5)


class CoefficientNetwork(nn.Module):
    """Standardise, apply a linear map and add the mean of small networks; undo the standardisation of the output.

    Products of some features with each other may be features, too: an evolution with a quadratic nonlinearity is
    linear in them (operator inference, Peherstorfer and Willcox, doi:10.1016/j.cma.2016.03.025).
    The linear map is fitted in closed form, so that the networks start at zero and learn only what is not linear.

    Args:
        n_features: Number of features.
        n_coefficients: Number of coefficients.
        width: Width of the hidden layers.
        depth: Number of hidden layers.
        members: Number of networks.
        quadratic: First feature and number of those whose products are features, too.
    """

    _left: Tensor
    _right: Tensor

    def __init__(
        self,
        n_features: int,
        n_coefficients: int,
        width: int,
        depth: int,
        members: int = 1,
        quadratic: tuple[int, int] = (0, 0),
    ) -> None:
        super().__init__()
        self.n_features, self.quadratic = n_features, quadratic
        pairs = [(i, j) for i in range(quadratic[1]) for j in range(i + 1)]
        # Kept as tensors, though not in model files: a list of indices would be converted in each proposal.
        self.register_buffer("_left", torch.tensor([quadratic[0] + i for i, _ in pairs]), persistent=False)
        self.register_buffer("_right", torch.tensor([quadratic[0] + j for _, j in pairs]), persistent=False)
        n_features += len(pairs)
        self.inputs = Normaliser(n_features)
        self.outputs = Normaliser(n_coefficients)
        self.rest = Normaliser(n_coefficients)
        self.linear = nn.Linear(n_features, n_coefficients, dtype=torch.float64)
        sizes = [n_features, *[width] * depth, n_coefficients]
        self.networks = nn.ModuleList(MLP(sizes) for _ in range(members))
        self.width, self.depth = width, depth
        for network in self.networks:
            last = list(network.modules())[-1]
            assert isinstance(last, nn.Linear)
            nn.init.zeros_(last.weight)
            nn.init.zeros_(last.bias)

    def small(self) -> list[MLP]:
        """Return the small networks."""
        return [network for network in self.networks if isinstance(network, MLP)]

    def forward(self, features: Tensor) -> Tensor:
        """Return the coefficients, shape `(..., n_coefficients)`."""
        return self.members(features).mean(dim=0)

    def members(self, features: Tensor) -> Tensor:
        """Return the coefficients of each network, shape `(members, ..., n_coefficients)`."""
        inputs = self.inputs(self.with_products(features))
        linear = self.linear(inputs)
        return torch.stack(
            [self.outputs.inverse(linear + self.rest.inverse(network(inputs))) for network in self.networks]
        )

    def with_products(self, features: Tensor) -> Tensor:
        """Return the features and the products of the quadratic ones."""
        if not self.quadratic[1]:
            return features
        left, right = features.index_select(-1, self._left), features.index_select(-1, self._right)
        return torch.cat([features, left * right], dim=-1)

    def fit_linear(self, features: Tensor, coefficients: Tensor, ridge: float) -> None:
        """Fit both normalisers, then the linear map by ridge regression.

        Args:
            features: Shape `(n, n_features)`.
            coefficients: Shape `(n, n_coefficients)`.
            ridge: Regularisation relative to the unit variance of the standardised features.
        """
        features = self.with_products(features)
        inputs = self.inputs.fit(features)(features)
        targets = self.outputs.fit(coefficients)(coefficients)
        with torch.no_grad():
            gram = inputs.T @ inputs / len(inputs) + max(ridge, 1e-14) * torch.eye(inputs.shape[1], dtype=inputs.dtype)
            self.linear.weight.copy_(torch.linalg.solve(gram, inputs.T @ targets / len(inputs)).T)
            self.linear.bias.zero_()
            # Networks answer in units of what the linear map leaves, however little that is.
            self.rest.fit(targets - self.linear(inputs))
            self.rest.shift.zero_()

    def to_learn(self, features: Tensor, coefficients: Tensor) -> tuple[Tensor, Tensor]:
        """Return what the small networks see and are to answer: all that is fixed is done once, not in each step."""
        with torch.no_grad():
            inputs = self.inputs(self.with_products(features))
            return inputs, self.rest(self.outputs(coefficients) - self.linear(inputs))

    def slopes_to_learn(self, features: Tensor, coefficients: Tensor) -> tuple[Tensor, Tensor]:
        """Return the same for derivatives of features and coefficients, shapes `(n, k, ...)`; without products."""
        with torch.no_grad():
            moved = features / self.inputs.scale
            linear = moved @ self.linear.weight.T
            return moved, (coefficients / self.outputs.scale - linear) / self.rest.scale

    def frozen(self) -> Callable[[Float64], Float64]:
        """Return `members` of one vector of features as a function in numpy that shares the memory of the weights.

        A proposal of a small network is some ten small products; in torch each costs many times what it computes.
        """
        weights = [
            [(layer.weight.detach().cpu().numpy(), layer.bias.detach().cpu().numpy()) for layer in linear_layers(one)]
            for one in self.networks
        ]
        shift, scale = self.inputs.shift.cpu().numpy(), self.inputs.scale.cpu().numpy()
        matrix, bias = self.linear.weight.detach().cpu().numpy(), self.linear.bias.detach().cpu().numpy()
        centre, size = self.outputs.shift.cpu().numpy(), self.outputs.scale.cpu().numpy()
        rest, offset = self.rest.scale.cpu().numpy(), self.rest.shift.cpu().numpy()
        left, right = self._left.cpu().numpy(), self._right.cpu().numpy()

        def members(features: Float64) -> Float64:
            if len(left):
                features = np.concatenate([features, features[left] * features[right]])
            inputs = (features - shift) / scale
            linear = matrix @ inputs + bias
            answers = []
            for layers in weights:
                hidden = inputs
                for number, (weight, added) in enumerate(layers):
                    hidden = weight @ hidden + added
                    if number < len(layers) - 1:
                        hidden = 0.5 * hidden * (1.0 + torch.erf(torch.from_numpy(hidden * _HALF)).numpy())
                answers.append((linear + hidden * rest + offset) * size + centre)
            return np.array(answers)

        return members


def linear_layers(network: nn.Module) -> list[nn.Linear]:
    """Return the linear layers of an `MLP`, from input to output."""
    return [layer for layer in network.modules() if isinstance(layer, nn.Linear)]
