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
    JUMPING,
    KINDS,
    PRESSURE,
    Solves,
    Step,
    make,
    petsc_options,
    sequence,
    training_steps,
)
from cosolve.examples.linear_guess.starts import BasisSurrogate, CoupledMethod, Extrapolation, JoinedMethod, Method
from cosolve.plugins.petsc import AdaptiveStart, EnergyProjection, KspSolver
from petsc4py import PETSc

OURS: Final = "adaptive, surrogate may join"
COUPLED: Final = "the same by the coupling"
ALWAYS: Final = "projection 20 and surrogate, always"
_RTOL: Final = 1e-8
_LOAD_MODES: Final = 12
_BLOCK: Final = 10
_SOLVES_OF_ALL: Final = 200
_TOO_SLOW: Final = 1.1
_GUESSES: Final = {
    "PETSc fischer 5": {"ksp_guess_type": "fischer", "ksp_guess_fischer_model": "1,5"},
    "PETSc fischer 20": {"ksp_guess_type": "fischer", "ksp_guess_fischer_model": "1,20"},
    "PETSc pod 5": {"ksp_guess_type": "pod", "ksp_guess_pod_size": "5"},
    "PETSc pod 20": {"ksp_guess_type": "pod", "ksp_guess_pod_size": "20"},
}


def bench(*, quick: bool, seed: int, progress: Callable[..., Any] | None = None) -> BenchReport:
    """Solve four sequences from all starts, interleaved (CPU time; serial).

    Args:
        quick: Sequences of 1500 solves instead of 3000.
        seed: Of training solves, sequences and bootstrap.
        progress: Unused: the bench takes minutes.
    """
    return compare(128, 1500 if quick else 3000, 400, seed)


def compare(cells: int, count: int, training: int, seed: int) -> BenchReport:
    """Compare the starts on grids of `cells` x `cells`, with sequences of `count` solves, `training` for training."""
    cases: list[dict[str, Any]] = []
    figures: dict[str, dict[str, float]] = {}
    judged = above = oracle_judged = 0
    oracle: tuple[int, int] = (0, 0)
    for number, kind in enumerate(KINDS):
        random = np.random.default_rng([seed, number])
        with ExitStack() as stack:
            solves = make(kind, cells)
            solver = _solver(solves, f"linear_guess_{number}_", {}, stack)
            surrogate, training_seconds = _trained(solves, kind, solver, training_steps(solves, kind, training, random))
            rivals = _rivals(solves, solver, stack, number)
            ours = JoinedMethod(OURS, solver, AdaptiveStart(20, [surrogate]))
            always = JoinedMethod(ALWAYS, solver, EnergyProjection(20, [surrogate]))
            coupled = CoupledMethod(COUPLED, solver, surrogate)
            stack.callback(coupled.close)
            methods = [*rivals, ours, always, coupled]
            steps = sequence(solves, kind, count, random)
            answers = _run(solves, methods, rivals, (ours, always), steps, keep=kind == JUMPING)
            if answers:
                oracle = _oracle(solves, solver, steps, answers)
                oracle_judged = len(steps)
        totals = {method.name: sum(method.seconds) for method in methods}
        best = min((rival for rival in rivals if len(rival.seconds) == count), key=lambda rival: totals[rival.name])
        regret, upper = _ratio(ours.seconds, best.seconds, random)
        figures[kind] = {
            "regret": regret,
            "upper": upper,
            "coupled": totals[COUPLED] / totals[best.name],
            "charged": (totals[OURS] + training_seconds) / totals[best.name],
            "always": totals[ALWAYS] / totals[best.name],
            "saved": 1.0 - _total(always, "projection 20", rivals),
        }
        judged, above = judged + ours.asked, above + ours.above + always.above
        asked = {OURS: ours.asked, ALWAYS: always.asked, COUPLED: coupled.asked}
        for method in methods:
            cases.append(
                {
                    "sequence": kind,
                    "start": method.name,
                    "iterations_median": statistics.median(method.iterations),
                    "iterations_total": sum(method.iterations),
                    "ms_median": 1e3 * statistics.median(method.seconds),
                    "solves": len(method.seconds),
                    "over_best_fixed": totals[method.name] / sum(best.seconds[: len(method.seconds)]),
                    "surrogate_asked": asked.get(method.name, 0),
                    "training_seconds": training_seconds if method.name in asked else 0.0,
                }
            )
    worst = max(figures, key=lambda kind: figures[kind]["upper"])

    def told(name: str) -> dict[str, float]:
        return {kind: found[name] for kind, found in figures.items()}

    metrics = {
        "worst_regret": figures[worst]["upper"],
        "worst_regret_mean": figures[worst]["regret"],
        "worst_regret_sequence": worst,
        "regret": told("regret"),
        "regret_upper": told("upper"),
        "regret_by_the_coupling": told("coupled"),
        "ratio_training_charged": told("charged"),
        "ratio_always_asked": told("always"),
        "iterations_saved_by_surrogate": told("saved"),
        "judged": judged,
        "oracle_judged": oracle_judged,
        "oracle_wins": oracle[0] / max(oracle[1], 1),
        "oracle_tournaments": oracle[1],
        "energy_above_projection": above,
        "solves_per_sequence": count,
    }
    targets = {
        "worst_regret": "<= 1.05",
        "judged": ">= 100",
        "oracle_wins": ">= 0.9",
        "energy_above_projection": "== 0",
    }
    return BenchReport("linear-guess", metrics, cases, targets, _NOTES)


