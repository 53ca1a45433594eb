"""Incremental pressure correction of third order in time differences: the classical solver of the cylinder problem.

One step finds the velocity u, the increment f and the pressure p at its end, with extrapolated convection
w = 3 u_n - 3 u_n-1 + u_n-2, d u = (11/6 u - 3 u_n + 3/2 u_n-1 - 1/3 u_n-2) / dt and a = 11 / (6 dt), from

    d u + w . grad u - nu div grad u + grad p* = 0,    p* = p_n + (18 f_n - 9 f_n-1 + 2 f_n-2) / 11,
    div grad f = a div u,    p = p_n + f - nu div u,

u given on inflow, walls and cylinder, nu du/dn = p* n and f = 0 at the outflow. This is the rotational form of
Guermond and Shen (doi:10.1090/S0025-5718-03-01621-1) with the projected velocity eliminated. A step is one assembly,
two nonsymmetric solves that one or two iterations of BiCGStab finish, and two solves with factors that are never
renewed.

The step is linear in its unknowns and its matrices depend on the query alone. So the residual of a candidate costs
matrix products only, and a step that follows a rejected candidate uses what was assembled for judging it.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any, ClassVar

import numpy as np
from cosolve.core.arrays import Array
from cosolve.core.consensus import FaultAwareCommunicator
from cosolve.core.errors import BadInputError
from cosolve.core.query import Query, Transaction
from cosolve.core.solver import ResidualMeasure, Solver, SolveResult
from cosolve.examples.cylinder.discretisation import VISCOSITY, Discretisation, Factorised, Forces
from cosolve.examples.cylinder.mesh import FloatArray, Resolution
from cosolve.examples.cylinder.options import mean_speed
from cosolve.examples.cylinder.state import Layout
from cosolve.plugins.fenicsx import prefixes
from petsc4py import PETSc

BLOCKS = ("momentum", "boundary", "continuity", "pressure", "history")
"""Blocks of the residual: each has a tolerance of its own."""

_DIFFERENCES = (11.0 / 6.0, -3.0, 1.5, -1.0 / 3.0)
_EXTRAPOLATION = (3.0, -3.0, 1.0)
_INCREMENTS = tuple(-weight / _DIFFERENCES[0] for weight in _DIFFERENCES[1:])
_AIM = 0.3
"""The share of the tolerance at which the velocity's iterations stop."""
_MAX_ITERATIONS = 200


