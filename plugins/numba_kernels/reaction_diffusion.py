"""Implicit nonlinear reaction-diffusion on the unit square, as a solver whose residual judges proposals.

    u_t = div(k(u) grad u) + r u (1 - u) + s(x, t),   k(u) = d (1 + beta u^2),   zero flux through the boundary

on n x n cells (second order in h), by backward Euler or Crank-Nicolson. u is a concentration relative to the carrying
capacity (unit 1), lengths are relative to the side, d and r in side^2 and 1 over the unit of time.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from typing import ClassVar

import numpy as np
from cosolve.core.arrays import Array
from cosolve.core.communicator import Communicator, SerialCommunicator
from cosolve.core.errors import BadInputError
from cosolve.core.query import Query
from cosolve.core.solver import ResidualMeasure, Solver, SolveResult
from cosolve.plugins.numba_kernels.multigrid import Plane, work_space
from cosolve.plugins.numba_kernels.newton import CONVERGED, REASONS, evaluate, newton, residual
from cosolve.plugins.numba_kernels.options import ReactionDiffusionOptions

Source = Callable[[float], Plane]
"""Source s at a time, shape `(n, n)`, in 1 over the unit of time."""

_THETA = {"backward_euler": 1.0, "crank_nicolson": 0.5}


class ReactionDiffusion(Solver):
    """One implicit step at a time by Newton's method with multigrid-preconditioned conjugate gradients.

    Building it compiles the kernels (or reads them from numba's cache), so that no step's time contains that.

    Args:
        initial: Initial values, shape `(n, n)`.
        diffusivity: d > 0.
        nonlinearity: beta >= 0.
        reaction: r >= 0; theta dt r must stay below 1.
        source: s(t), or None.
        options: Grid, scheme and tolerances.
        comm: Must have one rank.

    Raises:
        BadInputError: A parameter is out of range, the grid does not coarsen, or there is more than one rank.
    """

    name: ClassVar[str] = "reaction_diffusion"

    def __init__(
        self,
        initial: Array,
        *,
        diffusivity: float,
        nonlinearity: float = 0.0,
        reaction: float = 0.0,
        source: Source | None = None,
        options: ReactionDiffusionOptions | None = None,
        comm: Communicator | None = None,
    ) -> None:
        self.options = options or ReactionDiffusionOptions()
        n = self.options.n
        if initial.shape != (n, n):
            raise BadInputError(f"the initial values have shape {initial.shape}, expected {(n, n)}: one for each cell")
        if not (diffusivity > 0.0 and nonlinearity >= 0.0 and reaction >= 0.0):
            raise BadInputError(
                "reaction_diffusion needs diffusivity > 0, nonlinearity >= 0 and reaction >= 0; "
                f"found {diffusivity}, {nonlinearity} and {reaction}"
            )
        comm = comm or SerialCommunicator()
        if comm.Get_size() != 1:
            raise BadInputError(
                f"the solver reaction_diffusion runs on one rank, found {comm.Get_size()}. Start it without mpirun, "
                "or use a FEniCSx problem."
            )
        self.comm = comm.Dup()
        self.diffusivity, self.nonlinearity, self.reaction = float(diffusivity), float(nonlinearity), float(reaction)
        self.source = source
        self.theta = _THETA[self.options.scheme]
        self._initial = np.ascontiguousarray(initial, dtype=np.float64)
        self._n, self._h = n, 1.0 / n
        self._sizes, self._offsets, self._levels, self._work = work_space(n)
        self._planes = np.zeros((5, n, n))
        self._closed = False
        self._compile()

    @property
    def n_owned(self) -> int:
        """Number of cells."""
        return self._n * self._n

    def initial_state(self) -> Array:
        """Return a copy of the initial values, shape `(n * n,)`, row by row."""
        return self._initial.reshape(-1).copy()

    def coordinates(self) -> Array:
        """Return the centres of the cells, shape `(n * n, 2)`, in the order of the state."""
        centres = (np.arange(self._n) + 0.5) * self._h
        first, second = np.meshgrid(centres, centres, indexing="ij")
        return np.stack([first.ravel(), second.ravel()], axis=1)

    def right_hand_side(self, query: Query) -> Plane:
        """Return b of the step's equation R(u) = u - theta dt F(u) - b, shape `(n, n)`."""
        state = query.state.reshape(self._n, self._n)
        b: Plane = np.array(state, dtype=np.float64)
        if self.source is not None:
            b += (self.theta * query.dt) * self.source(query.t_end)
        if self.theta < 1.0:
            explicit = np.empty_like(b)
            evaluate(
                np.ascontiguousarray(state, dtype=np.float64),
                self.diffusivity,
                self.nonlinearity,
                self.reaction,
                1.0 / self._h**2,
                explicit,
                self._planes[1],
            )
            if self.source is not None:
                explicit += self.source(query.t)
            b += ((1.0 - self.theta) * query.dt) * explicit
        return b

    def measure(self, query: Query, candidate: Array) -> ResidualMeasure:
        """Return the L2 norm of R at `candidate`, beside max(rtol ||b||, atol)."""
        b = self.right_hand_side(query)
        _, norm = self._residual(query, candidate, b)
        return ResidualMeasure({"residual": norm * self._h}, {"residual": self._tolerance(b)})

    def residual(self, query: Query, candidate: Array) -> Array:
        """Return R at `candidate`, shape `(n * n,)`, in the unit of u."""
        values, _ = self._residual(query, candidate, self.right_hand_side(query))
        return values.reshape(-1).copy()

    def norm(self, state: Array) -> float:
        """Return the L2 norm over the unit square."""
        return self._h * math.sqrt(float(np.dot(state, state)))

    def invariants(self, state: Array) -> Mapping[str, float]:
        """Return the mass where it is conserved: without reaction and source."""
        if self.reaction == 0.0 and self.source is None:
            return {"mass": float(np.sum(state)) * self._h**2}
        return {}

    def quantities(self, state: Array) -> Mapping[str, float]:
        """Return the mass (integral of u) and the largest value."""
        return {"mass": float(np.sum(state)) * self._h**2, "maximum": float(np.max(state))}

    def close(self) -> None:
        """Free the communicator's duplicate."""
        if not self._closed:
            self._closed = True
            self.comm.Free()

    def _step(self, query: Query, x0: Array | None) -> SolveResult:
        return self._solve(query, query.state if x0 is None else x0, self.options.max_iterations)

    def _correct(self, query: Query, x0: Array, max_iterations: int) -> SolveResult:
        return self._solve(query, x0, max_iterations)

    def _solve(self, query: Query, start: Array, most: int) -> SolveResult:
        b = self.right_hand_side(query)
        tolerance = self._tolerance(b)
        u = np.array(start, dtype=np.float64).reshape(self._n, self._n)
        status, iterations, linear, norm = newton(
            u,
            b,
            self.diffusivity,
            self.nonlinearity,
            self.reaction,
            self.theta * query.dt,
            1.0 / self._h**2,
            tolerance / self._h,
            most,
            self._levels,
            self._work,
            self._planes,
            self._sizes,
            self._offsets,
        )
        return SolveResult(
            value=u.reshape(-1),
            converged=status == CONVERGED,
            reason=REASONS[status],
            iterations=iterations,
            linear_iterations=linear,
            residual=norm * self._h / tolerance if tolerance > 0.0 else math.nan,
        )

    def _residual(self, query: Query, candidate: Array, b: Plane) -> tuple[Plane, float]:
        values = self._planes[0]
        norm = residual(
            np.ascontiguousarray(candidate, dtype=np.float64).reshape(self._n, self._n),
            b,
            self.diffusivity,
            self.nonlinearity,
            self.reaction,
            self.theta * query.dt,
            1.0 / self._h**2,
            values,
            self._planes[1],
        )
        return values, float(norm)

    def _tolerance(self, b: Plane) -> float:
        return max(self.options.rtol * self.norm(b.reshape(-1)), self.options.atol)

    def _compile(self) -> None:
        """Call every kernel once: a step of no length, whose solution is the initial state."""
        query = Query(self.initial_state(), dt=0.0)
        explicit = np.empty_like(self._initial)
        evaluate(self._initial, 1.0, 0.0, 0.0, 1.0, explicit, self._planes[1])
        self.measure(query, query.state)
        if not self.step(query, 1.0 + query.state).converged:
            raise BadInputError("the initial values of reaction_diffusion are not finite")