_NOTES: Final = (
    "Regret is the CPU time of ours over that of the fixed classical guess which was best on this very sequence, "
    "chosen after the fact: start, solve and learning from the solution, studies and inference included; the metric is "
    "the upper end of a bootstrap interval of 95 % over blocks of ten solves, of the worst sequence.",
    "After 200 solves a fixed guess that has taken more than 1.1 times what the best one has is stopped; its figures "
    "are those of its own solves, over_best_fixed compares the same solves.",
    "Ours is AdaptiveStart, which the coupling initial_guess gives each KSP of conjugate gradients: zero, previous, "
    "extrapolations or projection, and the surrogate where it pays. It chooses by iterations and counted work.",
    "The same by the coupling adds transaction, agreement and record, some tenths of a millisecond a solve whatever it "
    "takes: where a solve takes one or two milliseconds that shows.",
    "Training (solves, POD and kernel) is not in the regret, and is in ratio_training_charged.",
    "The set-up of the multigrid is the same for all and not in the times, which would only hide regret.",
    "All solve by CG with algebraic multigrid to 1e-8 of the norm of the right-hand side, whatever the start.",
    "judged counts the solves in which ours asked the surrogate; the oracle's tournaments are counted apart. "
    "energy_above_projection compares each start that the surrogate joined with the same base without it, in ours and "
    "where it always joins the projection over 20 solutions.",
    "iterations_saved_by_surrogate is the share of iterations that projection 20 saves when the surrogate always "
    "joins it, ratio_always_asked the time of that over the best fixed guess.",
    "The oracle is the solution itself, in the tournament of the coupling initial_guess after each jump.",
    "The pressure solves are those of a splitting scheme for a lid-driven cavity whose lid speeds up and slows down; "
    "its surrogate learns from another run, and takes the right-hand side's own modes as parameters.",
)


def _total(one: Method, name: str, others: list[Method]) -> float:
    """Return the iterations of a method over those of another one, on the solves that both have made."""
    other = next(method for method in others if method.name == name)
    count = len(other.iterations)
    return sum(one.iterations[:count]) / max(sum(other.iterations), 1)


def _solver(solves: Solves, prefix: str, options: dict[str, Any], stack: ExitStack, pc: Any = None) -> KspSolver:
    ksp = PETSc.KSP().create(PETSc.COMM_SELF)
    ksp.setOptionsPrefix(prefix)
    ksp.setOperators(solves.matrix)
    ksp.setType("cg")
    if pc is None:
        ksp.getPC().setType("hypre" if PETSc.Sys.hasExternalPackage("hypre") else "gamg")
    else:
        ksp.setPC(pc)
    petsc_options(prefix, options)
    return stack.enter_context(KspSolver(ksp, solves.b, rtol=_RTOL))