class ChannelSolver(Solver):
    """Advances the flow by one step, and measures any candidate by the residual of all equations of that step.

    The state is described in `cosolve.examples.cylinder.state`. The amplitudes of the inflow are parameters of the
    query. The tolerance of a block is `rtol` times what its equations add up to for the speed of the query, see
    `tolerances`; the start of the iterations plays no part in it.

    Args:
        comm: An mpi4py communicator.
        resolution: Numbers of cells.
        dt: Length of every step: the differences need equal ones.
        rtol: Tolerance.
        prefix: Prefix of the PETSc options of the velocity solve, by default `cosolve_`, then `cosolve2_`, ...

    Raises:
        BadInputError: `dt` or `rtol` has no meaning.
    """

    name: ClassVar[str] = "pressure_correction"

    def __init__(
        self, comm: Any, resolution: Resolution, *, dt: float, rtol: float = 1e-6, prefix: str | None = None
    ) -> None:
        if not (math.isfinite(dt) and dt > 0.0):
            raise BadInputError(f"dt must be a positive number, found {dt!r}")
        if not 0.0 < rtol < 1.0:
            raise BadInputError(f"rtol must lie between 0 and 1, found {rtol!r}")
        self.dt, self.rtol, self._rate = dt, rtol, _DIFFERENCES[0] / dt
        self.prefix = prefixes.claim(prefix, {})
        self.space = Discretisation(comm, resolution, self._rate)
        self.comm = FaultAwareCommunicator(comm.Dup())
        space = self.space
        self.layout = Layout(len(space.points), len(space.pressure_points))
        self._poisson, self._pressure_mass = Factorised(space.laplacian), Factorised(space.pressure_mass)
        self._forces = Forces(space, dt)
        self._ksp = PETSc.KSP().create(space.transport.getComm())
        self._ksp.setOptionsPrefix(self.prefix)
        self._ksp.setOperators(space.transport)
        self._ksp.setType(PETSc.KSP.Type.BCGS)
        # The true residual stops it: that is what candidates are judged by.
        self._ksp.setPCSide(PETSc.PC.Side.RIGHT)
        self._ksp.setNormType(PETSc.KSP.NormType.UNPRECONDITIONED)
        self._ksp.setInitialGuessNonzero(True)
        self._ksp.setFromOptions()
        self._u, self._v = space.mass.createVecs()
        self._right = [space.mass.createVecLeft() for _ in range(2)]
        self._p, self._q = space.pressure_mass.createVecs()
        self._interior = np.ones(self.layout.n_u, dtype=bool)
        self._interior[space.fixed] = False
        self._loaded: Query | None = None
        self._scales = self._block_scales()
        self._closed = False

    def __enter__(self) -> ChannelSolver:
        return self

    def __exit__(self, *exc_info: object) -> None:
        self.close()

    @property
    def n_owned(self) -> int:
        """Number of values of the state that this rank owns."""
        return self.layout.size

    def initial_state(self) -> Array:
        """Return the fluid at rest."""
        return np.zeros(self.n_owned)

    def coordinates(self) -> Array:
        """Return where the owned values live and which field of the state each belongs to, shape `(n_owned, 3)`."""
        space, result = self.space, np.empty((self.n_owned, 3))
        fields = [*[space.points] * 6, *[space.pressure_points] * 4]
        first = 0
        for number, points in enumerate(fields):
            result[first : first + len(points), :2] = points
            result[first : first + len(points), 2] = number
            first += len(points)
        return result

    def unfit(self, transaction: Transaction, dt: float) -> str:
        """Return why this solver cannot take such transactions, empty when it can (not collective)."""
        if self._closed:
            return "the solver of the channel was closed; make a new one"
        if transaction != "step":
            return "the solver of the channel only advances in time; couple it by time_loop"
        if dt and abs(dt - self.dt) > 1e-6 * self.dt:
            return f"its differences need steps of {self.dt:.6g}, found {dt:.6g}; make a solver with that step"
        return ""

    # Solving
    def _step(self, query: Query, x0: Array | None) -> SolveResult:
        return self._solve(query, x0, _AIM)

    def step_exactly(self, query: Query) -> SolveResult:
        """Step to a millionth of the tolerance: what the error of a candidate is measured against (collective)."""
        return self._solve(query, None, 1e-6)

    def forget(self) -> None:
        """Assemble anew for the next query even if it is the last one again (not collective)."""
        self._loaded = None

    def _solve(self, query: Query, x0: Array | None, aim: float) -> SolveResult:
        """Step until the momentum's residual is `aim` times its tolerance."""
        why = self.unfit(query.transaction, query.dt)
        if why:
            return SolveResult(query.state.copy(), False, why)
        self._load(query)
        space, layout = self.space, self.layout
        starts = self._extrapolated if x0 is None else layout.velocities(x0)[0]
        momentum = self.tolerances(query)["momentum"]
        result = np.empty(layout.new_size)
        velocity = result[: 2 * layout.n_u].reshape(2, layout.n_u)
        iterations = 0
        self._ksp.setTolerances(rtol=0.0, atol=aim * momentum / math.sqrt(2.0), max_it=_MAX_ITERATIONS)
        for component, right in enumerate(self._right):
            self._u.array[:] = starts[component]
            self._u.array[space.fixed] = right.array[space.fixed]
            self._ksp.solve(right, self._u)
            iterations += self._ksp.getIterationNumber()
            if self._ksp.getConvergedReason() <= 0:
                reason = f"BiCGStab of velocity component {component}: reason {self._ksp.getConvergedReason()}"
                return SolveResult(query.state.copy(), False, reason, 1, iterations)
            velocity[component] = self._u.array
        divergence = self._divergence(velocity)
        increment, pressure = result[2 * layout.n_u : -layout.n_p or None], result[len(result) - layout.n_p :]
        self._p.array[:] = -self._rate * divergence
        self._p.array[space.outflow] = 0.0
        self._poisson.solve(self._p, self._q)
        increment[:] = self._q.array
        self._p.array[:] = divergence
        self._pressure_mass.solve(self._p, self._q)
        pressure[:] = layout.pressure(query.state) + increment - VISCOSITY * self._q.array
        return SolveResult(layout.after(query.state, result), True, "tolerance met", 1, iterations)

    def _load(self, query: Query) -> None:
        """Assemble what depends on the query: the velocity's matrix and both right-hand sides (collective)."""
        if query is self._loaded:
            return
        self._loaded = None
        space, layout, dt = self.space, self.layout, self.dt
        velocities, increments = layout.velocities(query.state), layout.increments(query.state)
        self._extrapolated: FloatArray = np.einsum("l,lcn->cn", _EXTRAPOLATION, velocities)
        space.convect(self._extrapolated)
        inertia = np.einsum("l,lcn->cn", np.array(_DIFFERENCES[1:]) / -dt, velocities)
        self._p.array[:] = layout.pressure(query.state) + np.array(_INCREMENTS) @ increments
        for component, right in enumerate(self._right):
            self._u.array[:] = inertia[component]
            space.mass.mult(self._u, right)
            space.gradients[component].multAdd(self._p, right, right)
            right.array[space.fixed] = 0.0
        self._right[0].array[space.fixed] = space.profile * mean_speed(query.parameters, query.t_end)
        self._loaded = query

    def _divergence(self, velocity: FloatArray) -> FloatArray:
        """Return the integrals of q div u for all pressure functions q, u of shape `(2, n_u)` (collective)."""
        total: FloatArray = np.zeros(self.layout.n_p)
        for gradient, values in zip(self.space.gradients, velocity, strict=True):
            self._u.array[:] = values
            gradient.multTranspose(self._u, self._q)
            total += self._q.array
        return total

    # Measuring
    def residual(self, query: Query, candidate: Array) -> Array:
        """Return the residual of all equations of the step at `candidate`, in the order of the state (collective).

        Raises:
            BadInputError: The query cannot be stepped; says why.
        """
        why = self.unfit(query.transaction, query.dt)
        if why:
            raise BadInputError(f"{why}.")
        self._load(query)
        space, layout = self.space, self.layout
        result = np.empty(layout.size)
        velocities, increments = layout.velocities(candidate), layout.increments(candidate)
        for component, right in enumerate(self._right):
            self._u.array[:] = velocities[0, component]
            space.transport.mult(self._u, self._v)
            layout.velocities(result)[0, component] = self._v.array - right.array
        layout.velocities(result)[1:] = velocities[1:] - layout.velocities(query.state)[:-1]
        divergence = self._divergence(velocities[0])
        self._p.array[:] = increments[0]
        space.laplacian.mult(self._p, self._q)
        coupled = self._rate * divergence
        coupled[space.outflow] = 0.0
        layout.increments(result)[0] = self._q.array + coupled
        layout.increments(result)[1:] = increments[1:] - layout.increments(query.state)[:-1]
        self._p.array[:] = layout.pressure(candidate) - layout.pressure(query.state) - increments[0]
        space.pressure_mass.mult(self._p, self._q)
        layout.pressure(result)[:] = self._q.array + VISCOSITY * divergence
        return result

    def measure(self, query: Query, candidate: Array) -> ResidualMeasure:
        """Measure the residual at `candidate`, block by block, beside the tolerances (collective)."""
        residual, layout, fixed = self.residual(query, candidate), self.layout, self.space.fixed
        first = layout.velocities(residual)[0]
        boundary = float(np.sum(first[:, fixed] ** 2))
        squares = np.array(
            [
                float(np.sum(first**2)) - boundary,
                boundary,
                float(np.sum(layout.increments(residual)[0] ** 2)),
                float(np.sum(layout.pressure(residual) ** 2)),
                float(np.sum(layout.velocities(residual)[1:] ** 2) + np.sum(layout.increments(residual)[1:] ** 2)),
            ]
        )
        total = self._sum(squares)
        norms = np.sqrt(np.where(total < 0.0, 0.0, total))  # NaN stays NaN
        return ResidualMeasure(dict(zip(BLOCKS, norms.tolist(), strict=True)), self.tolerances(query))

    def tolerances(self, query: Query) -> dict[str, float]:
        """Return the tolerance of each block: `rtol` times its terms for speed and pressure of the query (collective).

        The speed is that of the inflow or the root mean square over the state's velocity dofs, the pressure the square
        of the speed or the root mean square over the state's: the larger ones.
        """
        self._load(query)
        newest, pressure = self.layout.velocities(query.state)[0], self.layout.pressure(query.state)
        local = [float(np.sum(newest**2)), newest.shape[1], float(np.sum(pressure**2)), pressure.size]
        squares = self._sum(np.array(local, dtype=np.float64))
        speed = max(abs(mean_speed(query.parameters, query.t_end)), math.sqrt(squares[0] / squares[1]))
        head = max(speed**2, math.sqrt(squares[2] / squares[3]))
        return {
            name: self.rtol * scale * (head if name == "pressure" else speed) for name, scale in self._scales.items()
        }

    def _block_scales(self) -> dict[str, float]:
        """Return what the equations of each block add up to for a speed of 1 (collective)."""
        space = self.space
        self._u.array[:] = 1.0
        space.mass.mult(self._u, self._v)
        self._p.array[:] = 1.0
        space.pressure_mass.mult(self._p, self._q)
        inertia, volume = self._v.norm(), self._q.norm()
        flux = math.sqrt(sum(gradient.norm(PETSc.NormType.FROBENIUS) ** 2 for gradient in space.gradients))
        counts = self._sum(np.array([2.0 * len(space.fixed), 4.0 * self.layout.n_u]))
        return {
            "momentum": self._rate * inertia,
            "boundary": math.sqrt(counts[0]),
            "continuity": self._rate * flux,
            "pressure": volume,
            "history": math.sqrt(counts[1]),
        }

    def quantities(self, state: Array) -> Mapping[str, float]:
        """Return the coefficients of drag and lift, for a mean inflow of 1 (collective)."""
        drag, lift = self._sum(self._forces.local(self.layout.velocities(state), self.layout.pressure(state)))
        return {"drag": float(drag), "lift": float(lift)}

    def norm(self, state: Array) -> float:
        """Return the L2 norm of the newest velocity (collective)."""
        total = 0.0
        for values in self.layout.velocities(state)[0]:
            self._u.array[:] = values
            self.space.mass.mult(self._u, self._v)
            total += self._u.dot(self._v)
        return math.sqrt(max(total, 0.0))

    def _sum(self, local: FloatArray) -> FloatArray:
        if self.comm.Get_size() == 1:
            return local
        total = np.empty_like(local)
        self.comm.Allreduce(local, total)
        return total

    def close(self) -> None:
        """Free PETSc objects and the communicator (collective). Idempotent."""
        if self._closed:
            return
        self._closed = True
        for item in (self._poisson, self._pressure_mass):
            item.close()
        for item in (self._ksp, self._u, self._v, *self._right, self._p, self._q):
            item.destroy()
        self.space.close()
        prefixes.release(self.prefix, {})
        self.comm.Free()
