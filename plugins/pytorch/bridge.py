"""Numpy arrays and torch tensors share memory where precision and device match; every other hand-over is counted."""

from __future__ import annotations

import warnings
from typing import Any

import numpy as np
import torch
from cosolve.core.arrays import Array
from cosolve.core.copies import CopyCount

DTYPES = {"float32": torch.float32, "float64": torch.float64}


def to_torch(array: Array, dtype: torch.dtype, device: torch.device, count: CopyCount) -> torch.Tensor:
    """Return `array` as a tensor: a view when precision and device match, else a counted copy.

    The consumer must not write into the view: it is the solver's own state.
    """
    if any(stride < 0 for stride in array.strides):
        array = np.ascontiguousarray(array)
        count.add(array.nbytes)
    if array.flags.writeable:
        tensor = torch.from_numpy(array)
    else:
        with warnings.catch_warnings():
            # Torch warns that it cannot keep a read-only array from being written to; nothing here writes to it.
            warnings.filterwarnings("ignore", message=".*not writable.*")
            tensor = torch.from_numpy(array)
    if tensor.dtype == dtype and device.type == "cpu":
        return tensor
    moved = tensor.to(device=device, dtype=dtype)
    count.add(moved.numel() * moved.element_size())
    return moved


def to_numpy(tensor: torch.Tensor, dtype: np.dtype[Any], count: CopyCount) -> Array:
    """Return `tensor` as an array of `dtype`: a view when precision and device match, else a counted copy."""
    tensor = tensor.detach()
    if tensor.device.type != "cpu":
        tensor = tensor.cpu()
        count.add(tensor.numel() * tensor.element_size())
    array: Array = tensor.numpy()
    if array.dtype == dtype:
        return array
    converted: Array = array.astype(dtype)
    count.add(converted.nbytes)
    return converted
