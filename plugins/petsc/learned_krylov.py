"""A learned preconditioner inside a KSP's solves: flexible outside, watched, and given up at a bounded loss.

1. A governor decides whether the surrogate is asked in this solve. If not, the user's KSP solves as it always did.
2. A flexible Krylov method, never the user's CG or GMRES, runs with base preconditioner and proposals combined.
3. Each iteration is compared, by counted work, with what the base method would have reached: see `LossLimit`.
4. The true residual `b - A x` decides. Where it is not below the tolerance, for whatever reason (stagnation, a loss, a
   fault on any rank), the user's own KSP goes on from the best iterate, or from the first start where the iterate is
   not worth that. The norm of updates is never looked at.
"""

from __future__ import annotations

import math
import statistics
import time
from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any, Final, get_args

import numpy as np
from cosolve.core import petsc_database
from cosolve.core.arrays import Array
from cosolve.core.consensus import Consensus
from cosolve.core.errors import BadInputError, RankFaultError
from cosolve.core.governor import Asked, Governor
from cosolve.core.query import Query
from cosolve.core.solver import SolveResult
from cosolve.core.surrogate import Surrogate
from cosolve.plugins.petsc.coarse_space import CoarseSpace
from cosolve.plugins.petsc.flexible import SYMMETRIC, FlexibleMethods
from cosolve.plugins.petsc.ksp import NO_LIMIT, KspSolver
from cosolve.plugins.petsc.learned_pc import Combine, LearnedPc
from cosolve.plugins.petsc.loss_limit import LossLimit, Prices
from cosolve.plugins.petsc.probing import Probe, probe
from cosolve.plugins.petsc.vectors import placed
from mpi4py import MPI
from petsc4py import PETSc

_WORTH: Final = 0.25
"""An iterate that is not this share of the way to the tolerance is no better start for the base method than the first:
its error is rough, and a Krylov method may take longer from it."""

_WITH_THE_OTHERS: Final = 2.0
"""Products with the operator that a mode of a coarse space costs, its inner products with all others included."""

_FORGETS: Final = 0.8


@dataclass(slots=True)
class _Attempt:
    """What is known of the learned part of one solve."""

    value: Array
    norm: float
    work: float
    iterations: int
    why: str
    set_up: bool


