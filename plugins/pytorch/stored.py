"""Weights and sizes that come from a model file: nothing is built from them that the file does not hold."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import torch
from cosolve.core.arrays import Array
from cosolve.core.errors import BadInputError


def below(tensors: Mapping[str, Array], prefix: str) -> dict[str, Array]:
    """Return the tensors whose names start with `prefix`, without it."""
    return {name[len(prefix) :]: array for name, array in tensors.items() if name.startswith(prefix)}


def above(prefix: str, module: torch.nn.Module) -> dict[str, Array]:
    """Return the tensors of `module` as arrays, their names behind `prefix`."""
    return {prefix + name: tensor.detach().cpu().numpy() for name, tensor in module.state_dict().items()}


def compact(array: Array) -> Array:
    """Return `array` in single precision where that changes no value, else as it is."""
    single = array.astype(np.float32)
    return single if np.array_equal(single, array) else array


def check_sizes(tensors: Mapping[str, Array], sizes: Sequence[int]) -> None:
    """Check that each size is positive and at most the number of values in the file, before anything is allocated.

    Raises:
        BadInputError: A size is not; it would let a small file fill the memory.
    """
    held = sum(array.size for array in tensors.values())
    if min(sizes) < 1 or max(sizes) > held:
        raise BadInputError(f"the settings ask for sizes {list(sizes)[:8]}, the file holds {held} numbers")


def check_tensors(module: torch.nn.Module, tensors: Mapping[str, Array], prefix: str) -> None:
    """Check that the file holds just the tensors of a module, which may have been built on the meta device.

    Raises:
        BadInputError: A tensor is missing, unknown, or has another shape or precision; names it.
    """
    found, expected = below(tensors, prefix), module.state_dict()
    for name in sorted(set(expected) ^ set(found)):
        raise BadInputError(f"tensor {prefix + name!r} is {'missing' if name in expected else 'unknown to the model'}")
    for name, tensor in expected.items():
        shape, dtype = tuple(tensor.shape), str(tensor.dtype).removeprefix("torch.")
        if found[name].shape != shape or found[name].dtype.name != dtype:
            raise BadInputError(
                f"tensor {prefix + name!r} has shape {found[name].shape} in {found[name].dtype}, "
                f"expected {shape} in {dtype}"
            )


def load_exactly(module: torch.nn.Module, tensors: Mapping[str, Array], prefix: str) -> None:
    """Load the weights of a module that was built from settings, after `check_tensors`."""
    check_tensors(module, tensors, prefix)
    found = below(tensors, prefix)
    module.load_state_dict({name: torch.from_numpy(array.copy()) for name, array in found.items()})
