"""The solver role: the classical method whose own measure judges every proposal."""

from __future__ import annotations

import math
import time
from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any, ClassVar

from cosolve.core.arrays import Array
from cosolve.core.communicator import Communicator
from cosolve.core.errors import BadInputError
from cosolve.core.query import Query, Transaction
from cosolve.core.verdict import Grade

if TYPE_CHECKING:
    from cosolve.core.surrogate import Surrogate


@dataclass(frozen=True, slots=True)
class ResidualMeasure:
    """Residual norms of one candidate, block by block, beside the absolute tolerances the solver itself stops at.

    Attributes:
        norms: Unpreconditioned residual norm of each block (one block named "residual" for a single field).
        tolerances: Absolute tolerance of each block, from a reference norm that does not depend on the start.
    """

    norms: Mapping[str, float]
    tolerances: Mapping[str, float]

    @property
    def ratio(self) -> float:
        """Largest norm / tolerance over the blocks: at most 1 when the solver would stop here; NaN stays NaN."""
        ratios = []
        for name, norm in self.norms.items():
            tolerance = self.tolerances[name]
            ratios.append(norm / tolerance if tolerance > 0.0 else (0.0 if norm == 0.0 else math.inf))
        if any(math.isnan(ratio) for ratio in ratios):
            return math.nan
        return max(ratios, default=math.nan)


@dataclass(frozen=True, slots=True)
class SolveResult:
    """What a classical solve returns.

    Attributes:
        value: State at the end of the query, owned values of this rank.
        converged: Whether the solver met its tolerance; the same on every rank.
        reason: The solver's own reason in words.
        iterations: Outer (Newton) iterations.
        linear_iterations: Inner (Krylov) iterations; 0 for a direct solver.
        residual: Final residual ratio (norm over tolerance), NaN where the solver does not know it.
        cost_seconds: Time on this rank, filled in by the public methods.
        notes: Small values for the ledger.
    """

    value: Array
    converged: bool
    reason: str = ""
    iterations: int = 0
    linear_iterations: int = 0
    residual: float = math.nan
    cost_seconds: float = 0.0
    notes: Mapping[str, Any] = field(default_factory=dict)


