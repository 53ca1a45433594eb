"""The one array type of the contracts: the values that one rank owns."""

from __future__ import annotations

from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt

Array: TypeAlias = npt.NDArray[np.floating[Any]]
"""Real floating-point values owned by this rank, one dimension unless stated otherwise.

States travel through the core as flat arrays of owned degrees of freedom. A plugin whose library has its own
vector shares its memory here (`Vec.array`, `torch.Tensor.numpy()`), and the session counts every copy it makes.
"""
