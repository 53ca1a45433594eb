"""The reference norm from which absolute tolerances are made: it never depends on the start of an iteration.

PETSc's `rtol` is relative to the first residual, so a good start would be punished by a harder test. Here the tolerance
of a block is `max(rtol * reference, atol)` with the reference of one query:

1. what the user gave, a number for all blocks, one for each, or a function of the query; else
2. the norm of the right-hand side, as the sum of two parts, neither of which can cancel the other:
   the *history term*, the derivative of the form by the previous states times these (for implicit Euler `M u_n / dt`,
   so that `rtol` is about the relative error of the state), and the *load*, the form at zero states with lifted
   boundary values (sources, fluxes); else, where this is zero or cannot be evaluated (an algebraic equation of a mixed
   system, a right-hand side of zero),
3. `|J0| |u_n|`, the magnitude of the terms that the block adds up, with the Jacobian at the initial state; else, for a
   previous state of zero or none,
4. `|J0| 1`, the same for a state of one in its unit.

For the block of boundary conditions, whose residual is a state, the reference is the norm of the boundary values or of
the previous state there, whichever is larger. Where both are zero up to rounding (a homogeneous condition), it is that
of a state of the size that the constrained field has inside, and that of a state of one when this is zero, too.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from typing import Any, TypeAlias

import dolfinx.fem
import numpy as np
import ufl
from cosolve.core.arrays import Array
from cosolve.core.errors import BadInputError, unknown_name
from cosolve.core.query import Query
from cosolve.plugins.fenicsx.assembly import Assembly
from cosolve.plugins.fenicsx.blocks import BOUNDARY, Blocks
from petsc4py import PETSc

PerBlock: TypeAlias = "float | Mapping[str, float]"
Reference: TypeAlias = "PerBlock | Callable[[Query], PerBlock] | None"

_ROUNDING = 1e-12


class ReferenceNorm:
    """Reference norm of each block for a query.

    Args:
        assembly: The compiled forms.
        blocks: The blocks.
        given: What the user gave, None for the rule of this module.
        initial: Initial state, owned values, at which `|J0|` is taken.
    """

    def __init__(self, assembly: Assembly, blocks: Blocks, given: Reference, initial: Array) -> None:
        self.assembly, self.blocks, self.given = assembly, blocks, given
        self._initial = initial
        self._magnitude: Any = None
        states = {assembly.u, *assembly.previous}
        source = [part for part in assembly.form.integrals() if not states & set(_coefficients(part))]
        rest = [part for part in assembly.form.integrals() if states & set(_coefficients(part))]
        self._source_form = dolfinx.fem.form(ufl.Form(source)) if source else None
        self._rest_form = dolfinx.fem.form(ufl.Form(rest)) if rest else None
        moves = assembly.update is not None
        self._source_moves = moves or _contains(source, assembly.t)
        self._rest_moves = moves or _contains(rest, assembly.t) or (assembly.t is not None and bool(assembly.bcs))
        self._source: Array = np.zeros(0)
        self._rest: Array = np.zeros(0)
        self._source_key: tuple[Any, ...] | None = None
        self._rest_key: tuple[Any, ...] | None = None
        self._history_form = _history_form(assembly)
        self._last: tuple[Query, Array] | None = None
        if given is not None and not callable(given):
            per_block(given, blocks.names, "reference")

    def at(self, query: Query) -> Array:
        """Return the reference norms, shape `(n_blocks,)` (collective). The query must be loaded already."""
        if self._last is not None and self._last[0] is query:
            return self._last[1]
        if self.given is not None:
            given = self.given(query) if callable(self.given) else self.given
            norms = per_block(given, self.blocks.names, "reference")
            if BOUNDARY in self.blocks.names and not (isinstance(given, Mapping) and BOUNDARY in given):
                norms[-1] = self._boundary(query)
        else:
            norms = self._history(query) + self._load_norms(query)
            fields = norms[: self.blocks.n_fields]
            if not np.all(fields > 0.0):
                norms = np.where(norms > 0.0, norms, self._magnitudes(np.abs(query.state)))
            if not np.all(norms[: self.blocks.n_fields] > 0.0):
                norms = np.where(norms > 0.0, norms, self._magnitudes(np.ones_like(query.state)))
            if len(norms) > self.blocks.n_fields:
                norms[-1] = self._boundary(query)
        self._last = (query, norms)
        return norms

    def _history(self, query: Query) -> Array:
        if self._history_form is None:
            return np.zeros(len(self.blocks.names))
        self.assembly.set_state(query.state)
        return _finite(self.blocks.norms(self.assembly.assemble(self._history_form)))

    def _load_norms(self, query: Query) -> Array:
        """Return the norms of the load: of the terms without any state, and of the others at zero states."""
        assembly = self.assembly
        parameters = {name: np.asarray(constant.value).tobytes() for name, constant in assembly.parameters.items()}
        still = (query.dt, tuple(sorted(parameters.items())))
        key = (still, query.t_end if self._source_moves else None)
        if key != self._source_key:
            self._source_key = key
            self._source = np.zeros(len(self.blocks.names))
            if self._source_form is not None:
                self._source = _finite(self.blocks.norms(assembly.assemble(self._source_form)))
        key = (still, query.t_end if self._rest_moves else None)
        if key != self._rest_key:
            self._rest_key = key
            self._rest = self._at_zero()
        return self._source + self._rest

    def _at_zero(self) -> Array:
        assembly = self.assembly
        if self._rest_form is None:
            return np.zeros(len(self.blocks.names))
        saved = [function.x.array.copy() for function in assembly.previous]
        for function in assembly.previous:
            function.x.array[:] = 0.0
        assembly.set_state(np.zeros(assembly.n_owned))
        with np.errstate(all="ignore"):
            norms = _finite(self.blocks.norms(assembly.assemble(self._rest_form, lift=True)))
        for function, values in zip(assembly.previous, saved, strict=True):
            function.x.array[:] = values
        return norms

    def _magnitudes(self, state: Array) -> Array:
        """Return the block norms of `|J0| state` for a state that is nowhere negative."""
        if self._magnitude is None:
            self.assembly.assemble_jacobian(self._initial)
            matrix = self.assembly.matrix
            indptr, indices, values = matrix.getValuesCSR()
            self._magnitude = PETSc.Mat().createAIJ(
                size=matrix.getSizes(), csr=(indptr, indices, np.abs(values)), comm=matrix.comm
            )
        x, y = self._magnitude.createVecs()
        x.array[:] = state
        self._magnitude.mult(x, y)
        norms = _finite(self.blocks.norms(y.array_r))
        x.destroy()
        y.destroy()
        return norms

    def _boundary(self, query: Query) -> float:
        values = float(self.blocks.norms(self.assembly.boundary_values())[-1])
        norms = self.blocks.norms(query.state)
        previous = float(norms[-1])
        scale = max(values, previous)
        inside = self.blocks.constrained_size(norms) * math.sqrt(float(self.blocks.sizes[-1]))
        # A classical solve leaves the zeros of its boundary at rounding, which is no scale to measure a proposal by.
        if scale <= _ROUNDING * inside:
            scale = inside
        return scale if math.isfinite(scale) and scale > 0.0 else math.sqrt(float(self.blocks.sizes[-1]))

    def close(self) -> None:
        """Destroy the matrix of magnitudes (collective)."""
        if self._magnitude is not None:
            self._magnitude.destroy()
            self._magnitude = None


def _history_form(assembly: Assembly) -> Any:
    """Return the compiled derivative of the form by the previous states, times these; None when there are none."""
    parts = [
        ufl.action(ufl.derivative(assembly.form, function, ufl.TrialFunction(assembly.space)), function)
        for function in assembly.previous
        if function in assembly.form.coefficients()
    ]
    if not parts:
        return None
    total = parts[0]
    for part in parts[1:]:
        total += part
    return dolfinx.fem.form(ufl.algorithms.expand_derivatives(total))


def _coefficients(integral: Any) -> list[Any]:
    return list(ufl.Form([integral]).coefficients())


def _contains(integrals: list[Any], constant: Any) -> bool:
    if constant is None or not integrals:
        return False
    return any(constant is other for other in ufl.Form(integrals).constants())


def _finite(norms: Array) -> Array:
    return np.asarray(np.where(np.isfinite(norms), norms, 0.0))


def per_block(value: PerBlock, names: list[str], what: str) -> Array:
    """Return one positive-or-zero number for each block, from a number or a mapping by block name.

    Raises:
        BadInputError: A name is unknown or a number is negative or not finite.
    """
    if isinstance(value, Mapping):
        for name in value:
            if name not in names:
                raise BadInputError(unknown_name(f"block in {what}", name, names))
        numbers = np.array([float(value.get(name, 0.0)) for name in names])
    else:
        numbers = np.full(len(names), float(value))
    if not np.all(np.isfinite(numbers)) or np.any(numbers < 0.0):
        raise BadInputError(f"{what} must be a finite number that is not negative, for each block; found {value!r}")
    return numbers
