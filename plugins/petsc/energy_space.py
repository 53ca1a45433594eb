"""The span of recent solutions of symmetric positive definite systems, with a basis that is orthonormal in energy.

P. F. Fischer, Comput. Methods Appl. Mech. Engrg. 163 (1998) 193, doi:10.1016/S0045-7825(98)00012-7, with two changes. A
full space does not begin again: it forgets its older half by one rotation, since the coordinates of each solution are
known (an orthonormal basis of those that stay). And where the operator has changed, the whole basis is made orthonormal
at once, by a Cholesky factor of its Gram matrix. All work on the basis is matrix times vector or matrix times matrix.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
from cosolve.core.arrays import Array
from cosolve.plugins.petsc.ksp import KspSolver
from cosolve.plugins.petsc.vectors import placed

_NOTHING: Final = 1e-28
"""A direction whose energy is below this share of the value's adds rounding only: the square of 1e-14."""

_TWICE: Final = 0.5
"""Where more than this share of the energy goes in a pass, another pass is needed (W. Kahan's rule, in B. N. Parlett,
The Symmetric Eigenvalue Problem, section 6.9, doi:10.1137/1.9781611971163)."""

_PASSES: Final = 3
_DEPENDENT: Final = 1e-12
_NEVER, _RESTORED = -1, -2

RECENT: Final = 4
"""Solutions whose coordinates are kept in their order, for extrapolation."""


@dataclass(frozen=True, slots=True)
class Joined:
    """What a proposal adds to the space.

    Attributes:
        coordinates: Of the proposal in the space, then along what is new in it.
        along: Coordinate of the solution along what is new; its square is the energy that the proposal takes away.
    """

    coordinates: Array
    along: float


