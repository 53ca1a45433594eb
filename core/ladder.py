"""The bounded ladder of fallbacks: correct, step from the last accepted state, smaller steps, stop."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

from cosolve.core.arrays import Array
from cosolve.core.consensus import Consensus
from cosolve.core.errors import RankFaultError
from cosolve.core.outcome import StepCost
from cosolve.core.petsc_log import section
from cosolve.core.query import Query, Snapshot
from cosolve.core.result import Status
from cosolve.core.solver import Solver, SolveResult
from cosolve.core.transaction import ContractError, OpenTransaction, check_values
from cosolve.core.watchdog import Heartbeat

# A corrected value whose own residual is known must meet the tolerance; the slack is for rounding of the ratio.
_MET = 1.0 + 1e-9


@dataclass(frozen=True, slots=True)
class LadderEnd:
    """Where the ladder ended.

    Attributes:
        solve: The solve whose value holds; None when no rung held.
        rung: "step", "smaller steps" or "stopped".
        parts: Number of smaller steps, 1 for a whole one.
        status: `SUCCESS`, `NOT_CONVERGED`, or `FAULT` when every rung failed by a fault.
        failures: A sentence for each rung that did not hold.
    """

    solve: SolveResult | None
    rung: str
    parts: int
    status: Status
    failures: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Failed:
    """A solve that does not hold: why, and whether code failed (rather than not converged)."""

    why: str
    fault: bool = False


class Ladder:
    """Climbs from the last accepted state; each rung is agreed on over the ranks.

    Args:
        solver: The classical solver.
        consensus: Agrees over the ranks.
        transaction: Restores state and memory before each rung.
        smallest_step_fraction: Smallest step as a fraction of the query's; 1 allows none but the whole step.
        deadline_seconds: A solve that takes longer on some rank counts as failed; None for no deadline.
        heartbeat: Told ahead of each solve that the run is alive; None tells nobody.
    """

    def __init__(
        self,
        solver: Solver,
        consensus: Consensus,
        transaction: OpenTransaction,
        *,
        smallest_step_fraction: float,
        deadline_seconds: float | None,
        heartbeat: Heartbeat | None = None,
    ) -> None:
        self._heartbeat = heartbeat
        self._solver = solver
        self._consensus = consensus
        self._transaction = transaction
        self._smallest = smallest_step_fraction
        self._deadline = deadline_seconds
        self._label = f"solver {solver.name!r}"

    def correct(self, query: Query, start: Array, max_iterations: int, cost: StepCost) -> SolveResult | Failed:
        """Correct a proposal by at most `max_iterations` iterations (collective).

        Returns:
            The result, or why it does not hold; the solver's memory is rolled back then.
        """
        solved = self._solve(lambda: self._solver.correct(query, start, max_iterations), query, "correct")
        cost.correct += self._consensus.seconds
        if isinstance(solved, SolveResult) and solved.residual > _MET:
            solved = Failed(f"after the correction the residual is still {solved.residual:.3g} of the tolerance")
        if isinstance(solved, Failed):
            self._transaction.roll_back(proposers=False)
        return solved

    def solve_from(
        self, query: Query, start: Array, cost: StepCost, max_iterations: int | None = None
    ) -> SolveResult | Failed:
        """Solve to the tolerance from a proposed start, by at most `max_iterations` iterations (collective).

        Returns:
            The result, or why it does not hold; the solver's memory is rolled back then.
        """

        def solve() -> SolveResult:
            if max_iterations is None:
                return self._solver.step(query, start)
            return self._solver.correct(query, start, max_iterations)

        solved = self._solve(solve, query)
        cost.solve += self._consensus.seconds
        if isinstance(solved, Failed):
            self._transaction.roll_back(proposers=False)
        return solved

    def climb(self, query: Query, cost: StepCost) -> LadderEnd:
        """Step classically from the last accepted state, by smaller steps if need be (collective).

        Args:
            query: The question.
            cost: Where the seconds are added.
        """
        solved = self._solve(lambda: self._solver.step(query), query)
        cost.solve += self._consensus.seconds
        if isinstance(solved, SolveResult):
            return LadderEnd(solved, "step", 1, Status.SUCCESS, ())
        failures = [f"step: {solved.why}"]
        all_faults = solved.fault
        parts = 2
        # A solve in a sequence has a place in it, but there is nothing half-way.
        while query.transaction == "step" and query.dt > 0.0 and 1.0 / parts >= self._smallest:
            self._transaction.roll_back(proposers=False)
            solved = self._small_steps(query, parts, cost)
            if isinstance(solved, SolveResult):
                return LadderEnd(solved, "smaller steps", parts, Status.SUCCESS, tuple(failures))
            failures.append(f"{parts} smaller steps: {solved.why}")
            all_faults = all_faults and solved.fault
            parts *= 2
        self._transaction.roll_back(proposers=False)
        status = Status.FAULT if all_faults else Status.NOT_CONVERGED
        return LadderEnd(None, "stopped", 0, status, tuple(failures))

    def _small_steps(self, query: Query, parts: int, cost: StepCost) -> SolveResult | Failed:
        """Cover the interval by `parts` equal steps; all of them hold, or none."""
        state, t, history = query.state, query.t, query.history
        iterations = linear_iterations = 0
        solved: SolveResult | Failed = Failed("no step was taken")
        for part in range(parts):
            t_next = query.t + query.dt * (part + 1) / parts
            small = replace(query, state=state, t=t, dt=t_next - t, history=history)
            solved = self._solve(self._stepping(small), small)
            cost.solve += self._consensus.seconds
            if isinstance(solved, Failed):
                return Failed(f"part {part + 1} of {parts}: {solved.why}", solved.fault)
            iterations += solved.iterations
            linear_iterations += solved.linear_iterations
            history = (Snapshot(t, state), *history)
            state, t = self._transaction.own(solved.value), t_next
            solved = replace(solved, value=state, iterations=iterations, linear_iterations=linear_iterations)
        return solved

    def _stepping(self, query: Query) -> Callable[[], SolveResult]:
        return lambda: self._solver.step(query)

    def _solve(self, solve: Callable[[], SolveResult], query: Query, part: str = "solve") -> SolveResult | Failed:
        """Run one solve as a section; return the result, or why it does not hold."""

        def checked() -> SolveResult:
            with section(part):
                result = solve()
            if self._transaction.repair():
                raise ContractError("it changed the state it was given in place; the state was restored")
            if result.converged:
                check_values(result.value, query.state, "the state it returned")
            return result

        consensus = self._consensus
        if self._heartbeat is not None:
            self._heartbeat.beat()
        try:
            result = consensus.run(
                self._label, query.step, checked, deadline_seconds=self._deadline, vote=_not_converged
            )
        except RankFaultError as fault:
            return Failed(str(fault), fault=True)
        if consensus.vote > 0.0:
            reason = f" ({result.reason})" if result.reason else ""
            return Failed(f"did not converge within {result.iterations} iterations{reason}")
        return result


def _not_converged(result: SolveResult) -> float:
    return 0.0 if result.converged else 1.0
