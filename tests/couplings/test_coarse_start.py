"""What a coarse start remembers is what the proposers within it remember."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from cosolve.core.arrays import Array
from cosolve.core.prediction import Prediction
from cosolve.core.query import Query
from cosolve.core.surrogate import Surrogate
from cosolve.couplings.coarse_start import CoarseStart


class Last(Surrogate):
    """Proposes the last state that it was shown."""

    name = "last"

    def __init__(self, value: float) -> None:
        self.seen = np.full(3, value)

    def _predict(self, query: Query) -> Prediction:
        return Prediction(self.seen)

    def observe(self, query: Query, value: Array) -> None:
        self.seen = value.copy()

    def memory(self) -> Mapping[str, Array]:
        return {"seen": self.seen}

    def restore(self, memory: Mapping[str, Array]) -> None:
        self.seen = memory["seen"].copy()


def test_surrogate_and_correction_come_back_apart() -> None:
    level: Any = None  # nothing is proposed here, so no coarse solver is asked
    surrogate, correction = Last(0.0), Last(0.0)
    one = CoarseStart(Last(1.0), level, correction=Last(2.0))
    one.observe(Query(np.zeros(3)), np.full(3, 3.0))
    CoarseStart(surrogate, level, correction=correction).restore(one.memory())
    assert surrogate.seen.tolist() == [1.0] * 3
    assert correction.seen.tolist() == [3.0] * 3
