"""`FormSolver`: a user's own UFL forms, boundary conditions and function spaces as a solver."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from typing import Any, ClassVar

import numpy as np
from cosolve.core import petsc_database
from cosolve.core.arrays import Array
from cosolve.core.consensus import Consensus, FaultAwareCommunicator
from cosolve.core.errors import BadInputError, unknown_name
from cosolve.core.query import Query, Transaction
from cosolve.core.solver import ResidualMeasure, Solver, SolveResult
from cosolve.plugins.fenicsx import prefixes
from cosolve.plugins.fenicsx.assembly import Assembly
from cosolve.plugins.fenicsx.blocks import Blocks, canonical_keys, dof_coordinates
from cosolve.plugins.fenicsx.form_check import check_number, check_reachable, why_no_step
from cosolve.plugins.fenicsx.functionals import Functionals, L2Norm
from cosolve.plugins.fenicsx.inertia import negative_eigenvalues
from cosolve.plugins.fenicsx.newton import Newton
from cosolve.plugins.fenicsx.null_space import null_space_of
from cosolve.plugins.fenicsx.predictor import PREDICTORS, Predictor, predicted
from cosolve.plugins.fenicsx.reference import PerBlock, Reference, ReferenceNorm, per_block

logger = logging.getLogger(__name__)

_NEAR = 1e-3
"""Relative distance within which the signs of a Jacobian's eigenvalues are taken from the next one."""


