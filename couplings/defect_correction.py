"""Defect correction: a surrogate of a linear problem, asked again for what is left over, as long as the residual falls.

With the residual `r` of an iterate, `u <- u + w H(r)`: the surrogate `H` sees the residual as a problem of the same
family (the delta refinement of HyPINO, arXiv:2509.05117), or is a coarse solver. The weights are those of smallest
residual over the last directions (flexible generalised conjugate residuals), so that for linear equations the residual
never grows, whatever `H` says. Every step is verified by the solver's own residual; where equations are not linear, a
step that does not lower it is taken back and the refinement ends.

    S. C. Eisenstat, H. C. Elman, M. H. Schultz, SIAM J. Numer. Anal. 20 (1983) 345, doi:10.1137/0720023.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TypeAlias

import numpy as np
from cosolve.core.arrays import Array
from cosolve.core.errors import BadInputError, PluginError
from cosolve.core.prediction import Prediction
from cosolve.core.query import Query
from cosolve.core.solver import Solver
from cosolve.core.surrogate import Surrogate

Correction: TypeAlias = Callable[[Query, Array], Array]
"""Proposes the change of the state from the owned values of the solver's residual, as `Solver.residual` gives them."""


@dataclass(frozen=True, slots=True)
class Refinement:
    """What a refinement has found.

    Attributes:
        value: The iterate of the smallest residual, owned values.
        residuals: Euclidean norms of the residual: of the start, and after each step that was kept.
        stopped_by: `tolerance`, `rounds`, or `standstill` where a step lowered the residual too little.
    """

    value: Array
    residuals: tuple[float, ...]
    stopped_by: str

    @property
    def factor(self) -> float:
        """Mean factor by which a step lowers the residual; 1 where no step was kept."""
        steps = len(self.residuals) - 1
        if steps == 0 or self.residuals[0] == 0.0:
            return 1.0
        return float((self.residuals[-1] / self.residuals[0]) ** (1.0 / steps))


def refine(
    solver: Solver,
    query: Query,
    start: Array,
    correction: Correction,
    *,
    rounds: int = 8,
    directions: int = 4,
    least_gain: float = 0.05,
) -> Refinement:
    """Refine `start` by `correction` while the residual falls (collective).

    Args:
        solver: Offers `residual`, and judges by `measure`.
        query: The question.
        start: Owned values; is not changed.
        correction: Called on every rank with the residual of the iterate; what it answers is not trusted.
        rounds: Most steps.
        directions: How many of the last directions the weights are chosen over; 1 for the last one alone.
        least_gain: A step must lower the residual by this share, else it is the last one (kept if it lowers it at all).

    Raises:
        BadInputError: A number has no meaning.
        NotImplementedError: The solver does not offer its residual's values.
    """
    if rounds < 0 or directions < 1 or not 0.0 <= least_gain < 1.0:
        raise BadInputError(
            f"refine needs rounds >= 0, directions >= 1 and 0 <= least_gain < 1, found {rounds}, {directions} and "
            f"{least_gain}"
        )
    value = solver.conditioned(query, start).copy()
    residual = np.array(solver.residual(query, value))
    norms, kept = [_norm(solver, residual)], list[tuple[Array, Array]]()
    stopped_by = "rounds"
    for _ in range(rounds):
        if norms[-1] == 0.0 or solver.measure(query, value).ratio <= 1.0:
            stopped_by = "tolerance"
            break
        change = np.asarray(correction(query, residual.copy()), dtype=value.dtype)
        if change.shape != value.shape:
            raise PluginError(f"a correction must have shape {value.shape}, found {change.shape}")
        tried = _step(solver, query, value, residual, change, kept[-directions + 1 :] if directions > 1 else [])
        if tried is None or not tried[2] < norms[-1]:
            stopped_by = "standstill"
            break
        moved, left, norm, pair = tried
        gain = 1.0 - norm / norms[-1]
        value, residual = moved, left
        kept.append(pair)
        norms.append(norm)
        if gain < least_gain:
            stopped_by = "standstill"
            break
    return Refinement(value, tuple(norms), stopped_by)


