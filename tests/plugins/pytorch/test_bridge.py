"""Numpy and torch share memory where they can, and every other hand-over is counted."""

from __future__ import annotations

import warnings

import numpy as np
import pytest
import torch
from cosolve.core.copies import CopyCount
from cosolve.plugins.pytorch.bridge import to_numpy, to_torch

CPU = torch.device("cpu")


def test_the_same_precision_shares_memory_both_ways() -> None:
    count = CopyCount()
    state = np.arange(5.0)
    tensor = to_torch(state, torch.float64, CPU, count)
    assert tensor.data_ptr() == state.ctypes.data
    back = to_numpy(tensor, state.dtype, count)
    assert np.shares_memory(back, state)
    assert (count.copies, count.bytes, count.notes()) == (0, 0, {})


def test_a_change_of_precision_is_one_counted_copy() -> None:
    count = CopyCount()
    state = np.arange(5.0)
    tensor = to_torch(state, torch.float32, CPU, count)
    assert not np.shares_memory(tensor.numpy(), state)
    assert (count.copies, count.bytes) == (1, 20)
    assert to_numpy(tensor, state.dtype, count).dtype == np.float64
    assert (count.copies, count.bytes) == (2, 60)
    assert count.notes() == {"copies": 2, "copied_bytes": 60}


def test_a_read_only_state_is_shared_without_a_warning() -> None:
    state = np.arange(5.0)
    state.flags.writeable = False
    count = CopyCount()
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        tensor = to_torch(state, torch.float64, CPU, count)
    assert tensor.data_ptr() == state.ctypes.data
    assert count.copies == 0


@pytest.mark.parametrize("step", [2, -1])
def test_strided_states_arrive_right(step: int) -> None:
    state = np.arange(10.0)[::step]
    count = CopyCount()
    assert torch.equal(to_torch(state, torch.float64, CPU, count), torch.tensor(list(state)))
    assert count.copies == (1 if step < 0 else 0)


def test_an_empty_rank_has_an_empty_tensor() -> None:
    count = CopyCount()
    assert to_numpy(to_torch(np.zeros(0), torch.float32, CPU, count), np.dtype(np.float64), count).shape == (0,)
