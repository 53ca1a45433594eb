"""The training envelope: where a model was never trained nothing is known about it."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import ClassVar

import numpy as np
from cosolve.core.errors import BadInputError
from cosolve.core.prediction import Prediction
from cosolve.core.query import Query
from cosolve.core.solver import Solver
from cosolve.core.verdict import Grade
from cosolve.plugins.verifiers.objection import ObjectingVerifier


class Envelope(ObjectingVerifier):
    """Rejects every proposal for parameters outside the ranges of the training data.

    Args:
        bounds: Lowest and highest value of each parameter, as in `ModelCard.envelope`.
        margin: How far outside a parameter may lie, as a fraction of its range.

    Raises:
        BadInputError: A range is empty or the margin is negative.
    """

    name: ClassVar[str] = "envelope"
    grade: ClassVar[Grade] = Grade.ESTIMATED
    guarantees: ClassVar[str] = "no proposal passes for parameters outside the box of the training data"
    does_not_guarantee: ClassVar[str] = (
        "anything about a proposal inside the box, which also holds combinations that were never seen; so it may only "
        "reject"
    )

    def __init__(self, bounds: Mapping[str, tuple[float, float]], margin: float = 0.0) -> None:
        self.bounds = {name: (float(low), float(high)) for name, (low, high) in bounds.items()}
        for name, (low, high) in self.bounds.items():
            if not low <= high:
                raise BadInputError(f"the range of parameter {name!r} must be low <= high, found ({low}, {high})")
        if not 0.0 <= margin < math.inf:
            raise BadInputError(f"margin must be finite and not negative, found {margin!r}")
        self.margin = margin

    def objection(self, solver: Solver, query: Query, prediction: Prediction) -> tuple[str, float, float]:
        """Return the objection about the parameter that lies furthest outside (the same on every rank)."""
        worst, text = 0.0, ""
        for name, (low, high) in self.bounds.items():
            if name not in query.parameters:
                return f"parameter {name!r} of the training envelope is not among the query's parameters", math.inf, 0.0
            values = np.asarray(query.parameters[name], dtype=np.float64)
            width = high - low or abs(high) or 1.0
            outside = float(np.max(np.maximum(low - values, values - high), initial=-math.inf)) / width
            outside = math.inf if math.isnan(outside) else outside
            if outside > max(worst, self.margin):
                worst = outside
                text = f"parameter {name!r} lies outside the training range [{low:.6g}, {high:.6g}]"
        return text, worst, self.margin
