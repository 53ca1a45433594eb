"""A user's forms, compiled: residual with lifted boundary conditions, Jacobian, and the state that they see."""

from __future__ import annotations

import traceback
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import dolfinx.fem
import dolfinx.fem.petsc
import numpy as np
import ufl
from cosolve.core.arrays import Array
from cosolve.core.consensus import FaultBox
from cosolve.core.errors import BadInputError, unknown_name
from cosolve.core.query import Query
from cosolve.plugins.fenicsx.form_check import check_constants, check_previous
from petsc4py import PETSc

INSERT, ADD = PETSc.InsertMode.INSERT, PETSc.InsertMode.ADD
FORWARD, REVERSE = PETSc.ScatterMode.FORWARD, PETSc.ScatterMode.REVERSE


def ghosted(function: Any) -> Any:
    """Return a PETSc vector that shares memory with a dolfinx function, ghosts included (collective).

    The caller destroys it. (dolfinx's own attribute for it has changed its name twice.)
    """
    dofmap = function.function_space.dofmap
    index_map, size = dofmap.index_map, dofmap.index_map_bs
    return PETSc.Vec().createGhostWithArray(
        np.asarray(index_map.ghosts, dtype=PETSc.IntType),
        function.x.array,
        size=(index_map.size_local * size, index_map.size_global * size),
        bsize=size,
        comm=function.function_space.mesh.comm,
    )


