"""Starts of a full solve: who is asked, whose residual is smallest, and the solve from there."""

from __future__ import annotations

import math
from dataclasses import dataclass

from cosolve.core.arrays import Array
from cosolve.core.asking import Asking, Trial
from cosolve.core.governor import Asked, Governor
from cosolve.core.ladder import Failed, Ladder
from cosolve.core.prediction import Prediction
from cosolve.core.solver import Solver, SolveResult
from cosolve.core.surrogate import Surrogate
from cosolve.core.tournament import PREVIOUS, Tournament
from cosolve.core.transaction import OpenTransaction
from cosolve.core.verdict import Decision, Grade, Verdict
from cosolve.core.verifier import Verifier


@dataclass(frozen=True, slots=True)
class Found:
    """A solution that a start led to.

    Attributes:
        value: Owned values in memory of their own.
        source: Who gave the start.
        verdict: The verdict that decided: of the tournament, or of the branch check.
        solve: The solve.
    """

    value: Array
    source: str
    verdict: Verdict
    solve: SolveResult


class Starts:
    """The part of a session that serves the mode `initial_guess`.

    Args:
        solver: Measures the starts.
        asking: Asks proposers and judges.
        ladder: Solves.
        transaction: Rolls back.
        tournament: Remembers who won.
    """

    def __init__(
        self, solver: Solver, asking: Asking, ladder: Ladder, transaction: OpenTransaction, tournament: Tournament
    ) -> None:
        self._solver, self._asking, self._ladder = solver, asking, ladder
        self._transaction, self._tournament = transaction, tournament

    def plan(self, trial: Trial, names: tuple[str, ...], governor: Governor) -> tuple[str, ...]:
        """Return who is asked; where nobody is, the trial says why (not collective)."""
        step = trial.query.step
        if governor.mode == "replay":
            plan = governor.plan(step, names)
        else:
            plan = self._tournament.due(names) if governor.plan(step, ("initial_guess",)) else ()
        if not plan:
            trial.chain.append(Asked("initial_guess", asked=False))
            why = governor.why("initial_guess")
            trial.notes["left_out"] = dict.fromkeys(names, "losses" if why == "on" else why)
        return plan

    def best(
        self, trial: Trial, proposers: tuple[Surrogate, ...], plan: tuple[str, ...]
    ) -> tuple[str, Array | None, Verdict]:
        """Ask, impose the boundary conditions, measure, and rank (collective).

        Returns:
            The winner's name, its start, and the verdict; no start where none could be used.
        """
        if len(proposers) == 1 and proposers[0].covers:
            return self._only(trial, proposers[0])
        # A solver that continues from somewhere safe is not sent off from the last state, unless that was proposed. Nor
        # may it beat a proposal: near a stiff solution a residual can be larger than far away from it, at rest.
        own = not self._solver.continues and all(proposer.name != PREVIOUS for proposer in proposers)
        starts = {PREVIOUS: trial.query.state} if own else {}
        for proposer in proposers:
            if proposer.name in plan:
                prediction = self._asking.ask(proposer, trial)
                if prediction is not None:
                    starts[proposer.name] = prediction.value
        starts = {name: self._asking.conditioned(start, trial) for name, start in starts.items()}
        ratios = {name: self._asking.measure(start, trial) for name, start in starts.items()}
        best = self._tournament.winner(ratios)
        trial.notes["ratios"] = ratios
        verdict = Verdict(
            Decision.REJECT if best == PREVIOUS else Decision.CORRECT,
            Grade.CERTIFIED,
            ratios.get(best, float("inf")),
            ratios.get(PREVIOUS, float("inf")),
            f"of {len(ratios)} starts {best!r} has the smallest residual; the solve from it meets the solver's test",
            "tournament",
            trial.cost.verify,
        )
        self._asking.note(trial, best, verdict)
        return best, starts.get(best), verdict

    def _only(self, trial: Trial, proposer: Surrogate) -> tuple[str, Array | None, Verdict]:
        """Ask the one that has chosen among all starts already: nothing is left to rank (collective)."""
        prediction = self._asking.ask(proposer, trial)
        start = None if prediction is None else self._asking.conditioned(prediction.value, trial)
        verdict = Verdict(
            Decision.REJECT if start is None else Decision.CORRECT,
            Grade.CERTIFIED,
            math.nan,
            math.nan,
            f"{proposer.name!r} has chosen among all starts; the solve from it meets the solver's test",
            "tournament",
            0.0,
        )
        self._asking.note(trial, proposer.name, verdict)
        return proposer.name, start, verdict

    def solve(
        self,
        trial: Trial,
        best: str,
        start: Array,
        verdict: Verdict,
        branch: Verifier | None,
        max_iterations: int | None,
    ) -> Found | None:
        """Solve from the winner (collective); None when that fails or `branch` rejects what it finds."""
        # The last state of a solver that has nothing safer: a whole solve, as without any proposal.
        own = best == PREVIOUS and not self._solver.continues
        solved = self._ladder.solve_from(trial.query, start, trial.cost, None if own else max_iterations)
        if isinstance(solved, Failed):
            trial.notes.setdefault("failures", []).append(f"solve from {best!r}: {solved.why}")
            return None
        value = self._transaction.own(solved.value)
        if branch is not None and not own:
            shown = Prediction(self._transaction.own(value), best)
            judged = self._asking.judge_by(branch, best, shown, trial)
            if judged.decision is Decision.REJECT:
                trial.notes.setdefault("failures", []).append(f"solve from {best!r}: {judged.reason}")
                self._transaction.roll_back(proposers=False)
                return None
            verdict = judged
        return Found(value, "solver" if own else f"{best}+solve", verdict, solved)
