"""The control of `cosolve bench time-loop`: on Cahn-Hilliard a network cannot pay, and asking it must cost nothing.

Both sides take adaptive steps with the same error control and the same solver (Newton with a reused factorisation from
the parabola through three states). The hybrid sends each step through a session: the network is asked and judged by
the residual of that step, and the governor steps aside when it loses.
"""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from itertools import pairwise
from statistics import median
from typing import Any

from cosolve.core.arrays import Array
from cosolve.core.bench import BenchReport
from cosolve.core.governor import Governor
from cosolve.core.outcome import Outcome
from cosolve.core.query import Query
from cosolve.core.session import Session
from cosolve.core.solver import ResidualMeasure, Solver, SolveResult
from cosolve.core.surrogate import Surrogate
from cosolve.examples.cahn_hilliard.network import CahnHilliardNetwork
from cosolve.examples.cahn_hilliard.options import CahnHilliardOptions
from cosolve.examples.cahn_hilliard.problem import CahnHilliardProblem
from cosolve.examples.cahn_hilliard.training import STEPPING
from cosolve.plugins.baselines.step_control import AdaptiveRun, run_adaptively
from cosolve.plugins.fenicsx import FormSolver
from cosolve.plugins.verifiers import Residual
from mpi4py import MPI

REPEATS = 2


class HybridStep(Solver):
    """A solver whose step is an attempt of a session, so that any time stepping becomes hybrid.

    Args:
        session: Proposes, judges, corrects or solves.
        proposers: Who is asked.

    Attributes:
        accepted: Query and value of each accepted proposal, for an audit afterwards.
        outcomes: Sources of all values.
    """

    name = "hybrid_step"

    def __init__(self, session: Session, proposers: list[Surrogate]) -> None:
        self.session, self.inner, self.proposers = session, session.solver, tuple(proposers)
        self.comm = self.inner.comm
        self.accepted: list[tuple[Query, Array]] = []

    @property
    def n_owned(self) -> int:
        """As of the solver inside."""
        return self.inner.n_owned

    def initial_state(self) -> Array:
        """As of the solver inside."""
        return self.inner.initial_state()

    def _step(self, query: Query, x0: Array | None) -> SolveResult:
        outcome: Outcome = self.session.attempt(query, self.proposers)
        if outcome.ok and outcome.solve is None:
            self.accepted.append((query, outcome.value))
        iterations = outcome.solve.iterations if outcome.solve is not None else 0
        return SolveResult(outcome.value, outcome.ok, outcome.message, iterations)

    def measure(self, query: Query, candidate: Array) -> ResidualMeasure:
        """As of the solver inside."""
        return self.inner.measure(query, candidate)

    def norm(self, state: Array) -> float:
        """As of the solver inside."""
        return self.inner.norm(state)


@dataclass(slots=True)
class Run:
    """One run with its cost and its states."""

    seconds: float
    run: AdaptiveRun
    states: list[Array] = field(default_factory=list)
    stats: Mapping[str, Any] = field(default_factory=dict)
    accepted: list[tuple[Query, Array]] = field(default_factory=list)


def march(problem: CahnHilliardProblem, solver: FormSolver, proposers: list[Surrogate]) -> Run:
    """Run adaptive stepping, hybrid where there are proposers; CPU seconds of the stepping alone."""
    states = [solver.initial_state()]
    solver.newton.forget()
    session = Session(solver, Residual(), governor=Governor("measured")) if proposers else None
    stepper: Solver = solver if session is None else HybridStep(session, proposers)
    start = time.process_time()
    run = run_adaptively(
        stepper, states[0], problem.time_span, STEPPING, committed=lambda _, value: states.append(value)
    )
    seconds = time.process_time() - start
    if session is None or not isinstance(stepper, HybridStep):
        return Run(seconds, run, states)
    session.close()
    return Run(seconds, run, states, session.stats, stepper.accepted)


def bench(*, quick: bool, seed: int, progress: Any = None) -> BenchReport:
    """Measure the control on unseen initial states (serial).

    Args:
        quick: Three initial states rather than ten.
        seed: Draws them.
        progress: Called with the share that is done and a sentence; None is quiet.
    """
    cases: list[dict[str, Any]] = []
    count = 3 if quick else 10
    for index in range(count):
        problem = CahnHilliardProblem(CahnHilliardOptions(seed=1000 * seed + index))
        with problem.make_solver(MPI.COMM_SELF, {"prefix": "cahn_hilliard_bench_"}) as solver:
            classical, hybrid = [], []
            for _ in range(REPEATS):
                classical.append(march(problem, solver, []))
                hybrid.append(march(problem, solver, [CahnHilliardNetwork()]))
            cases.append(_case(index, problem, solver, classical, hybrid))
        if progress is not None:
            progress((index + 1) / count, f"Cahn-Hilliard {index + 1} of {count}: ratio {cases[-1]['cost_ratio']:.3f}")
    ratios = [case["cost_ratio"] for case in cases]
    metrics = {
        "cahn_hilliard_cost_ratio": median(ratios),
        "cahn_hilliard_cost_ratio_range": [min(ratios), max(ratios)],
        "cahn_hilliard_asked": sum(case["asked"] for case in cases),
        "cahn_hilliard_judged": sum(case["judged"] for case in cases),
        "cahn_hilliard_accepted": sum(case["accepted"] for case in cases),
        "cahn_hilliard_corrected": sum(case["corrected"] for case in cases),
        "cahn_hilliard_bad_accepted": sum(case["bad_accepted"] for case in cases),
        "cahn_hilliard_energy_rises": sum(case["energy_rises"] for case in cases),
        "cahn_hilliard_mass_drift": max(case["mass_drift"] for case in cases),
    }
    targets = {
        "cahn_hilliard_cost_ratio": "<= 1.05",
        "cahn_hilliard_judged": "> 0",
        "cahn_hilliard_bad_accepted": "== 0",
        "cahn_hilliard_energy_rises": "== 0",
    }
    return BenchReport("cahn-hilliard", metrics, cases, targets)


def _case(
    index: int, problem: CahnHilliardProblem, solver: FormSolver, classical: list[Run], hybrid: list[Run]
) -> dict[str, Any]:
    bad = 0
    for run in hybrid:
        # Audited afterwards, by a fresh look at every accepted value: what the solver itself would have said.
        bad += sum(not solver.measure(query, value).ratio <= 1.0 for query, value in run.accepted)
    last = hybrid[-1]
    values = [solver.invariants(state) for state in last.states]
    scale = values[0]["energy"]
    rises = sum(b["energy"] > a["energy"] + 1e-6 * scale for a, b in pairwise(values))
    return {
        "case": index,
        "seed": problem.options.seed,
        "cost_ratio": median(h.seconds / c.seconds for h, c in zip(hybrid, classical, strict=True)),
        "classical_seconds": median(run.seconds for run in classical),
        "hybrid_seconds": median(run.seconds for run in hybrid),
        "classical_steps": classical[-1].run.steps,
        "hybrid_steps": last.run.steps,
        "asked": sum(run.stats["asked"] for run in hybrid),
        "judged": sum(run.stats["judged"] for run in hybrid),
        "accepted": sum(run.stats["accepted"] for run in hybrid),
        "corrected": sum(run.stats["corrected"] for run in hybrid),
        "bad_accepted": bad,
        "energy_rises": rises,
        "mass_drift": max(abs(value["mass"] - values[0]["mass"]) for value in values),
        "difference": solver.norm(last.run.state - classical[-1].run.state) / solver.norm(classical[-1].run.state),
    }