class LearnedKrylov:
    """Solves by a KSP whose preconditioner a surrogate betters, while that pays; made by `KspSolver.precondition`.

    The outer method has the user's prefix with `learned_` behind: `-<prefix>learned_ksp_type gcr`,
    `-<prefix>learned_ksp_monitor`. A type that is not flexible is replaced, and the record says so.

    Args:
        solver: The user's KSP.
        proposer: Proposes a correction for each residual, given as `Query.state`. Learns from solutions by `observe`.
        combine: How proposal and base preconditioner are combined; `replace` needs no base preconditioner, and does
            not set it up.
        inner: A PC to use in its place, set up with operators of its own (one that was set up once and for all, say);
            None for the KSP's own.
        governor: Decides whether the surrogate is asked; by default one that measures.
        loss_share: What may be lost in one solve before the base method takes over, as a share of a base solve.
        patience: Iterations with hardly any progress after which it takes over while its own cost is unknown.
        restart: Directions that the outer method keeps; None for those of the user's GMRES, or 50.
        prices: Seconds of `base setup`, `base iteration` and `learned iteration` (without the proposal, whose time
            always counts as measured) for decisions that are the same in each run; None measures them.
        seed: Of the probing vectors.

    Attributes:
        verdict: The last probe of the corrections; None before the first.

    Raises:
        BadInputError: A setting has no meaning for this KSP.
    """

    def __init__(
        self,
        solver: KspSolver,
        proposer: Surrogate,
        *,
        combine: Combine = "correct",
        inner: Any = None,
        governor: Governor | None = None,
        loss_share: float = 0.1,
        patience: int = 20,
        restart: int | None = None,
        prices: Mapping[str, float] | None = None,
        seed: int = 0,
    ) -> None:
        _check(solver, combine, inner, loss_share, patience)
        self.solver, self.proposer, self.combine, self.inner = solver, proposer, combine, inner
        self.governor = Governor() if governor is None else governor
        self.verdict: Probe | None = None
        self._share, self._patience, self._seed = loss_share, patience, seed
        self._consensus = Consensus(solver.comm)
        self._pc = LearnedPc(proposer, combine, self._consensus, solver.product, solver.copies)
        self._prices = Prices(prices)
        self._base: deque[float] = deque(maxlen=9)
        self._state = -1
        self._asked = 0
        self._methods = FlexibleMethods(solver, self._pc, self._test, restart)
        self._x, self._r = solver.vector(), solver.vector()
        self._limit: LossLimit | None = None
        self._why = ""
        self._tolerance = self._prepared = self._preparation = 0.0
        self._per_iteration = 0.0
        self._consensus.run(f"surrogate {proposer.name!r}", 0, lambda: proposer.bind(solver))

    def close(self) -> None:
        """Free the outer methods (collective); the surrogate stays open."""
        self._methods.close()
        self._x.destroy()
        self._r.destroy()

    def solve(self, query: Query, value: Array, tolerance: float) -> SolveResult:
        """Solve from `value`, which may be overwritten, to an absolute tolerance of `||b - A x||` (collective).

        Raises:
            RankFaultError: The base method itself failed; on every rank.
            InterruptedRunError: Ctrl-C fell into a proposal; on every rank.
        """
        name = self.proposer.name
        plan = self.governor.plan(query.step, (name,))
        if not plan:
            result, work = self._solve_classically(query, value, tolerance)
            notes: dict[str, Any] = {"plan": [], "left_out": self.governor.why(name)}
            chain = [Asked(name, asked=False)]
            if result.converged:
                self._base.append(work)
        else:
            result, work, notes, chain = self._solve_learned(query, value, tolerance)
        # A solve that failed says nothing of what solves cost.
        events = self.governor.record(chain, work) if result.converged else []
        if events:
            notes["governor"] = events
        if result.converged:
            self._observe(query, result.value, notes)
        return replace(result, notes={**result.notes, **notes, "work_seconds": work})

    # The base method
    def _solve_classically(self, query: Query, value: Array, tolerance: float) -> tuple[SolveResult, float]:
        """Solve by the user's KSP; return its result and its counted work (collective)."""
        new = self._is_new()
        begin = time.perf_counter()
        self._set_up()
        middle = time.perf_counter()
        result = self.solver.solve_classically(query, value, tolerance)
        count = max(result.linear_iterations, 1)
        setup, seconds = self._agreed(middle - begin, time.perf_counter() - middle)
        if new:
            self._prices.add("base setup", setup)
        self._prices.add("base iteration", seconds, count)
        work = self._prices.of("base setup") * new + self._prices.of("base iteration") * count
        return result, work

    def _is_new(self) -> bool:
        """Return whether the KSP's preconditioner waits for a set-up (not collective, the same on every rank)."""
        return int(self.solver.ksp.getOperators()[-1].stateGet()) != self._state

    def _set_up(self) -> None:
        try:
            self.solver.set_up()
        except PETSc.Error:
            return  # the solve fails with it, and is told by name
        self._state = int(self.solver.ksp.getOperators()[-1].stateGet())

    # The learned one
    def _solve_learned(
        self, query: Query, value: Array, tolerance: float
    ) -> tuple[SolveResult, float, dict[str, Any], list[Asked]]:
        self._asked += 1
        new = self._is_new()
        begin = time.perf_counter()
        first = self._norm(value)
        (seconds,) = self._agreed(time.perf_counter() - begin)
        self._prices.add("product", seconds)
        notes: dict[str, Any] = {"plan": [self.proposer.name]}
        if first <= tolerance:
            found = _Attempt(value, first, 0.0, 0, "", not new)
        else:
            found = self._attempt(query, value, first, tolerance, new, notes)
        if self._pc.interruption is not None:
            raise self._pc.interruption
        told = notes["preconditioner"] = {
            **notes.pop("outer", {}),
            "combine": self.combine,
            "iterations": found.iterations,
            "proposals": self._pc.asked,
            "first": first,
            "reached": found.norm,
            **({"gave_up": found.why} if found.why else {}),
            **({"probe": self.verdict.as_record()} if self.verdict is not None else {}),
        }
        name = self.proposer.name
        if found.norm <= tolerance:
            ratio = found.norm / tolerance if tolerance > 0.0 else 0.0
            reason = f"the true residual is below the tolerance, after proposals of {name!r}"
            result = SolveResult(found.value, True, reason, 1, found.iterations, ratio, notes={"tolerance": tolerance})
            return result, found.work, notes, [Asked(name, True, found.work)]
        shortened = found.norm < first
        before = self._prices.of("base setup") * (new and found.set_up)
        result, work = self._solve_classically(query, found.value, tolerance)
        told["base_iterations"] = result.linear_iterations
        result = replace(result, linear_iterations=result.linear_iterations + found.iterations)
        # What follows measures a base solve only where the proposals had not shortened it.
        followed = not shortened
        own = found.work - before if followed else found.work + work
        return result, found.work + work, notes, [Asked(name, True, own, followed=followed, given_up=True)]

    def _attempt(
        self, query: Query, start: Array, first: float, tolerance: float, new: bool, notes: dict[str, Any]
    ) -> _Attempt:
        """Run the flexible method from a start until it ends or is given up (collective)."""
        solver, pc = self.solver, self._pc
        begin = time.perf_counter()
        inner = self.inner
        uses_own = self.combine != "replace" and inner is None
        if uses_own:
            self._set_up()
            inner = solver.ksp.getPC()
        set_up_seconds = time.perf_counter() - begin
        pc.begin(query, None if self.combine == "replace" else inner)
        base = statistics.median(self._base) if self._base else None
        setup = self._prices.of("base setup") * new
        shared = setup if uses_own else 0.0
        self._limit = LossLimit(
            base,
            shared,
            share=self._share,
            patience=self._patience,
            first=first,
            tolerance=tolerance,
        )
        self._tolerance = tolerance
        # Before the first measurement an iteration is taken to cost what one of the base method does.
        self._per_iteration = self._prices.of("learned iteration", self._prices.of("base iteration"))
        self._why = ""
        value = start.copy()
        probing = 0.0
        needed = self.proposer.products_needed if isinstance(self.proposer, CoarseSpace) else 0
        each = max(_WITH_THE_OTHERS * self._prices.of("product"), self._preparation)
        if self._limit.is_too_dear(needed * each):
            self._preparation *= _FORGETS  # so that it is measured anew one day
            self._why = f"to prepare, with {needed} products by the operator, takes about as long as a whole base solve"
        elif self._asked & (self._asked - 1) == 0 or self.verdict is None:  # at asks 1, 2, 4, 8, ..
            probing = self._probe()
        if not self._why:
            self._start(value)
        self._prepared = pc.seconds - probing
        if pc.asked and needed:
            self._preparation = self._prepared / needed
        outer, notes["outer"] = self._methods.choose(self._is_fixed())
        count, failure = 0, ""
        if not pc.fault and not self._why:
            self._why = self._limit.begin(self._prepared)
        self._prepared = pc.seconds
        if not pc.fault and not self._why:
            outer.setOperators(*solver.ksp.getOperators())
            outer.setTolerances(rtol=0.0, atol=tolerance, divtol=NO_LIMIT, max_it=solver.limit)
            try:
                with placed(self._x, value, solver.copies):
                    outer.solve(solver.b, self._x)
            except PETSc.Error as error:
                failure = f"PETSc error {error.ierr}: {petsc_database.words(error)}"
            count = int(outer.getIterationNumber())
        rest = time.perf_counter() - begin - set_up_seconds - pc.seconds
        (rest,) = self._agreed(rest)
        self._prices.add("learned iteration", rest, count)
        self._per_iteration = self._prices.of("learned iteration", self._per_iteration)
        norm = self._norm(value)
        ended = norm <= tolerance
        if not ended and (self._limit.progress(norm) < _WORTH or not self._is_better(value, norm, start, first)):
            value, norm = start, first
        why = pc.fault or failure or self._why
        if not why and norm > tolerance:
            why = f"{outer.getType()} ended, but the true residual is {norm / tolerance:.3g} times the tolerance"
        work = shared + self._prepared + self._spent(count)
        return _Attempt(value, norm, work, count, why, uses_own)

    def _start(self, value: Array) -> None:
        """Correct the start by a projection, which A-DEF2 rests on; others have no say before the first iteration."""
        if self.verdict is None or not self.verdict.is_projection or self._pc.fault:
            return
        residual = self.solver.b.array_r - self.solver.product(value)
        correction = self._pc.propose(residual)
        if correction is not None:
            value += correction

    def _probe(self) -> float:
        """Probe the corrections; return the seconds of proposals that a solve without a probe would not need."""
        solver, pc = self.solver, self._pc
        random = np.random.default_rng([self._seed, self._asked, solver.comm.Get_rank()])

        def total(local: Array) -> Array:
            result = np.empty_like(local)
            solver.comm.Allreduce(local, result)
            return result

        def proposed(residual: Array) -> Array | None:
            assert self._limit is not None
            if not self._why and self._limit.is_too_dear(pc.seconds / max(pc.asked, 1)):
                self._why = "one proposal takes about as long as a whole base solve"
            return None if self._why else pc.propose(residual)

        prepared = pc.propose(random.standard_normal(solver.n_owned))
        first = pc.seconds
        self.verdict = None if prepared is None else probe(proposed, solver.product, total, solver.n_owned, random)
        return pc.seconds - first

    def _is_fixed(self) -> bool:
        """Return whether proposals and a symmetric base make a symmetric preconditioner, as far as probes can tell."""
        verdict = self.verdict
        if verdict is None:
            return False
        if self.combine == "correct":
            return verdict.is_projection
        return verdict.is_symmetric and verdict.is_positive

    def _test(self, ksp: Any, iteration: int, norm: float) -> int:
        """Answer PETSc whether the outer method goes on; norms and prices are the same on every rank."""
        reasons = PETSc.KSP.ConvergedReason
        if norm <= self._tolerance:
            return int(reasons.CONVERGED_ATOL)
        assert self._limit is not None
        if iteration > 0 and not self._pc.fault:
            self._why = self._limit.stops(self._spent(iteration), norm)
        return int(reasons.DIVERGED_BREAKDOWN if self._pc.fault or self._why else reasons.ITERATING)

    def _spent(self, iterations: int) -> float:
        """Return the counted work of the iterations so far."""
        return iterations * self._per_iteration + self._pc.seconds - self._prepared

    # Measures
    def _norm(self, value: Array) -> float:
        """Compute `b - A x` and return its norm (collective)."""
        with placed(self._x, value, self.solver.copies):
            self.solver.ksp.getOperators()[0].mult(self._x, self._r)
        self._r.aypx(-1.0, self.solver.b)
        return float(self._r.norm())

    def _is_better(self, value: Array, norm: float, start: Array, first: float) -> bool:
        """Return whether an iterate is a better start than the first one: by its energy where there is one, else norm.

        `x . A x / 2 - b . x = -x . (b + r) / 2` falls with the error in the norm of a symmetric positive definite
        operator, while the norm of the residual may rise.
        """
        if not math.isfinite(norm):
            return False
        if norm < first or str(self.solver.ksp.getType()) not in SYMMETRIC:
            return norm < first
        local = np.array([value @ (self.solver.b.array_r + self._r.array_r), 0.0])
        self._norm(start)
        local[1] = start @ (self.solver.b.array_r + self._r.array_r)
        both = np.empty_like(local)
        self.solver.comm.Allreduce(local, both)
        return bool(both[0] > both[1])

    def _agreed(self, *seconds: float) -> tuple[float, ...]:
        """Return the longest times over the ranks (collective)."""
        mine = np.array(seconds)
        ours = np.empty_like(mine)
        self.solver.comm.Allreduce(mine, ours, MPI.MAX)
        return tuple(float(value) for value in ours)

    def _observe(self, query: Query, value: Array, notes: dict[str, Any]) -> None:
        """Show a solution to the surrogate; a fault is noted, on every rank (collective)."""
        label = f"surrogate {self.proposer.name!r}"
        kept = value.copy()
        kept.flags.writeable = False
        try:
            self._consensus.run(label, query.step, lambda: self.proposer.observe(query, kept), contained=True)
        except RankFaultError as fault:
            notes["observing_failed"] = str(fault)


def _check(solver: KspSolver, combine: str, inner: Any, share: float, patience: int) -> None:
    kinds = get_args(Combine)
    if combine not in kinds:
        raise BadInputError(f"combine must be one of {', '.join(kinds)}, found {combine!r}")
    if solver.ksp.getType() == "preonly" and combine != "replace" and inner is None:
        raise BadInputError(
            f"combine = {combine!r} corrects what the preconditioner leaves, but the KSP applies "
            f"{solver.ksp.getPC().getType()!r} once and is done; use combine = 'replace', or give a cheaper `inner`"
        )
    if not (math.isfinite(share) and share > 0.0) or patience < 1:
        raise BadInputError(f"loss_share and patience must be positive, found {share!r} and {patience!r}")
