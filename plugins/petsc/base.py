"""What the solvers of this plugin share: a user's own PETSc object, its state, options, faults and end."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping
from typing import Any, Self, TypeAlias

import numpy as np
from cosolve.core import petsc_database, petsc_options
from cosolve.core.arrays import Array
from cosolve.core.consensus import Consensus, FaultAwareCommunicator, FaultBox
from cosolve.core.copies import CopyCount
from cosolve.core.errors import BadInputError, NotConvergedError, RankFaultError
from cosolve.core.query import Query, Transaction
from cosolve.core.solver import ResidualMeasure, Solver, SolveResult
from cosolve.plugins.petsc.callbacks import GuardedCallbacks
from cosolve.plugins.petsc.compat import refuse_complex
from cosolve.plugins.petsc.vectors import check_shareable, placed
from petsc4py import PETSc

logger = logging.getLogger(__name__)

Update: TypeAlias = Callable[[Query], None]
"""Sets what depends on a query in the user's own objects: parameters, right-hand side, operator. May communicate by
PETSc, so it must not fail on some ranks only before it does."""


class PetscSolver(Solver):
    """A user's own PETSc object as a solver.

    The object stays the user's: its options, prefix, DM, types, monitors and callbacks are theirs. This class calls
    `setFromOptions`, sets tolerances, guards the callbacks, and gives both back in `close`.

    Args:
        target: The KSP, SNES or TS.
        x: Vector of the unknown: layout and initial state; its memory is not used for solving.
        coordinates: Where the owned values live, shape `(n_owned, d)`; None asks the DM, if it is a DMDA.
        update: Called with each new query before it is solved or measured, on every rank alike.

    Attributes:
        copies: Copies between libraries that this solver has made so far.
        faults: Keeps what callbacks raise.
    """

    def __init__(self, target: Any, x: Any, coordinates: Array | None = None, update: Update | None = None) -> None:
        refuse_complex(f"solver {self.name!r}")
        self.target, self.update = target, update
        self._loaded: Query | None = None
        self.copies = CopyCount()
        self.faults = FaultBox()
        self.callbacks = GuardedCallbacks(self.faults)
        self.comm = FaultAwareCommunicator(target.getComm().tompi4py().Dup())
        check_shareable(x)
        self._x = x.duplicate()
        self._f = x.duplicate()
        self._initial: Array = x.array_r.copy()
        self._coordinates = coordinates
        self._closed = False
        try:
            target.setFromOptions()
        except PETSc.Error as error:
            raise BadInputError(
                f"PETSc refuses an option of the prefix -{self.prefix}: {petsc_database.words(error)}. Correct it in "
                f"your script, in [petsc] or on the command line; found {petsc_database.given(self.prefix)}"
            ) from None
        logger.info("PETSc options of this %s have the prefix -%s", type(target).__name__, self.prefix)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc_info: object) -> None:
        self.close()

    @property
    def prefix(self) -> str:
        """Prefix of the user's object, possibly empty."""
        return self.target.getOptionsPrefix() or ""

    # Space
    @property
    def n_owned(self) -> int:
        """Number of values that this rank owns."""
        return int(self._initial.size)

    def initial_state(self) -> Array:
        """Return a copy of what the vector of the unknown held when the solver was made."""
        return self._initial.copy()

    def vector(self) -> Any:
        """Return a new vector of the layout of the unknown; the caller destroys it (collective)."""
        return self._x.duplicate()

    def coordinates(self) -> Array:
        """Return where the owned values live, shape `(n_owned, d)`; with components `(n_owned, d + 1)`."""
        if self._coordinates is not None:
            return self._coordinates
        dm = self.target.getDM()
        if dm is None or dm.getType() != "da" or dm.getCoordinates() is None:
            return super().coordinates()
        places = np.asarray(dm.getCoordinates().array_r).reshape(-1, dm.getDimension())
        components = dm.getDof()
        if components == 1:
            return places.copy()
        index = np.tile(np.arange(components, dtype=float), len(places))
        return np.column_stack([np.repeat(places, components, axis=0), index])

    def unfit(self, transaction: Transaction, dt: float) -> str:
        """Return why this solver cannot take such transactions, empty when it can (not collective)."""
        if self._closed:
            return f"solver {self.name!r} was closed; make a new one, or do all work within its `with` block"
        return ""

    # Solving
    def solve(
        self, x0: Array | None = None, parameters: Mapping[str, Any] | None = None, *, raise_on_failure: bool = True
    ) -> SolveResult:
        """Solve a steady problem from `x0`, by default the initial state (collective).

        Raises:
            NotConvergedError: PETSc's reason is negative; carries its name. Not with `raise_on_failure=False`.
            RankFaultError: A callback failed on some rank; on every rank.
        """
        result = self.step(Query(self.initial_state(), parameters=parameters or {}, transaction="solve"), x0)
        if raise_on_failure and not result.converged:
            raise NotConvergedError(
                f"solver {self.name!r} with the prefix {self.prefix!r} did not converge: {result.reason} after "
                f"{result.iterations} iterations. Monitor it with -{self.prefix}{self._kind()}_monitor, and allow more "
                "iterations or choose another preconditioner",
                reason=result.reason,
            )
        return result

    def _kind(self) -> str:
        return type(self.target).__name__.lower()

    # Measuring
    def residual(self, query: Query, candidate: Array) -> Array:
        """Return the owned values of the residual at `candidate`, in memory of their own (collective)."""
        self._evaluate(query, candidate)
        values: Array = self._f.array_r.copy()
        return values

    def measure(self, query: Query, candidate: Array) -> ResidualMeasure:
        """Measure the unpreconditioned residual at `candidate` beside the absolute tolerance (collective).

        Raises:
            RankFaultError: A callback failed on a rank; raised on every rank.
        """
        tolerance = self.tolerance(query)
        return ResidualMeasure({"residual": self._evaluate(query, candidate)}, {"residual": tolerance})

    def tolerance(self, query: Query) -> float:
        """Return the absolute tolerance for `query` (collective)."""
        raise NotImplementedError

    def _evaluate(self, query: Query, candidate: Array) -> float:
        """Compute the residual into `self._f` and return its norm (collective)."""
        self._meet(query)
        self._load(query)
        with placed(self._x, candidate, self.copies):
            self._compute_residual(query, self._x, self._f)
        norm = float(self._f.norm())
        if not np.isfinite(norm):
            self._raise_faults(query, f"the residual of solver {self.name!r}")
        return norm

    def _compute_residual(self, query: Query, x: Any, f: Any) -> None:
        """Compute the residual of `query` at `x` into `f` (collective)."""
        raise NotImplementedError

    def _load(self, query: Query) -> None:
        """Let the user set what depends on a query, once for each (collective)."""
        if self.update is not None and self._loaded is not query:
            update = self.update
            Consensus(self.comm).run(f"update of solver {self.name!r}", query.step, lambda: update(query))
        self._loaded = query

    # Faults
    def _meet(self, query: Query) -> None:
        """Learn of a rank whose own code failed before PETSc communicates and would wait for it (collective)."""
        why = self.unfit(query.transaction, query.dt)
        if why:
            raise BadInputError(f"{why}.")
        if self.comm.Get_size() > 1:
            self.comm.Barrier()

    def _raise_faults(self, query: Query, what: str) -> None:
        """Raise on every rank what a rank keeps of its callbacks (collective)."""
        self.callbacks.known.forget()
        try:
            Consensus(self.comm).run(what, query.step, self.faults.raise_kept)
        except RankFaultError:
            self.recover()
            raise

    def recover(self) -> None:
        """Forget what a fault has spoilt, so that the next solve starts afresh (collective)."""
        self.callbacks.known.forget()

    def _failed(self, query: Query, reason: str, iterations: int = 0, linear: int = 0) -> SolveResult:
        """Return a solve that did not converge, or raise what a callback had raised (collective)."""
        self._raise_faults(query, f"a PETSc callback of solver {self.name!r}")
        return SolveResult(query.state.copy(), False, reason, iterations, linear)

    # Options and end
    def unused_options(self) -> list[str]:
        """Return PETSc options with the object's prefix that nobody has read so far (not collective).

        With an empty prefix these are all options of the process that nobody has read.
        """
        return petsc_database.unused(self.prefix)

    def close(self) -> None:
        """Give the object back as it was but for its options, and free what is ours (collective). Idempotent."""
        if self._closed:
            return
        self._closed = True
        # With an empty prefix the options that are left belong to anybody.
        left = petsc_options.not_told(self.unused_options()) if self.prefix else []
        if left and self.comm.Get_rank() == 0:
            logger.warning("PETSc options of the prefix -%s that nobody used: %s", self.prefix, ", ".join(left))
        self._give_back()
        self.callbacks.restore()
        self._free()
        self._x.destroy()
        self._f.destroy()
        self.comm.Free()

    def _give_back(self) -> None:
        """Set the tolerances of the user's object again."""

    def _free(self) -> None:
        """Free what a subclass holds beside; the user's object comes last (collective)."""
