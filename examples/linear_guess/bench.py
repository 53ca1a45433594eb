"""`cosolve bench linear-guess`: sequences of solves from learned starts against the best fixed classical guess."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable
from contextlib import ExitStack
from typing import Any, Final

import cosolve
import numpy as np
from cosolve.core.arrays import Array
from cosolve.core.bench import BenchReport
from cosolve.core.governor import Governor
from cosolve.core.query import Query
from cosolve.core.surrogate import Surrogate
from cosolve.examples.linear_guess.sequences import (
    KINDS,
    DiffusionGrid,
    Step,
    petsc_options,
    sequence,
    training_steps,
)
from cosolve.examples.linear_guess.starts import BasisSurrogate, Extrapolation, GovernedProjection, Method
from cosolve.plugins.petsc import EnergyProjection, KspSolver
from petsc4py import PETSc

OURS: Final = "projection + surrogate, governed"
_RTOL: Final = 1e-8
_GUESSES: Final = {
    "PETSc fischer 5": {"ksp_guess_type": "fischer", "ksp_guess_fischer_model": "1,5"},
    "PETSc fischer 20": {"ksp_guess_type": "fischer", "ksp_guess_fischer_model": "1,20"},
    "PETSc pod 5": {"ksp_guess_type": "pod", "ksp_guess_pod_size": "5"},
    "PETSc pod 20": {"ksp_guess_type": "pod", "ksp_guess_pod_size": "20"},
}


def bench(*, quick: bool, seed: int, progress: Callable[..., Any] | None = None) -> BenchReport:
    """Solve three sequences from all starts, interleaved (CPU time; serial).

    Args:
        quick: Sequences of 100 solves instead of 400.
        seed: Of training solves, sequences and bootstrap.
        progress: Unused: the bench takes minutes.
    """
    return compare(128, 100 if quick else 400, 250, seed)


def compare(cells: int, count: int, training: int, seed: int) -> BenchReport:
    """Compare the starts on grids of `cells` x `cells`, with sequences of `count` solves and as many for training."""
    cases: list[dict[str, Any]] = []
    regrets: dict[str, tuple[float, float, float]] = {}
    judged = above = oracle_judged = 0
    oracle: tuple[int, int] = (0, 0)
    for kind in KINDS:
        random = np.random.default_rng([seed, KINDS.index(kind)])
        with ExitStack() as stack:
            grid = DiffusionGrid(cells, kind)
            solver = _solver(grid, f"linear_guess_{KINDS.index(kind)}_", {}, stack)
            surrogate, training_seconds = _trained(grid, solver, training_steps(training, random))
            fischer = _solver(grid, "linear_guess_ours_", _GUESSES["PETSc fischer 20"], stack, solver.ksp.getPC())
            ours = GovernedProjection(OURS, solver, fischer, surrogate, 5)
            methods = [*_rivals(grid, solver, stack, KINDS.index(kind)), ours]
            steps = sequence(kind, count, random)
            answers = _run(grid, methods, ours, steps)
            if kind == KINDS[1]:
                oracle = _oracle(grid, solver, steps, answers)
                oracle_judged = len(steps)
        totals = {method.name: sum(method.seconds) for method in methods}
        best = min((method for method in methods if method is not ours), key=lambda method: totals[method.name])
        regret, upper = _ratio(ours.seconds, best.seconds, random)
        charged = (totals[OURS] + training_seconds) / totals[best.name]
        regrets[kind] = regret, upper, charged
        judged, above = judged + ours.asked, above + ours.above
        for method in methods:
            cases.append(
                {
                    "sequence": kind,
                    "start": method.name,
                    "iterations_median": statistics.median(method.iterations),
                    "iterations_total": sum(method.iterations),
                    "ms_median": 1e3 * statistics.median(method.seconds),
                    "seconds_total": totals[method.name],
                    "over_best_fixed": totals[method.name] / totals[best.name],
                    "surrogate_asked": ours.asked if method is ours else 0,
                    "training_seconds": training_seconds if method is ours else 0.0,
                }
            )
    worst = max(regrets, key=lambda kind: regrets[kind][1])
    metrics = {
        "worst_regret": regrets[worst][1],
        "worst_regret_mean": regrets[worst][0],
        "worst_regret_sequence": worst,
        "regret": {kind: found[0] for kind, found in regrets.items()},
        "regret_upper": {kind: found[1] for kind, found in regrets.items()},
        "ratio_training_charged": {kind: found[2] for kind, found in regrets.items()},
        "judged": judged,
        "oracle_judged": oracle_judged,
        "oracle_wins": oracle[0] / max(oracle[1], 1),
        "oracle_tournaments": oracle[1],
        "energy_above_projection": above,
        "solves_per_sequence": count,
    }
    return BenchReport(
        "linear-guess",
        metrics,
        cases,
        {
            "worst_regret": "<= 1.05",
            "judged": ">= 100",
            "oracle_wins": ">= 0.9",
            "energy_above_projection": "== 0",
        },
        (
            "Regret is the CPU time of ours over that of the fixed classical guess which was best on this very "
            "sequence, chosen after the fact: start, solve and learning from the solution; the metric is the upper end "
            "of a bootstrap interval of 95 % over blocks of five solves, of the worst sequence.",
            "Training (solves, POD and ridge) is not in the regret, and is in ratio_training_charged.",
            "The set-up of the multigrid is the same for all and not in the times, which would only hide regret.",
            "All solve by CG with algebraic multigrid to 1e-8 of the norm of the right-hand side, whatever the start.",
            "Ours is PETSc's fischer guess of size 20, and where the governor asks the surrogate, projection over 5 "
            "solutions that it joins. judged counts the solves in which our surrogate joined; the oracle's tournaments "
            "are counted apart. energy_above_projection compares those solves with that projection over 5 solutions. "
            "There is no cavity among the sequences.",
            "The oracle is the solution itself, in the tournament of the coupling initial_guess after each jump.",
        ),
    )


def _solver(grid: DiffusionGrid, prefix: str, options: dict[str, Any], stack: ExitStack, pc: Any = None) -> KspSolver:
    ksp = PETSc.KSP().create(PETSc.COMM_SELF)
    ksp.setOptionsPrefix(prefix)
    ksp.setOperators(grid.matrix)
    ksp.setType("cg")
    if pc is None:
        ksp.getPC().setType("hypre" if PETSc.Sys.hasExternalPackage("hypre") else "gamg")
    else:
        ksp.setPC(pc)
    petsc_options(prefix, options)
    return stack.enter_context(KspSolver(ksp, grid.b, rtol=_RTOL))


def _rivals(grid: DiffusionGrid, solver: KspSolver, stack: ExitStack, number: int) -> list[Method]:
    """Return the classical methods, all with the multigrid of `solver`."""
    methods = [
        Method("zero", solver),
        Method("previous", solver, Extrapolation(0)),
        Method("quadratic extrapolation", solver, Extrapolation(2)),
        Method("projection 5", solver, EnergyProjection(5)),
        Method("projection 20", solver, EnergyProjection(20)),
    ]
    for index, (name, options) in enumerate(_GUESSES.items()):
        own = _solver(grid, f"linear_guess_{number}_{index}_", options, stack, solver.ksp.getPC())
        methods.append(Method(name, own))
    return methods


def _query(solver: KspSolver, step: Step, index: int) -> Query:
    return Query(solver.initial_state(), step=index, transaction="solve", parameters={"place": step.parameters})


def _trained(grid: DiffusionGrid, solver: KspSolver, steps: list[Step]) -> tuple[BasisSurrogate, float]:
    """Return the surrogate and the CPU seconds of its training, solves included."""
    begin = time.process_time()
    solutions = []
    for index, step in enumerate(steps):
        grid.set(step)
        solutions.append(solver.step(_query(solver, step, index)).value)
    surrogate = BasisSurrogate(np.array([step.parameters for step in steps]), np.array(solutions))
    return surrogate, time.process_time() - begin


def _run(grid: DiffusionGrid, methods: list[Method], ours: GovernedProjection, steps: list[Step]) -> list[Array]:
    """Solve each step by all methods in turn; return the answers."""
    answers = []
    for index, step in enumerate(steps):
        grid.set(step)
        ours.solver.ksp.setUp()  # set-up of the multigrid: the same for all, not timed
        turn = index % len(methods)  # who goes first changes
        for method in methods[turn:] + methods[:turn]:
            query = _query(method.solver, step, index)
            result = method.solve(query)
            if not result.converged:
                raise cosolve.NotConvergedError(f"{method.name} did not converge: {result.reason}")
            if method is ours:
                answers.append(result.value)
                ours.check(query, result.value)
    return answers


def _oracle(grid: DiffusionGrid, solver: KspSolver, steps: list[Step], answers: list[Array]) -> tuple[int, int]:
    """Return how many tournaments after a jump the solution itself wins, and how many there are."""
    wins = jumps = 0
    known = {step.parameters.tobytes(): answer for step, answer in zip(steps, answers, strict=True)}

    def oracle(parameters: Any) -> Array:
        return known[np.asarray(parameters["place"]).tobytes()]

    proposers: list[Surrogate | Callable[[Any], Array]] = [oracle, Extrapolation(0), EnergyProjection(20)]
    with cosolve.initial_guess(solver, proposers, governor=Governor("off")) as guess:
        for step in steps:
            grid.set(step)
            source = guess.solve({"place": step.parameters}).source
            wins, jumps = wins + (step.jumped and source.startswith("own")), jumps + step.jumped
    return wins, jumps


def _ratio(ours: list[float], best: list[float], random: np.random.Generator) -> tuple[float, float]:
    """Return the ratio of the totals and the upper end of its bootstrap interval, over blocks of five solves."""
    blocks = np.array([(sum(ours[i : i + 5]), sum(best[i : i + 5])) for i in range(0, len(ours), 5)])
    drawn = blocks[random.integers(0, len(blocks), (2000, len(blocks)))].sum(axis=1)
    return float(blocks[:, 0].sum() / blocks[:, 1].sum()), float(np.quantile(drawn[:, 0] / drawn[:, 1], 0.975))
