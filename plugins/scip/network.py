"""The network that scores candidates: inputs -> hidden units -> one score; small, because it runs at every node."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np
from cosolve.core.arrays import Array
from cosolve.core.errors import BadInputError

CLIP: Final = 6.0
"""Normalised inputs are cut off here, so that one strange number cannot decide alone."""

TENSORS: Final = ("mean", "scale", "hidden", "hidden_bias", "output")


@dataclass(frozen=True, slots=True)
class Network:
    """A perceptron with one hidden layer of rectified units; all arrays are float32.

    Attributes:
        mean: Mean of each input in training, shape (inputs,).
        scale: One over the standard deviation of each input, shape (inputs,).
        hidden: Weights of the hidden units, shape (units, inputs).
        hidden_bias: Their biases, shape (units,).
        output: Weights of the score, shape (units,).
    """

    mean: Array
    scale: Array
    hidden: Array
    hidden_bias: Array
    output: Array

    @property
    def inputs(self) -> int:
        """Number of inputs."""
        return len(self.mean)

    @property
    def units(self) -> int:
        """Number of hidden units."""
        return len(self.output)

    def normalised(self, inputs: Array) -> Array:
        """Return inputs as the hidden units see them, shape (n, inputs)."""
        return np.asarray(np.clip((inputs - self.mean) * self.scale, -CLIP, CLIP), np.float32)

    def scores(self, inputs: Array) -> Array:
        """Return a score for each candidate, shape (n,); the largest is the choice.

        Args:
            inputs: Shape (n, inputs).
        """
        units = np.maximum(self.normalised(inputs) @ self.hidden.T + self.hidden_bias, 0.0)
        return np.asarray(units @ self.output, np.float32)

    def reasons(self, chosen: Array, other: Array) -> Array:
        """Return what each input contributed to the score of `chosen` over that of `other`, shape (inputs,).

        The difference of the scores is split along the straight line between the two (integrated gradients,
        Sundararajan et al. 2017, arXiv:1703.01365), so the parts sum to it.
        """
        a, b = self.normalised(other[None])[0], self.normalised(chosen[None])[0]
        total = np.zeros_like(a)
        steps = 32
        for k in range(steps):
            at = a + (k + 0.5) / steps * (b - a)
            active = self.hidden @ at + self.hidden_bias > 0.0
            total += (self.output * active) @ self.hidden
        return np.asarray((b - a) * total / steps)

    def flat(self) -> Array:
        """Return all numbers in the order in which native code reads them, float32.

        The hidden weights go input by input, so that the sums of all units advance together, several in one
        instruction.
        """
        parts = (self.mean, self.scale, self.hidden.T.ravel(), self.hidden_bias, self.output)
        return np.ascontiguousarray(np.concatenate(parts), np.float32)

    def tensors(self, prefix: str) -> dict[str, Array]:
        """Return the arrays by name."""
        return {f"{prefix}.{name}": np.asarray(getattr(self, name), np.float32) for name in TENSORS}

    @classmethod
    def from_tensors(cls, tensors: dict[str, Array], prefix: str, inputs: int) -> Network:
        """Build the network again.

        Raises:
            BadInputError: An array is missing or has another shape; names it.
        """
        arrays = {}
        for name in TENSORS:
            if f"{prefix}.{name}" not in tensors:
                raise BadInputError(f"the guide lacks the tensor {prefix}.{name}; train it again")
            arrays[name] = np.ascontiguousarray(tensors[f"{prefix}.{name}"], np.float32)
        units = len(np.atleast_1d(arrays["output"]))
        shapes = {
            "mean": (inputs,),
            "scale": (inputs,),
            "hidden": (units, inputs),
            "hidden_bias": (units,),
            "output": (units,),
        }
        for name, shape in shapes.items():
            if arrays[name].shape != shape:
                raise BadInputError(
                    f"the tensor {prefix}.{name} has shape {arrays[name].shape}, expected {shape}: the guide was "
                    "trained with other features; train it again with this version of cosolve"
                )
        return cls(**arrays)