class EnergySpace:
    """Keeps the last solutions that were not in their own span yet (all methods are collective unless they say so).

    Args:
        solver: Its KSP's operator is the inner product, its `b` the right-hand side.
        size: Directions at most.
        guests: Proposals that may join at the same time.

    Attributes:
        count: Directions now.
        recent: Coordinates of the last solutions, newest first.
        energy: What the last solution had outside of the space before it was learnt: half the square of this norm is
            the energy error of the projection; NaN while unknown.
    """

    def __init__(self, solver: KspSolver, size: int, guests: int = 0) -> None:
        self.solver, self.size = solver, size
        self.count = 0
        self.recent: list[Array] = []
        self.energy = math.nan
        self._rows = np.zeros((size + guests, solver.n_owned))
        self._brought = np.zeros((0, 0))
        """Columns: coordinates of the solutions that brought the directions, oldest first."""
        self._guests = 0
        self._state = _NEVER
        self._vectors: tuple[Any, Any] | None = None

    @property
    def basis(self) -> Array:
        """The basis, shape `(count, n_owned)` (not collective)."""
        return self._rows[: self.count]

    # Starts
    def coordinates(self) -> Array:
        """Return those of the solution of `A x = b` within the space: of all in it that has the least energy error."""
        self._guests = 0
        return self._dots(self.basis, self.solver.b.array_r)

    def combine(self, coordinates: Array) -> Array:
        """Return the state with these coordinates; those of guests follow those of the space (not collective)."""
        state: Array = coordinates @ self._rows[: len(coordinates)]
        return state

    def join(self, value: Array) -> Joined | None:
        """Let a proposal join for this query; None where it adds nothing, or is not finite on some rank."""
        here = self.count + self._guests
        rows, inside = self._rows[:here], np.zeros(here)
        rest, total, energy = value, -1.0, 0.0
        for _ in range(_PASSES):
            shares, energy = self._products(rows, self._action(rest), rest)
            total = energy if total < 0.0 else total
            if not (math.isfinite(energy) and total > 0.0 and energy > _NOTHING * total):
                return None
            inside += shares
            rest = rest - shares @ rows
            taken = float(shares @ shares)
            if taken <= _TWICE * energy:
                energy -= taken
                break
        if not energy > _NOTHING * total:
            return None
        np.divide(rest, math.sqrt(energy), out=self._rows[here])
        self._guests += 1
        along = self._dots(self._rows[here : here + 1], self.solver.b.array_r)
        return Joined(np.append(inside, math.sqrt(energy)), float(along[0]))

    # Learning
    def follow_operator(self, most: int | None = None) -> bool:
        """Make the basis orthonormal for the operator of now; return whether that has changed.

        Args:
            most: Directions that are kept where it has; None for all.
        """
        before, self._state = self._state, int(self.solver.ksp.getOperators()[0].stateGet())
        changed = before not in (self._state, _NEVER)
        if not changed or not self.count:
            return changed
        if most is not None and self.count > most:
            self._rotate(self._newest(most))
        gram = np.empty((self.count, self.count))
        for row, column in zip(self.basis, gram, strict=True):
            column[:] = self.basis @ self._action(row)
        gram = self._sums(gram)
        try:
            factor = np.linalg.cholesky(0.5 * (gram + gram.T))
        except np.linalg.LinAlgError:  # not positive definite in floating point: there is nothing to stand on
            self.clear()
            return changed
        self.basis[:] = np.linalg.solve(factor, np.eye(self.count)) @ self.basis
        self._brought = factor.T @ self._brought
        self.recent = [factor.T @ column for column in self.recent]
        return changed

    def learn(self, value: Array, known: Array | None = None, state: Array | None = None) -> None:
        """Let a solution join for good.

        Args:
            value: The solution, owned values; must not change.
            known: Its coordinates, where they have been computed for this very space.
            state: Their combination.
        """
        self._guests = 0
        rest = value if state is None else value - state
        inside = np.zeros(self.count) if known is None else known.copy()
        energy = 0.0
        self.energy = math.nan
        for number in range(_PASSES):
            shares, energy = self._products(self.basis, self._action(rest), rest)
            if number == 0 and known is not None:
                self.energy = math.sqrt(max(energy, 0.0))
            inside += shares
            rest = rest - shares @ self.basis
            taken = float(shares @ shares)
            if taken <= _TWICE * energy:
                energy -= taken
                break
        if not math.isfinite(energy):
            return
        if energy > _NOTHING * (float(inside @ inside) + energy):
            self._append(rest, inside, energy)
        else:
            self.recent = [inside, *self.recent][:RECENT]

    def clear(self) -> None:
        """Forget everything (not collective)."""
        self.count = self._guests = 0
        self._brought, self.recent = np.zeros((0, 0)), []

    def memory(self) -> dict[str, Array]:
        """Return basis and coordinates (not collective)."""
        recent = np.array(self.recent).reshape(len(self.recent), self.count)
        return {"basis": self.basis.copy(), "brought": self._brought.copy(), "recent": recent}

    def restore(self, memory: Mapping[str, Array]) -> None:
        """Take back what `memory` returned, and make it orthonormal anew when it is next asked (not collective)."""
        self.clear()
        self.count = len(memory["basis"])
        self.basis[:] = memory["basis"]
        self._brought, self.recent = memory["brought"].copy(), [row.copy() for row in memory["recent"]]
        self._state = _RESTORED

    def _append(self, rest: Array, inside: Array, energy: float) -> None:
        """Add a direction, of `energy` and orthogonal to the basis, and the solution that brought it."""
        if self.count >= self.size:
            kept = self._newest(self.size // 2)
            short = inside @ kept
            left = inside - kept @ short
            left -= kept @ (left @ kept)  # twice: little may be left
            # What is forgotten of the others is still a part of this solution.
            rest, energy = rest + left @ self.basis, energy + float(left @ left)
            self._rotate(kept)
            inside = short
        np.divide(rest, math.sqrt(energy), out=self._rows[self.count])
        self.count += 1
        column = np.append(inside, math.sqrt(energy))
        grown = np.zeros((self.count, self._brought.shape[1] + 1))
        grown[:-1, :-1], grown[:, -1] = self._brought, column
        self._brought = grown
        self.recent = [column, *(np.append(old, 0.0) for old in self.recent)][:RECENT]

    def _newest(self, most: int) -> Array:
        """Return an orthonormal basis of the newest solutions in coordinates, shape `(count, at most most)`."""
        found = np.zeros((self.count, 0))
        for column in [*self.recent, *self._brought.T[::-1]]:
            if found.shape[1] >= most:
                break
            rest = column - found @ (found.T @ column)
            rest -= found @ (found.T @ rest)
            length = math.sqrt(float(rest @ rest))
            if length > _DEPENDENT * math.sqrt(float(column @ column)):
                found = np.column_stack([found, rest / length])
        return found

    def _rotate(self, kept: Array) -> None:
        """Keep the part of the space that the columns of `kept` span (not collective)."""
        count = kept.shape[1]
        self._rows[:count] = kept.T @ self.basis
        self.count = count
        self._brought = kept.T @ self._brought[:, max(0, self._brought.shape[1] - count) :]
        self.recent = [column @ kept for column in self.recent]

    # Products
    def _products(self, rows: Array, action: Array, own: Array) -> tuple[Array, float]:
        """Return the products of `rows` and of `own` with `action`, by one reduction."""
        sums = self._sums(np.append(rows @ action, own @ action))
        return sums[:-1], float(sums[-1])

    def _dots(self, rows: Array, values: Array) -> Array:
        return self._sums(rows @ values)

    def _sums(self, local: Array) -> Array:
        """Return the sums over all ranks."""
        local = np.ascontiguousarray(local)
        if self.solver.comm.Get_size() == 1:
            return local
        total = np.empty_like(local)
        self.solver.comm.Allreduce(local, total)
        return total

    def _action(self, value: Array) -> Array:
        """Return the operator times `value`, owned values that hold until the next call."""
        if self._vectors is None:
            self._vectors = self.solver.vector(), self.solver.vector()
        x, y = self._vectors
        with placed(x, value, self.solver.copies):
            self.solver.ksp.getOperators()[0].mult(x, y)
        result: Array = y.array_r
        return result

    def close(self) -> None:
        """Free the vectors."""
        for vector in self._vectors or ():
            vector.destroy()
        self._vectors = None
