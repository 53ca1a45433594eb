"""The domain of a surrogate: which questions it answers, declared once, so that all others are refused."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np
from cosolve.core.arrays import Array
from cosolve.core.errors import BadInputError, unknown_name

if TYPE_CHECKING:
    from cosolve.core.query import Query
    from cosolve.core.space import Space


@dataclass(frozen=True, slots=True)
class Domain:
    """Which questions a surrogate answers.

    `Surrogate.predict` refuses all others, so that a state of another mesh, a parameter outside of the training data or
    a history in the wrong order is a rejection with its reason, not a plausible wrong answer. `cosolve check-plugin`
    draws its questions from here.

    Attributes:
        space: Where the values of a state live; None for any number of values on any space.
        channels: Values of each point of `space`.
        dtypes: Precisions of a state.
        low: Smallest value of a state.
        high: Largest value of a state.
        dt: Shortest and longest step, in the problem's unit of time.
        parameters: Smallest and largest value of each parameter that a question must have.
        history: How many states before the current one the surrogate looks at; it must do with fewer.
    """

    space: Space | None = None
    channels: int = 1
    dtypes: tuple[str, ...] = ("float64", "float32")
    low: float = -math.inf
    high: float = math.inf
    dt: tuple[float, float] = (0.0, math.inf)
    parameters: Mapping[str, tuple[float, float]] = field(default_factory=dict)
    history: int = 3

    @property
    def size(self) -> int | None:
        """Number of values of a state on this rank; None for any."""
        return None if self.space is None else self.channels * self.space.size

    def check(self, query: Query, who: str) -> None:
        """Check that a question lies in the domain (not collective).

        Args:
            query: The question.
            who: Name of the surrogate, for the sentence.

        Raises:
            BadInputError: It does not; says what was expected and what was found.
        """
        self._check_values(query.state, who, "the state")
        low, high = self.dt
        if not low <= query.dt <= high:
            raise BadInputError(f"{who}: dt must lie in [{low:g}, {high:g}], got {query.dt!r}")
        if self.parameters:
            self._check_parameters(query.parameters, who)
        if query.history:
            self._check_history(query, who)

    def _check_values(self, values: Array, who: str, what: str) -> None:
        if not isinstance(values, np.ndarray) or values.ndim != 1:
            found = f"shape {values.shape}" if isinstance(values, np.ndarray) else type(values).__name__
            raise BadInputError(f"{who}: {what} must be a flat numpy array of the owned values, got {found}")
        if self.space is not None and values.size != self.size:
            raise BadInputError(
                f"{who}: {what} must have {self.size} values on its {self.space.kind} space, got {values.size}"
            )
        dtype = values.dtype
        # By number: asking numpy 1 for a dtype's name costs memory that it does not give back.
        if not dtype.isnative or dtype.num not in [np.dtype(name).num for name in self.dtypes]:
            found = dtype.name if dtype.isnative else f"{dtype.name} in foreign byte order"
            raise BadInputError(f"{who}: {what} must have dtype {' or '.join(self.dtypes)}, got {found}")
        if (self.low == -math.inf and self.high == math.inf) or not values.size:
            return
        least, most = float(values.min()), float(values.max())
        # The bounds as this precision rounds them; NaN is refused, too.
        if not (float(dtype.type(self.low)) <= least and most <= float(dtype.type(self.high))):
            raise BadInputError(
                f"{who}: the values of {what} must lie in [{self.low:g}, {self.high:g}], got [{least:g}, {most:g}]"
            )

    def _check_parameters(self, parameters: Mapping[str, Any], who: str) -> None:
        for name, (low, high) in self.parameters.items():
            if name not in parameters:
                raise BadInputError(f"{who}: {unknown_name('parameter', name, parameters)} The surrogate needs it.")
            value = np.asarray(parameters[name])
            if value.dtype.kind not in "fiu" or not bool(np.all((low <= value) & (value <= high))):
                raise BadInputError(
                    f"{who}: parameter {name!r} must lie in [{low:g}, {high:g}], got {parameters[name]!r}"
                )

    def _check_history(self, query: Query, who: str) -> None:
        later = query.t
        for age, snapshot in enumerate(query.history):
            if snapshot.t > later:
                raise BadInputError(
                    f"{who}: the history must be newest first, but entry {age} has time {snapshot.t!r} after {later!r}"
                )
            if snapshot.state.shape != query.state.shape:
                raise BadInputError(
                    f"{who}: entry {age} of the history must have shape {query.state.shape}, got {snapshot.state.shape}"
                )
            later = snapshot.t