def _step(
    solver: Solver, query: Query, value: Array, residual: Array, change: Array, kept: list[tuple[Array, Array]]
) -> tuple[Array, Array, float, tuple[Array, Array]] | None:
    """Return the next iterate, its residual and norm, and the direction; None where the correction is no direction."""
    # Its size does not matter to a linear problem, and must not overflow: the weight sets it.
    size = _norm(solver, change)
    if not math.isfinite(size) or size == 0.0:
        return None
    effect = np.array(solver.residual(query, value + change)) - residual
    direction = change.copy()
    for other, image in kept:
        along = _dot(solver, effect, image)
        effect, direction = effect - along * image, direction - along * other
    length = _norm(solver, effect)
    if not math.isfinite(length) or length <= 1e-14 * _norm(solver, residual):
        return None
    effect, direction = effect / length, direction / length
    weight = -_dot(solver, effect, residual)
    moved = solver.conditioned(query, value + weight * direction)
    # Measured, not predicted: equations may not be linear.
    left = np.array(solver.residual(query, moved))
    return moved, left, _norm(solver, left), (direction, effect)


def _dot(solver: Solver, one: Array, other: Array) -> float:
    local = np.array(float(np.dot(one, other)))
    total = np.zeros_like(local)
    solver.comm.Allreduce(local, total)
    return float(total)


def _norm(solver: Solver, values: Array) -> float:
    square = _dot(solver, values, values)
    return math.sqrt(square) if square >= 0.0 else math.nan


class DefectCorrected(Surrogate):
    """Proposes what a surrogate says after refinement by a correction; a proposer like any other.

    Example::

        start = DefectCorrected(network, lambda query, residual: network_of_sources(residual))
        with cosolve.initial_guess(solver, start) as guess:
            u = guess.solve(parameters).value

    Args:
        surrogate: Proposes the first iterate; None starts from the state of the query.
        correction: See `refine`.
        rounds: Most steps.
        directions: See `refine`.
        name: Name in records; by default the surrogate's with `_refined`.
    """

    collective = True

    def __init__(
        self,
        surrogate: Surrogate | None,
        correction: Correction,
        *,
        rounds: int = 8,
        directions: int = 4,
        name: str = "",
    ) -> None:
        self.surrogate, self.correction = surrogate, correction
        self.rounds, self.directions = rounds, directions
        self.name = name or f"{surrogate.name if surrogate is not None else 'state'}_refined"  # type: ignore[misc]  # one for each object
        self.predict_keeps_memory = surrogate is None or surrogate.predict_keeps_memory  # type: ignore[misc]  # as the one within
        self._solver: Solver | None = None

    def bind(self, solver: Solver) -> None:
        """Take the solver whose residual is refined (collective)."""
        self._solver = solver
        if self.surrogate is not None:
            self.surrogate.bind(solver)

    def _predict(self, query: Query) -> Prediction:
        if self._solver is None:
            raise PluginError(f"surrogate {self.name!r} was asked before `bind(solver)`")
        start = query.state if self.surrogate is None else self.surrogate.predict(query).value
        found = refine(self._solver, query, start, self.correction, rounds=self.rounds, directions=self.directions)
        notes = {"refinements": len(found.residuals) - 1, "residual_factor": found.factor}
        return Prediction(found.value, notes=notes)

    def observe(self, query: Query, value: Array) -> None:
        """Hand the committed value to the surrogate."""
        if self.surrogate is not None:
            self.surrogate.observe(query, value)

    def memory(self) -> Mapping[str, Array]:
        """Return the memory of the surrogate."""
        return {} if self.surrogate is None else self.surrogate.memory()

    def restore(self, memory: Mapping[str, Array]) -> None:
        """Restore the surrogate."""
        if self.surrogate is not None:
            self.surrogate.restore(memory)

    def close(self) -> None:
        """Close the surrogate."""
        if self.surrogate is not None:
            self.surrogate.close()