class Assembly:
    """What `FormSolver` assembles. All methods but the constructor's checks are collective unless stated.

    Args:
        form: Residual form, linear in its one test function.
        u: The unknown at the end of the step.
        previous: Earlier states, newest first: the last accepted one, then the one before.
        bcs: Dirichlet conditions of dolfinx.
        jacobian: Bilinear form; None for the derivative of `form` by `u`.
        t: Constant that is set to the time at the end of the step.
        dt: Constant that is set to the length of the step.
        parameters: Constants by the name under which `Query.parameters` has their values.
        update: Called with the end time on every rank after the constants were set and before anything is assembled.
            May interpolate boundary values and sources; must not communicate.
    """

    def __init__(
        self,
        form: Any,
        u: Any,
        *,
        previous: Sequence[Any] = (),
        bcs: Sequence[Any] = (),
        jacobian: Any = None,
        t: Any = None,
        dt: Any = None,
        parameters: Mapping[str, Any] | None = None,
        update: Callable[[float], None] | None = None,
        null_space: Any = None,
    ) -> None:
        if not isinstance(form, ufl.Form):
            raise BadInputError(
                f"the residual form must be a UFL form, found {type(form).__name__}; write F = ... * ufl.dx and pass F"
            )
        if len(form.arguments()) != 1:
            raise BadInputError(
                f"the residual form must have one test function and no trial function, but has {len(form.arguments())} "
                "arguments; write a linear problem a(u, v) = L(v) as F = a(u, v) - L(v) with the function u"
            )
        if u not in form.coefficients():
            raise BadInputError(
                "the residual form does not contain the unknown u; put the function u, not a TrialFunction"
            )
        check_previous(form, u, previous)
        check_constants(form, t=t, dt=dt, parameters=parameters or {}, moves_elsewhere=bool(bcs) or update is not None)
        self.form = form
        self.u = u
        self.space = u.function_space
        self.mesh = self.space.mesh
        self.previous = list(previous)
        self.bcs = list(bcs)
        self.t, self.dt, self.update = t, dt, update
        self.parameters = dict(parameters or {})
        self.null_space = null_space
        self.faults = FaultBox()
        self.n_owned: int = self.space.dofmap.index_map.size_local * self.space.dofmap.index_map_bs
        self._loaded: Query | None = None
        bilinear = ufl.derivative(form, u, ufl.TrialFunction(self.space)) if jacobian is None else jacobian
        self.residual_form = dolfinx.fem.form(form)
        self.jacobian_form = dolfinx.fem.form(bilinear)
        self._u = ghosted(u)
        # One rank has no ghosts, but asking for them takes time in each residual.
        self._alone = self.mesh.comm.size == 1
        self._previous = [ghosted(function) for function in self.previous]
        self._work = dolfinx.fem.Function(self.space)
        self.b = ghosted(self._work)
        self.matrix = dolfinx.fem.petsc.create_matrix(self.jacobian_form)
        if null_space is not None:
            self.matrix.setNullSpace(null_space)

    # State
    def load(self, query: Query) -> None:
        """Set previous states, time, step and parameters as `query` says; ghosts included."""
        if query is self._loaded:
            return
        self._loaded = query
        states = [query.state, *(snapshot.state for snapshot in query.history)]
        for index, (function, vector) in enumerate(zip(self.previous, self._previous, strict=True)):
            function.x.array[: self.n_owned] = states[min(index, len(states) - 1)]
            vector.ghostUpdate(addv=INSERT, mode=FORWARD)
        if self.dt is not None and query.dt > 0.0:
            self.dt.value = query.dt
        if self.t is not None:
            self.t.value = query.t_end
        for name, constant in self.parameters.items():
            if name in query.parameters:
                constant.value = query.parameters[name]
        self._guarded(lambda: self._update(query.t_end))

    def _guarded(self, function: Callable[[], None]) -> None:
        """Run rank-local `function`, keep what it raises, and run nothing more until that was told (not collective).

        An exception that leaves a PETSc callback on one rank alone blocks the others in their next reduction.
        """
        if self.faults.error is None:
            try:
                function()
            except BaseException as error:  # KeyboardInterrupt, too: PETSc's frames must not be unwound
                # Its frames would keep PETSc's objects of the callback alive on this rank alone, and their end is
                # collective: keep the text of the traceback instead.
                error.add_note("".join(traceback.format_tb(error.__traceback__)))
                self.faults.keep(error.with_traceback(None))

    def _update(self, t_end: float) -> None:
        if self.update is not None:
            self.update(t_end)

    def forget(self) -> None:
        """Load the next query anew even if it is the same object (not collective)."""
        self._loaded = None

    def set_state(self, values: Array) -> None:
        """Give the unknown these owned values, ghosts included."""
        self.u.x.array[: self.n_owned] = values
        if not self._alone:
            self._u.ghostUpdate(addv=INSERT, mode=FORWARD)

    def set_previous(self, values: Array) -> None:
        """Give all previous states these owned values, ghosts included."""
        self._loaded = None
        for function, vector in zip(self.previous, self._previous, strict=True):
            function.x.array[: self.n_owned] = values
            vector.ghostUpdate(addv=INSERT, mode=FORWARD)

    # Assembly
    def assemble(self, form: Any, *, lift: bool = False) -> Array:
        """Assemble a compiled linear form at the present state.

        Args:
            form: The compiled form.
            lift: Add the lifting of the boundary conditions, J (g - u), and put u - g into their rows.

        Returns:
            Owned values, shape `(n_owned,)`; a view that the next assembly overwrites. NaN everywhere on a rank whose
            code failed.
        """

        def local() -> None:
            with self.b.localForm() as vector:
                vector.set(0.0)
            dolfinx.fem.petsc.assemble_vector(self.b, form)
            if lift and self.bcs:
                dolfinx.fem.petsc.apply_lifting(self.b, [self.jacobian_form], [self.bcs], [self._u], -1.0)

        self._guarded(local)
        # Met by every rank, the faulty one too.
        if not self._alone:
            self.b.ghostUpdate(addv=ADD, mode=REVERSE)
        if lift and self.bcs:
            self._guarded(lambda: dolfinx.fem.petsc.set_bc(self.b, self.bcs, self._u, -1.0))
        values: Array = self._work.x.array[: self.n_owned]
        if self.null_space is not None:
            self.null_space.remove(self.b)
        if self.faults.error is not None:
            values[:] = np.nan
        return values

    def residual(self, values: Array) -> Array:
        """Return the residual at `values` with lifted boundary conditions; a view, see `assemble`."""
        self.set_state(values)
        return self.assemble(self.residual_form, lift=True)

    def boundary_values(self) -> Array:
        """Return the values of the boundary conditions in their rows and zero elsewhere; a view, see `assemble`."""
        values: Array = self._work.x.array[: self.n_owned]
        values[:] = 0.0
        if self.bcs:
            self._guarded(lambda: dolfinx.fem.petsc.set_bc(self.b, self.bcs))
        return values

    def with_boundary_values(self, values: Array) -> Array:
        """Return a copy of owned `values` with those of the boundary conditions in their rows (not collective)."""
        self._work.x.array[: self.n_owned] = values
        self._guarded(lambda: dolfinx.fem.petsc.set_bc(self.b, self.bcs))
        found: Array = self._work.x.array[: self.n_owned].copy()
        return found

    def assemble_jacobian(self, values: Array) -> None:
        """Assemble the Jacobian at `values` into `matrix`, with ones on the diagonal of constrained rows."""
        self.set_state(values)
        self._guarded(self.before_jacobian)
        self.matrix.zeroEntries()
        # Nothing of a user's Python runs from here on, so no rank can fall out between the collective parts.
        dolfinx.fem.petsc.assemble_matrix(self.matrix, self.jacobian_form, self.bcs)
        self.matrix.assemble()

    def linearisation(self, values: Array) -> dict[str, Any]:
        """Return what the Jacobian at `values` depends on, as arrays of owned values and JSON values (not collective).

        Taken after `load`, so that a restart assembles the very same matrix, see `linearise`.
        """
        query = self._loaded
        assert query is not None
        numbers = {name: np.asarray(constant.value).tolist() for name, constant in self.parameters.items()}
        known: dict[str, Any] = {"at": values.copy(), "t_end": query.t_end, "dt": query.dt, "parameters": numbers}
        for index, function in enumerate(self.previous):
            known[f"previous_{index}"] = function.x.array[: self.n_owned].copy()
        return known

    def linearise(self, known: Mapping[str, Any]) -> None:
        """Assemble the Jacobian anew where `linearisation` was taken."""
        self._loaded = None
        for index, (function, vector) in enumerate(zip(self.previous, self._previous, strict=True)):
            function.x.array[: self.n_owned] = known[f"previous_{index}"]
            vector.ghostUpdate(addv=INSERT, mode=FORWARD)
        t_end, dt = float(known["t_end"]), float(known["dt"])
        if self.dt is not None and dt > 0.0:
            self.dt.value = dt
        if self.t is not None:
            self.t.value = t_end
        for name, value in known["parameters"].items():
            self.parameters[name].value = np.asarray(value)
        self._guarded(lambda: self._update(t_end))
        self.assemble_jacobian(known["at"])

    def before_jacobian(self) -> None:
        """Do what must be done on this rank before the Jacobian is assembled; for subclasses (not collective).

        Forms with operators that are evaluated outside UFL compute their derivatives here. What it raises makes the
        next residual NaN, so that the whole solve is rolled back on every rank.
        """

    def check_parameters(self, names: Mapping[str, Any]) -> None:
        """Raise when a case names a parameter that the forms do not have (not collective)."""
        for name in names:
            if name not in self.parameters:
                raise BadInputError(unknown_name("parameter of the form", name, self.parameters))

    def close(self) -> None:
        """Destroy all PETSc objects (collective)."""
        for item in (self._u, self.b, self.matrix, *self._previous):
            item.destroy()
