"""POD-DeepONet: the trunk is the mean and the POD modes of the training outputs, the branch gives their coefficients.

Lu et al., A comprehensive and fair comparison of two neural operators, Comput. Methods Appl. Mech. Engrg. 393 (2022)
114778, doi:10.1016/j.cma.2022.114778. Written from the equation

    G(v) = phi_0 + sum_k b_k(v) phi_k.

Every answer lies in the span of the training outputs: what is linear and holds for all of them (boundary values, zero
divergence) holds for the answer, too.
"""

from __future__ import annotations

import torch
from cosolve.core.errors import BadInputError
from cosolve.plugins.pytorch.layers import MLP, Normaliser
from torch import Tensor, nn


class PODDeepONet(nn.Module):
    """A branch network whose outputs weigh fixed modes.

    Args:
        sensors: Number of values in.
        mean: Mean of the training outputs, shape `(n,)`.
        modes: Orthonormal modes, shape `(terms, n)`.
        sizes: Standard deviation of the training coefficients, shape `(terms,)`: the unit of the network's outputs.
        width: Width of the hidden layers of the branch.
        depth: Number of hidden layers.

    Raises:
        BadInputError: Shapes do not fit.
    """

    mean: Tensor
    modes: Tensor
    sizes: Tensor

    def __init__(
        self, sensors: int, mean: Tensor, modes: Tensor, sizes: Tensor, width: int = 64, depth: int = 3
    ) -> None:
        super().__init__()
        if modes.ndim != 2 or mean.shape != modes.shape[1:] or sizes.shape != modes.shape[:1]:
            raise BadInputError(
                f"a POD-DeepONet needs modes of shape (terms, n), their mean (n,) and sizes (terms,), found "
                f"{tuple(modes.shape)}, {tuple(mean.shape)} and {tuple(sizes.shape)}"
            )
        dtype = modes.dtype
        self.inputs = Normaliser(sensors, dtype=dtype)
        self.register_buffer("mean", mean)
        self.register_buffer("modes", modes)
        self.register_buffer("sizes", sizes)
        self.branch = MLP([sensors, *[width] * depth, len(modes)], dtype)

    @classmethod
    def of(cls, values: Tensor, outputs: Tensor, terms: int, width: int = 64, depth: int = 3) -> PODDeepONet:
        """Return an untrained network with the modes of `outputs`, shape `(count, n)`, and `values` standardised.

        Raises:
            BadInputError: There are fewer independent outputs than terms.
        """
        mean = outputs.mean(dim=0)
        _, sizes, modes = torch.linalg.svd(outputs - mean, full_matrices=False)
        independent = int((sizes > 1e-7 * sizes[0]).sum())
        if terms > independent:
            raise BadInputError(
                f"a POD-DeepONet of {terms} terms needs as many independent outputs, found {independent}; take fewer."
            )
        spread = sizes[:terms] / len(outputs) ** 0.5
        net = cls(values.shape[1], mean, modes[:terms].clone(), spread, width, depth)
        net.inputs.fit(values)
        return net

    def forward(self, values: Tensor) -> Tensor:
        """Return the answers at the points of the modes, shape `(batch, n)`, from `(batch, sensors)`."""
        return self.combine(self.branch(self.inputs(values)))

    def combine(self, branch: Tensor) -> Tensor:
        """Return the fields of the branch's outputs."""
        return self.mean + (branch * self.sizes) @ self.modes

    def best(self, outputs: Tensor) -> Tensor:
        """Return the fields of the span that are nearest to `outputs`: what no branch can improve on."""
        return self.mean + (outputs - self.mean) @ self.modes.T @ self.modes