def _rivals(solves: Solves, solver: KspSolver, stack: ExitStack, number: int) -> list[Method]:
    """Return the fixed classical methods, all with the multigrid of `solver`."""
    methods = [
        Method("zero", solver),
        Method("previous", solver, Extrapolation(0)),
        Method("linear extrapolation", solver, Extrapolation(1)),
        Method("quadratic extrapolation", solver, Extrapolation(2)),
        Method("cubic extrapolation", solver, Extrapolation(3)),
        Method("projection 5", solver, EnergyProjection(5)),
        Method("projection 20", solver, EnergyProjection(20)),
    ]
    for index, (name, options) in enumerate(_GUESSES.items()):
        own = _solver(solves, f"linear_guess_{number}_{index}_", options, stack, solver.ksp.getPC())
        methods.append(Method(name, own))
    return methods


def _query(solver: KspSolver, step: Step, index: int) -> Query:
    return Query(solver.initial_state(), step=index, transaction="solve", parameters={"place": step.parameters})


def _trained(solves: Solves, kind: str, solver: KspSolver, steps: list[Step]) -> tuple[BasisSurrogate, float]:
    """Return the surrogate and the CPU seconds of its training, solves included."""
    begin = time.process_time()
    solutions, loads = [], []
    for index, step in enumerate(steps):
        solves.set(step)
        solutions.append(solver.step(_query(solver, step, index)).value)
        if kind == PRESSURE:
            loads.append(solves.b.array_r.copy())
    if kind == PRESSURE:
        modes = np.linalg.svd(np.array(loads), full_matrices=False)[2][:_LOAD_MODES]
        surrogate = BasisSurrogate(np.array(loads) @ modes.T, np.array(solutions), load=modes)
    else:
        surrogate = BasisSurrogate(np.array([step.parameters for step in steps]), np.array(solutions))
    surrogate.bind(solver)
    return surrogate, time.process_time() - begin


def _run(
    solves: Solves,
    methods: list[Method],
    rivals: list[Method],
    joined: tuple[JoinedMethod, ...],
    steps: list[Step],
    *,
    keep: bool,
) -> list[Array]:
    """Solve each step by all methods in turn; return the answers where they are to be kept."""
    answers = []
    order = np.random.default_rng(len(steps))  # who follows whom changes: what one leaves in the caches helps the next
    for index, step in enumerate(steps):
        solves.set(step)
        joined[0].solver.ksp.getPC().setUp()  # set-up of the multigrid: the same for all, not timed
        for method in (methods[place] for place in order.permutation(len(methods))):
            result = method.solve(_query(method.solver, step, index))
            if not result.converged:
                raise cosolve.NotConvergedError(f"{method.name} did not converge: {result.reason}")
            if keep and method is joined[0]:
                answers.append(result.value)
        for one in joined:
            one.check()
        if index + 1 == _SOLVES_OF_ALL:
            methods = _still(methods, rivals)
    return answers


def _still(methods: list[Method], rivals: list[Method]) -> list[Method]:
    """Return the methods without those rivals that are too slow to become the best one."""
    least = min(sum(rival.seconds) for rival in rivals)
    return [method for method in methods if method not in rivals or sum(method.seconds) <= _TOO_SLOW * least]


def _oracle(solves: Solves, solver: KspSolver, steps: list[Step], answers: list[Array]) -> tuple[int, int]:
    """Return how many tournaments after a jump the solution itself wins, and how many there are."""
    wins = jumps = 0
    known = {step.parameters.tobytes(): answer for step, answer in zip(steps, answers, strict=True)}

    def oracle(parameters: Any) -> Array:
        return known[np.asarray(parameters["place"]).tobytes()]

    proposers: list[Surrogate | Callable[[Any], Array]] = [oracle, Extrapolation(0), EnergyProjection(20)]
    with cosolve.initial_guess(solver, proposers, governor=Governor("off")) as guess:
        for step in steps:
            solves.set(step)
            source = guess.solve({"place": step.parameters}).source
            wins, jumps = wins + (step.jumped and source.startswith("own")), jumps + step.jumped
    return wins, jumps


def _ratio(ours: list[float], best: list[float], random: np.random.Generator) -> tuple[float, float]:
    """Return the ratio of the totals and the upper end of its bootstrap interval, over blocks of solves."""
    blocks = np.array([(sum(ours[i : i + _BLOCK]), sum(best[i : i + _BLOCK])) for i in range(0, len(ours), _BLOCK)])
    drawn = blocks[random.integers(0, len(blocks), (2000, len(blocks)))].sum(axis=1)
    return float(blocks[:, 0].sum() / blocks[:, 1].sum()), float(np.quantile(drawn[:, 0] / drawn[:, 1], 0.975))
