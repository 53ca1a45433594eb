"""A learned coarse space: corrections from the span of trained modes or past solutions, by a Galerkin matrix.

The correction is `Q r = V (V' A V)^-1 V' r`. Behind a base preconditioner `B` it is applied to the residual that `B`
leaves, `z = B r + Q (r - A B r)`: A-DEF2 in J. M. Tang, R. Nabben, C. Vuik and Y. A. Erlangga, J. Sci. Comput. 39
(2009) 340, doi:10.1007/s10915-009-9272-6. Added to it, `z = B r + Q r`, it is the additive two-level preconditioner.
"""

from __future__ import annotations

import math
from typing import ClassVar

import numpy as np
from cosolve.core.arrays import Array
from cosolve.core.domain import Domain
from cosolve.core.errors import BadInputError, PluginError
from cosolve.core.prediction import Prediction
from cosolve.core.query import Query
from cosolve.core.solver import Solver
from cosolve.core.surrogate import Surrogate
from cosolve.plugins.petsc.ksp import KspSolver
from cosolve.plugins.petsc.vectors import placed

_DEPENDENT = 1e-10
"""A direction of which less than this share is left after it was made orthogonal adds nothing."""

_SINGULAR = 1e-13
"""Directions of the Galerkin matrix whose singular value is below this share of the largest are left out."""

_SYMMETRIC = 1e-10


class CoarseSpace(Surrogate):
    """Proposes the Galerkin correction of a residual over a space of modes.

    Where the operator changes, the Galerkin matrix is made anew: one product with the operator for each mode. A
    correction costs two passes over the modes, behind a base preconditioner three, and one reduction over the ranks.

    Args:
        size: Modes that are kept, at most.
        basis: Trained modes as rows, owned values of each rank, shape `(modes, n_owned)`; need not be orthogonal.
            `slow_modes` trains some.
        trains: Whether `bind` trains `size` modes for the operator of then, by `slow_modes`.
        learns: Whether solutions join the space while there is room.

    Attributes:
        basis: The orthonormal modes, shape `(modes, n_owned)`.

    Raises:
        BadInputError: The size is not positive, or the basis is no array of rows.
    """

    name: ClassVar[str] = "coarse_space"
    collective: ClassVar[bool] = True
    predict_keeps_memory: ClassVar[bool] = True
    domain = Domain(dtypes=("float64",))

    def __init__(
        self, size: int = 40, basis: Array | None = None, *, trains: bool = False, learns: bool = True
    ) -> None:
        if size < 1:
            raise BadInputError(f"coarse_space keeps at least one mode, got size = {size!r}")
        if basis is not None and np.ndim(basis) != 2:
            raise BadInputError(f"the basis must have shape (modes, n_owned), got {np.shape(basis)}")
        self.size, self.trains, self.learns = size, trains, learns
        self.basis: Array = np.zeros((0, 0))
        self._given = None if basis is None else np.asarray(basis, dtype=np.float64)
        self._learnt: list[Array] = []
        self._solver: KspSolver | None = None
        self._state = -1
        self._products: Array = np.zeros((0, 0))
        self._galerkin: Array = np.zeros((0, 0))
        self._inverse: Array = np.zeros((0, 0))
        self._symmetric = False

    def bind(self, solver: Solver) -> None:
        """Take the operator's KSP, and make the trained modes orthonormal (collective).

        Raises:
            PluginError: The solver wraps no KSP.
            BadInputError: The modes are not of the length that this rank owns.
        """
        if not isinstance(solver, KspSolver):
            raise PluginError(f"coarse_space needs the operator of a KSP, but the solver is {solver.name!r}")
        if self._given is not None and self._given.shape[1] != solver.n_owned:
            raise BadInputError(
                f"coarse_space: the modes have {self._given.shape[1]} values, this rank owns {solver.n_owned}"
            )
        self._solver = solver
        if self.basis.shape[1] != solver.n_owned:
            self.basis = np.zeros((0, solver.n_owned))
        if self.trains and not len(self.basis) and self._given is None:
            self._given = slow_modes(solver, self.size)
        for mode in () if self._given is None else self._given[: self.size]:
            self._join(mode)
        self._given, self._state = None, -1

    def observe(self, query: Query, value: Array) -> None:
        """Keep a solution; it joins the space when the next correction is asked for, where ranks may communicate."""
        if self.learns and len(self.basis) + len(self._learnt) < self.size:
            self._learnt.append(value.copy())

    def deflate(self, residual: Array, first: Array) -> Array:
        """Return the correction of the residual that `first` leaves of `residual`, owned values (collective).

        Args:
            residual: Shape `(n_owned,)`.
            first: What the base preconditioner made of it.
        """
        self.prepare()
        if not len(self.basis):
            return np.zeros_like(residual)
        if self._symmetric:  # V' A first = (A V)' first: no product with the operator
            left = self.basis @ residual - self._products @ first
        else:
            left = self.basis @ (residual - self._bound().product(first))
        return self._lifted(left)

    @property
    def products_needed(self) -> int:
        """Products with the operator that the next correction takes for its preparation (not collective)."""
        known = len(self.basis) if self._state == self._now() else 0
        return len(self.basis) - known + len(self._learnt)

    def _now(self) -> int:
        return int(self._bound().ksp.getOperators()[0].stateGet())

    def prepare(self) -> None:
        """Let solutions join, and make the Galerkin matrix of the operator of now (collective)."""
        solver = self._bound()
        learnt, self._learnt = self._learnt, []
        known = len(self.basis)
        for value in learnt:
            self._join(value)
        state = self._now()
        if state == self._state and len(self.basis) == known:
            return
        if state != self._state:
            known, self._state = 0, state
        products = [*self._products[:known], *(solver.product(mode) for mode in self.basis[known:])]
        self._products = np.array(products).reshape(len(self.basis), solver.n_owned)
        self._fill_galerkin(known)
        if known == 0:
            self._symmetric = self._is_symmetric()
        self._inverse = np.linalg.pinv(self._galerkin, rcond=_SINGULAR) if len(self.basis) else self._galerkin

    def _predict(self, query: Query) -> Prediction:
        self.prepare()
        if not len(self.basis):
            return Prediction(np.zeros_like(query.state))
        return Prediction(self._lifted(self.basis @ query.state))

    def _lifted(self, local: Array) -> Array:
        """Return the correction from the inner products of this rank (collective)."""
        correction: Array = (self._inverse @ self._sum(local)) @ self.basis
        return correction

    def _fill_galerkin(self, known: int) -> None:
        """Compute the rows and columns of the modes from number `known` on (collective)."""
        count = len(self.basis)
        rows, columns = self.basis[known:] @ self._products.T, self.basis[:known] @ self._products[known:].T
        both = self._sum(np.concatenate([rows.ravel(), columns.ravel()]))
        galerkin = np.zeros((count, count))
        galerkin[:known, :known] = self._galerkin[:known, :known]
        galerkin[known:] = both[: rows.size].reshape(rows.shape)
        galerkin[:known, known:] = both[rows.size :].reshape(columns.shape)
        self._galerkin = galerkin

    def _is_symmetric(self) -> bool:
        """Return whether `V' A` is `(A V)'`, by a random vector (collective)."""
        solver = self._bound()
        vector = np.random.default_rng(solver.comm.Get_rank()).standard_normal(solver.n_owned)
        ours, theirs = self._products @ vector, self.basis @ solver.product(vector)
        both = self._sum(np.stack([ours, theirs])) if len(self.basis) else np.zeros((2, 0))
        return bool(np.linalg.norm(both[0] - both[1]) <= _SYMMETRIC * np.linalg.norm(both[1]))

    def _join(self, value: Array) -> None:
        """Let what is new in `value` join the basis (collective)."""
        size = math.sqrt(self._sum(np.array([value @ value]))[0])
        if not (math.isfinite(size) and size > 0.0) or len(self.basis) >= self.size:
            return
        value = value / size
        for _ in range(2):  # twice: once loses orthogonality where little is left
            if len(self.basis):
                value = value - self._sum(self.basis @ value) @ self.basis
        left = math.sqrt(self._sum(np.array([value @ value]))[0])
        if left > _DEPENDENT:
            self.basis = np.concatenate([self.basis, value[None] / left])

    def _sum(self, local: Array) -> Array:
        """Return the sum of an array over all ranks (collective)."""
        local = np.ascontiguousarray(local)
        total = np.empty_like(local)
        self._bound().comm.Allreduce(local, total)
        return total

    def _bound(self) -> KspSolver:
        if self._solver is None:
            raise PluginError("coarse_space was asked before `bind(solver)`")
        return self._solver