class FormSolver(Solver):
    """Solves `F(u; v) = 0` for one step or a steady state, and measures any candidate by the same residual.

    Example::

        F = (u - u_n) / dt * v * dx + k * inner(grad(u), grad(v)) * dx - f * v * dx
        solver = FormSolver(F, u, previous=u_n, bcs=[bc], dt=dt, rtol=1e-6, prefix="heat_")

    The state is the array of the owned dofs of `u`. The forms are the user's: this class changes the values of `u`,
    of the previous states and of the constants that it was given, and nothing else.

    *Tolerance.* Each block's unpreconditioned residual norm must be at most `max(rtol * reference, atol)`. The
    reference depends on the query alone, never on the start, see `cosolve.plugins.fenicsx.reference`; `stol` is zero.
    The fields of a mixed space and the boundary conditions are measured as blocks of their own.

    *Options.* `-<prefix>snes_...`, `-<prefix>ksp_...`, `-<prefix>pc_...` work as PETSc users know them; the command
    line wins over `petsc_options`, and what nobody read is reported by `unused_options` and at `close`.

    *Memory.* PETSc objects and the duplicated communicator are freed by `close`, which is collective; also as a
    context manager. There is no `__del__`, because garbage collection is not collective.

    Args:
        form: Residual form with one test function; contains the function `u` itself, not a trial function.
        u: The unknown (a `dolfinx.fem.Function`).
        previous: The function of the form that holds the last accepted state, or several, newest first (BDF2); several
            need a constant dt. None for a steady problem, which `solve` takes and a time loop refuses; an empty
            sequence for a quasi-static form, which has no memory and may be stepped.
        bcs: Dirichlet conditions. A start or candidate need not meet them: the residual is lifted.
        t: `Constant` that is set to the end time of a step.
        dt: `Constant` of the form that is set to the length of a step; needed by every step in time, unless the form
            is quasi-static. A step that is written into the form as a plain number cannot be seen or set: write
            `dt = fem.Constant(mesh, 0.01)` and use it wherever the form has the step.
        parameters: `Constant` objects by the name under which `Query.parameters` has their values.
        update: Called with the end time before a step is assembled, on every rank; may interpolate, must not
            communicate.
        jacobian: Bilinear form, by default the derivative of `form`.
        rtol: Relative tolerance, with respect to the reference; 0 only where each block has an `atol`.
        atol: Absolute tolerance, one number or one for each block.
        reference: Reference norm: None for the documented rule, a number, one for each block, or a function of the
            query.
        max_iterations: Largest number of Newton iterations (`-<prefix>snes_max_it` wins).
        petsc_options: PETSc options without the prefix. The default linear solver is a direct one (MUMPS).
        prefix: Prefix of the PETSc options. Solvers that live at the same time share one only with the same
            `petsc_options`; by default `cosolve_`, then `cosolve2_`, ... in the order in which they are made.
        invariants: Scalar forms of `u` that are conserved or monotone, by name.
        quantities: Scalar forms of `u` of interest, by name.
        null_space: `"constant"`, functions that span it, or a `PETSc.NullSpace`; taken for the left one, too.
        block_names: Names for the fields of a mixed space; `"0"`, `"1"`, ... by default.
        reuse_jacobian: Keep the factorised Jacobian over iterations and steps while Newton converges fast with it.
        predictor: Start of a step that gets none: the previous state, or a polynomial through the last two or three.

    Raises:
        BadInputError: A form, tolerance, block name or option cannot be used; `previous`, `dt` or another constant is
            not in the form; the prefix is taken. Raised on every rank alike.
    """

    name: ClassVar[str] = "fenicsx"

    def __init__(
        self,
        form: Any,
        u: Any,
        *,
        previous: Any = None,
        bcs: Sequence[Any] = (),
        t: Any = None,
        dt: Any = None,
        parameters: Mapping[str, Any] | None = None,
        update: Callable[[float], None] | None = None,
        jacobian: Any = None,
        rtol: float = 1e-8,
        atol: PerBlock = 0.0,
        reference: Reference = None,
        max_iterations: int = 25,
        petsc_options: Mapping[str, Any] | None = None,
        prefix: str | None = None,
        invariants: Mapping[str, Any] | None = None,
        quantities: Mapping[str, Any] | None = None,
        null_space: Any = None,
        block_names: Sequence[str] | None = None,
        reuse_jacobian: bool = False,
        predictor: Predictor = "previous",
    ) -> None:
        check_number("rtol", rtol, 0.0, 1.0)
        check_number("max_iterations", max_iterations, 0)
        for value in atol.values() if isinstance(atol, Mapping) else [atol]:
            check_number("atol", value, 0.0)
        if predictor not in PREDICTORS:
            raise BadInputError(unknown_name("predictor", predictor, PREDICTORS))
        self._order = PREDICTORS[predictor]
        functions = [] if previous is None else list(previous) if isinstance(previous, (list, tuple)) else [previous]
        self._no_step = why_no_step(previous_given=previous is not None, dt=dt, has_previous=bool(functions))
        self.u = u
        self.mesh = u.function_space.mesh
        self._closed = False
        with ExitStack() as made:
            self._null_space, owned = null_space_of(null_space, u)
            if owned:
                made.callback(self._null_space.destroy)
            self.assembly = Assembly(
                form,
                u,
                previous=functions,
                bcs=bcs,
                jacobian=jacobian,
                t=t,
                dt=dt,
                parameters=parameters,
                update=update,
                null_space=self._null_space,
            )
            made.callback(self.assembly.close)
            self.comm = FaultAwareCommunicator(self.mesh.comm.Dup())
            made.callback(self.comm.Free)
            self.blocks = Blocks(u.function_space, bcs, self.comm, block_names)
            source = functions[0] if functions else u
            self._initial: Array = source.x.array[: self.assembly.n_owned].copy()
            options = dict(petsc_options or {})
            self.prefix = prefixes.claim(prefix, options)
            made.callback(prefixes.release, self.prefix, options)
            self.newton = Newton(
                self.assembly,
                self.blocks,
                prefix=self.prefix,
                options=options,
                max_iterations=max_iterations,
                reuse_jacobian=reuse_jacobian,
            )
            made.callback(self.newton.close)
            self.rtol = _option(self.prefix, "snes_rtol", rtol)
            self.atol = per_block(_option(self.prefix, "snes_atol", atol), self.blocks.names, "atol")
            check_reachable(self.rtol, self.atol, self.blocks.names, self.prefix)
            self.reference = ReferenceNorm(self.assembly, self.blocks, reference, self._initial)
            made.callback(self.reference.close)
            self._invariants = Functionals(self.assembly, invariants or {}, self.comm, "the invariant")
            self._quantities = Functionals(self.assembly, quantities or {}, self.comm, "the quantity")
            self._l2 = L2Norm(self.assembly, self.comm)
            # All went well: what was made is freed by `close`, not here.
            self._made = made.pop_all()
        self._measured: tuple[Query, Array, Array] | None = None
        self._factorised: Query | None = None

    def __enter__(self) -> FormSolver:
        return self

    def __exit__(self, *exc_info: object) -> None:
        self.close()

    # Space
    @property
    def n_owned(self) -> int:
        """Number of dofs that this rank owns."""
        return self.assembly.n_owned

    @property
    def parameter_names(self) -> tuple[str, ...]:
        """Names of the constants that a query sets."""
        return tuple(self.assembly.parameters)

    def initial_state(self) -> Array:
        """Return a copy of the state that `previous` (or `u`) held when the solver was made."""
        return self._initial.copy()

    def coordinates(self) -> Array:
        """Return where the owned dofs live, shape `(n_owned, d)`; with fields or components `(n_owned, d + 1)`."""
        return dof_coordinates(self.u.function_space)

    def _canonical_keys(self) -> Array | None:
        return canonical_keys(self.u.function_space)

    def restart_memory(self) -> Mapping[str, Any]:
        """Return where a reused Jacobian was assembled, so that a restart iterates alike (local)."""
        return self.newton.restart_memory()

    def restart_from(self, memory: Mapping[str, Any]) -> None:
        """Assemble the reused Jacobian anew (collective)."""
        self._meet()
        self.newton.restart_from(memory)
        self._raise_faults(Query(self._initial), f"the Jacobian of solver {self.prefix!r}")

    # Solving
    def unfit(self, transaction: Transaction, dt: float) -> str:
        """Return why this solver cannot take such transactions, empty when it can (not collective)."""
        if self._closed:
            return f"solver {self.prefix!r} was closed; make a new one, or do all work within its `with` block"
        if transaction == "step" and dt != 0.0 and self._no_step:
            return (
                f"the form of solver {self.prefix!r} cannot be stepped in time: FormSolver was not given "
                f"{self._no_step}. Without it a step would change nothing in the form. `solve` takes a steady problem"
            )
        return ""

    def solve(self, x0: Array | None = None, parameters: Mapping[str, Any] | None = None) -> SolveResult:
        """Solve a steady problem from `x0`, by default the initial state (collective)."""
        return self.step(Query(self.initial_state(), parameters=parameters or {}, transaction="solve"), x0)

    def _step(self, query: Query, x0: Array | None) -> SolveResult:
        return self._iterate(query, predicted(query, self._order) if x0 is None else x0, None)

    def _correct(self, query: Query, x0: Array, max_iterations: int) -> SolveResult:
        return self._iterate(query, x0, max_iterations)

    def _iterate(self, query: Query, start: Array, max_iterations: int | None) -> SolveResult:
        self._meet(query)
        spacing = self._uneven(query)
        if spacing:
            return SolveResult(query.state.copy(), False, spacing)
        known = None
        if self._measured is not None and self._measured[0] is query and self._measured[1] is start:
            known = self._measured[2]
        tolerances = self.tolerances(query)
        jacobians = self.newton.jacobians
        result = self.newton.solve(start, tolerances, dt=query.dt, max_iterations=max_iterations, known_residual=known)
        self._factorised = query if self.newton.jacobians > jacobians else None
        if result.converged:
            self.assembly.set_state(result.value)
            return result
        self.assembly.set_state(query.state)
        self.assembly.forget()
        self._raise_faults(query, f"a PETSc callback of solver {self.prefix!r}")
        return result

    def _uneven(self, query: Query) -> str:
        """Return why a multistep form cannot take this step, empty when it can (not collective)."""
        if len(self.assembly.previous) < 2 or not query.history:
            return ""
        gap = query.t - query.history[0].t
        if abs(gap - query.dt) <= 1e-9 * abs(query.dt):
            return ""
        count = len(self.assembly.previous)
        return f"the form uses {count} previous states, {gap:.6g} apart, with a step of {query.dt:.6g}"

    # Measuring
    def tolerances(self, query: Query) -> Array:
        """Return the absolute tolerance of each block for `query`, in the order of `blocks.names` (collective).

        A step on the way to the solve that is asked for may be looser: `query.context["tolerance_factor"]`.
        """
        self.assembly.load(query)
        factor = float(query.context.get("tolerance_factor", 1.0))
        return factor * np.maximum(self.rtol * self.reference.at(query), self.atol)

    def residual(self, query: Query, candidate: Array) -> Array:
        """Return the residual at `candidate`, owned values with lifted boundary conditions (collective)."""
        self._meet(query)
        self.assembly.load(query)
        return self.assembly.residual(candidate).copy()

    def measure(self, query: Query, candidate: Array) -> ResidualMeasure:
        """Measure the residual at `candidate`, block by block, beside the solver's own tolerances (collective).

        Raises:
            RankFaultError: `update` or a form failed on a rank; raised on every rank.
        """
        self._meet(query)
        tolerances = self.tolerances(query)
        residual = self.assembly.residual(candidate)
        norms = self.blocks.norms(residual)
        if not np.all(np.isfinite(norms)):
            self.assembly.forget()
            self._raise_faults(query, f"the residual of solver {self.prefix!r}")
        self._measured = (query, candidate, residual.copy())
        names = self.blocks.names
        return ResidualMeasure(
            norms=dict(zip(names, norms.tolist(), strict=True)),
            tolerances=dict(zip(names, tolerances.tolist(), strict=True)),
        )

    def conditioned(self, query: Query, candidate: Array) -> Array:
        """Return a copy of `candidate` with the Dirichlet values of `query` in their rows (collective)."""
        if not self.assembly.bcs:
            return candidate
        self._meet(query)
        self.assembly.load(query)
        return self.assembly.with_boundary_values(candidate)

    def negative_directions(self, query: Query, state: Array) -> int:
        """Return the number of negative eigenvalues of the Jacobian at `state`, taken as symmetric (collective).

        Where the last solve was one of `query` and its last Cholesky factors, of a state less than a thousandth away,
        have positive pivots, nothing is factorised again.
        """
        self._meet(query)
        if self._factorised is query and self._near(state) and self.newton.negative_pivots() == 0:
            return 0
        self._factorised = None
        self.newton.forget()
        self.assembly.load(query)
        self.assembly.assemble_jacobian(state)
        return negative_eigenvalues(self.assembly.matrix)

    def _near(self, state: Array) -> bool:
        """Return whether the Jacobian in use was assembled near `state` (collective)."""
        squares = np.array([np.sum((state - self.newton.linearised) ** 2), np.sum(state**2)])
        total = np.zeros_like(squares)
        self.comm.Allreduce(squares, total)
        return bool(total[0] <= _NEAR**2 * total[1])

    def _meet(self, query: Query | None = None) -> None:
        """Learn of a rank whose own code failed before PETSc communicates and would wait for it (collective).

        Raises:
            BadInputError: The solver was closed, or cannot take this query; on every rank alike.
        """
        why = self.unfit("solve" if query is None else query.transaction, 0.0 if query is None else query.dt)
        if why:
            raise BadInputError(f"{why}.")
        if self.comm.Get_size() > 1:
            self.comm.Barrier()

    def _raise_faults(self, query: Query, what: str) -> None:
        """Raise on every rank what a rank keeps of its callbacks (collective)."""
        Consensus(self.comm).run(what, query.step, self.assembly.faults.raise_kept)

    def invariants(self, state: Array) -> Mapping[str, float]:
        """Return the user's invariants at `state` (collective)."""
        self._meet()
        return self._invariants.at(state)

    def quantities(self, state: Array) -> Mapping[str, float]:
        """Return the user's quantities of interest at `state` (collective)."""
        self._meet()
        return self._quantities.at(state)

    def norm(self, state: Array) -> float:
        """Return the L2 norm over the domain of a state or a difference of states (collective)."""
        self._meet()
        return self._l2(state)

    # Options and end
    def unused_options(self) -> list[str]:
        """Return PETSc options with this solver's prefix that nobody has read so far (not collective)."""
        return petsc_database.unused(self.prefix)

    def close(self) -> None:
        """Free PETSc objects and the duplicated communicator (collective). Idempotent."""
        if self._closed:
            return
        self._closed = True
        self._made.close()


def _option(prefix: str, key: str, default: Any) -> Any:
    """Return what the command line says for a tolerance, else `default`, which may be a mapping."""
    number = petsc_database.number(prefix, key, -1.0)
    return default if number < 0.0 else number
