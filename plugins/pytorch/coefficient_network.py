"""Features in, coefficients out: a linear fit plus an ensemble of small networks on what it leaves."""

from __future__ import annotations

import torch
from cosolve.plugins.pytorch.layers import MLP, Normaliser
from torch import Tensor, nn


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
        activation: See `MLP`.
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
        activation: str = "gelu",
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
        self.networks = nn.ModuleList(MLP(sizes, activation=activation) for _ in range(members))
        self.width, self.depth = width, depth
        for network in self.networks:
            last = list(network.modules())[-1]
            assert isinstance(last, nn.Linear)
            nn.init.zeros_(last.weight)
            nn.init.zeros_(last.bias)

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