class Solver(ABC):
    """Advances or solves classically, and measures any candidate by its own residual.

    Public methods are final: they time and hand on to a protected method of the same name with an underscore. All of
    them but `memory/restore` are collective over `comm`. States are flat arrays of owned values; the solver shares
    memory with its library's vectors where it can.

    A solver must not raise on some ranks only: inside callbacks of a library a fault becomes NaN (see
    `cosolve.core.consensus`), so that the library's own reductions give the same reason everywhere.

    Attributes:
        name: Stable name, as in the ledger.
        comm: The communicator (a duplicate that the solver owns and frees in `close`).
        grade: What its own answers are worth: `CERTIFIED` where it stops by the residual of its equations, `ESTIMATED`
            where it stops by an estimate of its error (a cycle jump).
        continues: True where `step` without a start follows a path of solutions (load stepping, a sequence of
            meshes), and so is safer than an iteration from the last state.
    """

    name: ClassVar[str] = "solver"
    grade: ClassVar[Grade] = Grade.CERTIFIED
    continues: ClassVar[bool] = False
    comm: Communicator

    @property
    def parameter_names(self) -> tuple[str, ...]:
        """Names that `Query.parameters` must have, where it has any: a misspelt one would change nothing, silently."""
        return ()

    # What the space is
    @property
    @abstractmethod
    def n_owned(self) -> int:
        """Number of values that this rank owns; may be 0."""

    @abstractmethod
    def initial_state(self) -> Array:
        """Return the initial state, shape `(n_owned,)`."""

    def coordinates(self) -> Array:
        """Return where the owned values live, shape `(n_owned, d)`, in the order of the state (optional, local).

        Surrogates that carry over between meshes and partitions need it. A space of several fields or components
        appends one column that holds their index.
        """
        raise NotImplementedError(f"solver {self.name!r} does not say where its values live (`coordinates`)")

    # Solving
    def unfit(self, transaction: Transaction, dt: float) -> str:
        """Return why this solver cannot take such transactions at all, empty when it can (not collective). Optional.

        Couplings ask before the first one, so that a user reads a sentence instead of a wrong answer: a steady solver
        refuses a time loop, a closed one everything.

        Args:
            transaction: Size of the transactions.
            dt: Length of the intervals; 0 for a steady solve.
        """
        return ""

    def step(self, query: Query, x0: Array | None = None) -> SolveResult:
        """Advance `query.state` from `query.t` by `query.dt` to the solver's tolerance (collective).

        Args:
            query: The question. The solver never changes its arrays.
            x0: Start of the iteration; None for the solver's own default (the previous state).

        Returns:
            The result; `converged` is False, and nothing is raised, when the tolerance was not met.

        Raises:
            BadInputError: State or start are not the real values that this rank owns.
        """
        start = time.perf_counter()
        self._check_fits(query.state, "the state")
        if x0 is not None:
            self._check_fits(x0, "the start")
        result = self._step(query, x0)
        return replace(result, cost_seconds=time.perf_counter() - start)

    def correct(self, query: Query, x0: Array, max_iterations: int) -> SolveResult:
        """Run at most `max_iterations` nonlinear iterations from `x0` (collective).

        Returns:
            The result; `converged` tells whether the tolerance was met within them.

        Raises:
            BadInputError: State or start are not the real values that this rank owns.
        """
        start = time.perf_counter()
        self._check_fits(query.state, "the state")
        self._check_fits(x0, "the start")
        result = self._correct(query, x0, max_iterations)
        return replace(result, cost_seconds=time.perf_counter() - start)

    def _check_fits(self, values: Array, what: str) -> None:
        if values.shape != (self.n_owned,) or values.dtype.kind != "f" or not values.dtype.isnative:
            raise BadInputError(
                f"solver {self.name!r}: {what} must have shape ({self.n_owned},) and a real dtype, "
                f"got {values.shape} and {values.dtype}"
            )

    @abstractmethod
    def _step(self, query: Query, x0: Array | None) -> SolveResult:
        """Compute `step`."""

    def _correct(self, query: Query, x0: Array, max_iterations: int) -> SolveResult:
        """Compute `correct`; by default a full step from `x0`."""
        return self._step(query, x0)

    def precondition(self, proposer: Surrogate | None, **settings: Any) -> None:
        """Let a surrogate propose corrections `z` for residuals `r` in linear solves (collective). Optional.

        Each proposal is asked with `Query.state = r`. Nothing of it is trusted: the solver's own test ends a solve, and
        its own preconditioner takes over where proposals do not help. See `cosolve.couplings.preconditioner`.

        Args:
            proposer: Who proposes; None leaves the solver as it was.
            settings: Of the solver.
        """
        raise NotImplementedError(f"solver {self.name!r} has no preconditioner that a surrogate could better")

    # Measuring
    @abstractmethod
    def measure(self, query: Query, candidate: Array) -> ResidualMeasure:
        """Measure the residual of the very equations that `step` solves, at `candidate` (collective)."""

    def residual(self, query: Query, candidate: Array) -> Array:
        """Return the owned values of the residual at `candidate`, shape `(n_owned,)` (collective). Optional.

        Projections (Galerkin, least squares) need it; all else is content with `measure`. Its Euclidean inner product
        over the communicator is the one that projections minimise in.
        """
        raise NotImplementedError(f"solver {self.name!r} offers its residual's norm only, not its values")

    def conditioned(self, query: Query, candidate: Array) -> Array:
        """Return `candidate` with the boundary conditions of `query` imposed, in new memory if any value changes.

        Optional; collective. A start is made to meet them before it is measured, so that it is judged by what the
        iteration would begin with.
        """
        return candidate

    def joining(self) -> str:
        """Return the name of the registered proposer that other proposals join; empty where they compete. Optional.

        Local. Where the best start over a whole space is known, as that of a symmetric positive definite system is in
        its energy norm, a proposal joins the space, and no tournament is needed.
        """
        return ""

    def negative_directions(self, query: Query, state: Array) -> int:
        """Return the number of negative eigenvalues of the symmetric Jacobian at `state` (collective). Optional.

        Where the equations are those of an energy, a stable equilibrium has none.
        """
        raise NotImplementedError(f"solver {self.name!r} does not count negative eigenvalues of its Jacobian")

    def invariants(self, state: Array) -> Mapping[str, float]:
        """Return conserved or monotone quantities by name, e.g. mass, energy (collective)."""
        return {}

    def quantities(self, state: Array) -> Mapping[str, float]:
        """Return quantities of interest by name (collective)."""
        return {}

    def norm(self, state: Array) -> float:
        """Return the solver's norm of a state difference: L2 over the domain where there is one (collective)."""
        import numpy as np

        total = np.array(float(np.dot(state, state)))
        result = np.zeros_like(total)
        self.comm.Allreduce(total, result)
        return math.sqrt(float(result))

    # Memory beyond the state (multistep histories, adaptive step controllers)
    def memory(self) -> Mapping[str, Array]:
        """Return what a rollback must restore beside the state; empty for one-step methods."""
        return {}

    def restore(self, memory: Mapping[str, Array]) -> None:
        """Take back what `memory` returned."""

    # Restart
    def canonical_keys(self) -> Array | None:
        """Return a key for each owned value that does not depend on the ranks, see `_canonical_keys` (local)."""
        return self._canonical_keys()

    def _canonical_keys(self) -> Array | None:
        """Return a row of numbers for each owned value, shape `(n_owned, k)`, by which other ranks find it again.

        A checkpoint that was written on some ranks is read on others by these keys. They must be the same for a value
        on any number of ranks up to rounding, and differ between values by more than 1e-8 of the extent of a column:
        coordinates (the default, where `coordinates` says them), global numbers of the mesh's file, component. None
        where there are none, or where values depend on the partition (orientations of edges, say): then a restart takes
        as many ranks as before.
        """
        try:
            return self.coordinates()
        except NotImplementedError:
            return None

    def restart_memory(self) -> Mapping[str, Any]:
        """Return what a restart needs beside `memory` to go on bit for bit (local). Optional.

        Nothing of it is rolled back with a transaction: where a reused Jacobian was assembled, records of the past.
        Arrays are spread over the ranks along their last axis as the state is; anything else is a JSON value that is
        the same on every rank.
        """
        return {}

    def restart_from(self, memory: Mapping[str, Any]) -> None:
        """Take back what `restart_memory` returned, in a new process (collective)."""

    def close(self) -> None:
        """Free library objects and the duplicated communicator (collective). Idempotent."""
