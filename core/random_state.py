"""The global random generators of a process, for checkpoints: those of Python, of numpy, and of torch if it is loaded.

A plugin had better own its generator and keep it in its `memory`; one that draws from the global ones is served here.
"""

from __future__ import annotations

import random
import sys
from collections.abc import Mapping
from typing import Any

import numpy as np
from cosolve.core.arrays import Array


def random_state() -> dict[str, Array]:
    """Return the states of the global generators of this rank (not collective)."""
    version, words, gauss = random.getstate()
    kind, key, place, has_gauss, cached = np.random.get_state()  # noqa: NPY002  # the global one is what is kept
    arrays: dict[str, Any] = {
        "python": np.array([version, *words], dtype=np.int64),
        "python_gauss": np.array([] if gauss is None else [gauss]),
        "numpy": np.asarray(key, dtype=np.uint32),
        "numpy_place": np.array([place, has_gauss], dtype=np.int64),
        "numpy_gauss": np.array([cached]),
    }
    if kind != "MT19937":  # set by nobody but a user who replaced the global generator's kind
        arrays = {name: array for name, array in arrays.items() if not name.startswith("numpy")}
    torch = sys.modules.get("torch")
    if torch is not None and hasattr(torch, "get_rng_state"):
        arrays["torch"] = torch.get_rng_state().numpy().copy()
    return arrays


def restore_random_state(arrays: Mapping[str, Array]) -> None:
    """Take back what `random_state` returned (not collective); a generator that is not in it is left alone.

    Raises:
        ValueError: An array is no state of a generator; TypeError and KeyError likewise.
    """
    if "python" in arrays:
        version, *words = (int(word) for word in arrays["python"])
        gauss = arrays["python_gauss"]
        random.setstate((version, tuple(words), float(gauss[0]) if gauss.size else None))
    if "numpy" in arrays:
        place, has_gauss = (int(value) for value in arrays["numpy_place"])
        cached = float(arrays["numpy_gauss"][0])
        key: Any = arrays["numpy"]
        np.random.set_state(("MT19937", key, place, has_gauss, cached))  # noqa: NPY002  # see above
    torch = sys.modules.get("torch")
    if torch is not None and "torch" in arrays:
        torch.set_rng_state(torch.from_numpy(np.array(arrays["torch"], dtype=np.uint8)))