def slow_modes(solver: KspSolver, size: int, *, degree: int = 12, rounds: int = 4, seed: int = 0) -> Array:
    """Train modes that the base preconditioner of a KSP damps worst, those of negative eigenvalues first (collective).

    Random vectors pass Chebyshev polynomials in `B A` that damp the upper part of its spectrum, each round down to the
    largest Ritz value so far (Y. Zhou, Y. Saad, M. L. Tiago and J. R. Chelikowsky, J. Comput. Phys. 219 (2006) 172,
    doi:10.1016/j.jcp.2006.03.017). Costs `size * degree * rounds` products with operator and preconditioner. The
    right-hand side plays no part.

    Args:
        solver: The KSP with its operator set; its own preconditioner is the base.
        size: Number of modes.
        degree: Degree of a polynomial.
        rounds: Number of polynomials.
        seed: Of the random vectors.

    Returns:
        Orthonormal rows, owned values, shape `(size, n_owned)`: the `basis` of a `CoarseSpace`.
    """
    solver.set_up()
    base = solver.ksp.getPC()
    x, y = solver.vector(), solver.vector()

    def iterated(value: Array) -> Array:
        with placed(x, solver.product(value), solver.copies):
            base.apply(x, y)
        result: Array = y.array_r.copy()
        return result

    space = CoarseSpace(size)
    space._solver = solver  # borrows its sums and its orthogonalisation
    random = np.random.default_rng([seed, solver.comm.Get_rank()])
    value = random.standard_normal(solver.n_owned)
    largest = 1.0
    for _ in range(8):
        value = iterated(value / math.sqrt(space._sum(np.array([value @ value]))[0]))
        largest = math.sqrt(space._sum(np.array([value @ value]))[0])
    top, bottom = 1.1 * largest, 0.11 * largest
    rows: Array = random.standard_normal((size, solver.n_owned))
    for _ in range(rounds):
        middle, half = (top + bottom) / 2.0, (top - bottom) / 2.0
        space.basis = np.zeros((0, solver.n_owned))
        for start in rows:
            # The three-term recurrence of Chebyshev's polynomials in (middle - B A) / half.
            before, now = start, (middle * start - iterated(start)) / half
            for _ in range(degree - 1):
                before, now = now, 2.0 * (middle * now - iterated(now)) / half - before
            space._join(now)
        rows = space.basis
        images = np.array([iterated(row) for row in rows])
        ritz = np.linalg.eigvals(space._sum(rows @ images.T)).real
        bottom = min(bottom, max(float(ritz.max()), 1e-3 * top))
    x.destroy()
    y.destroy()
    return rows
