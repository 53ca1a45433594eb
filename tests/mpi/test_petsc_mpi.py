"""A user's own PETSc objects over ranks: the same answer on any number of them, and nobody hangs when one fails."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

pytest.importorskip("petsc4py", reason="petsc4py is not installed here")
sys.path.insert(0, str(Path(__file__).parents[1] / "plugins" / "petsc"))

from cosolve.core.errors import RankFaultError
from cosolve.core.governor import Governor
from cosolve.core.prediction import Prediction
from cosolve.core.query import Query
from cosolve.core.session import Session
from cosolve.core.surrogate import Surrogate
from cosolve.couplings.initial_guess import initial_guess
from cosolve.examples.brusselator.options import BrusselatorOptions
from cosolve.examples.brusselator.problem import BrusselatorProblem
from cosolve.examples.brusselator.surrogate import LocalRegression
from cosolve.plugins.baselines.extrapolation import QuadraticExtrapolation
from cosolve.plugins.petsc import AdaptiveStart, EnergyProjection, KspSolver, SnesSolver, TsAttachment, TsSolver
from cosolve.plugins.verifiers.residual import Residual
from mpi4py import MPI
from petsc_problems import Rod, poisson

pytestmark = pytest.mark.mpi

WORLD = MPI.COMM_WORLD


def whole(solver: Any, value: Any) -> Any:
    """Return all values in the order of their places."""
    parts = solver.comm.allgather((solver.coordinates(), value))
    places = np.concatenate([place for place, _ in parts])
    return np.concatenate([values for _, values in parts])[np.lexsort(places.T)]


@pytest.mark.parametrize("comm", [MPI.COMM_WORLD, MPI.COMM_SELF], ids=["world", "self"])
def test_ksp_and_snes_give_the_same_on_any_number_of_ranks(comm: Any) -> None:
    with KspSolver(*poisson(comm), rtol=1e-10) as solver:
        total = WORLD.bcast(float(np.sum(whole(solver, solver.solve().value))))
    with KspSolver(*poisson(MPI.COMM_SELF), rtol=1e-10) as solver:
        assert total == pytest.approx(float(np.sum(solver.solve().value)), rel=1e-9)
    here, alone = Rod(comm), Rod(MPI.COMM_SELF)
    with SnesSolver(here.snes(), here.u, rtol=1e-10) as one, SnesSolver(alone.snes("a_"), alone.u, rtol=1e-10) as two:
        np.testing.assert_allclose(whole(one, one.solve().value), two.solve().value, rtol=1e-8, atol=1e-9)


def ts_run(comm: Any, mode: Any = "replace") -> tuple[Any, dict[str, Any]]:
    rod = Rod(comm)
    with (
        TsSolver(rod.ts("cn"), rtol=1e-4) as solver,
        Session(solver, None if mode == "off" else Residual(), mode=mode, governor=Governor("off")) as session,
        TsAttachment(session, solver, [QuadraticExtrapolation()]) as attached,
    ):
        return whole(solver, attached.run(0.5, 0.01)), session.stats


def test_verdicts_within_ts_solve_do_not_depend_on_the_ranks() -> None:
    value, stats = ts_run(WORLD)
    alone, serial = ts_run(MPI.COMM_SELF)
    assert stats["accepted"] == serial["accepted"] > 0
    assert stats["sources"] == serial["sources"]
    np.testing.assert_allclose(value, alone, rtol=1e-8, atol=1e-9)


def run_attached(solver: TsSolver) -> TsAttachment:
    with (
        Session(solver, Residual(), governor=Governor("off")) as session,
        TsAttachment(session, solver, [QuadraticExtrapolation()]) as attached,
    ):
        attached.run(1.0, 0.05)
    return attached


@pytest.mark.parametrize("where", ["before", "before_jacobian"])
@pytest.mark.parametrize("what", ["snes", "ts", "TS.solve"])
def test_a_fault_of_one_rank_in_a_callback_is_one_error_on_all(what: str, where: str) -> None:
    culprit, rod = WORLD.size - 1, Rod(WORLD)

    def fail() -> None:
        raise ValueError(f"planted in the user's {where}")

    solver: Any = SnesSolver(rod.snes(), rod.u) if what == "snes" else TsSolver(rod.ts())
    with solver:
        transaction: Any = "solve" if what == "snes" else "step"
        query = Query(solver.initial_state(), 0.0, 0.0 if what == "snes" else 0.05, transaction=transaction)
        solver.tolerance(query)
        if WORLD.rank == culprit:
            setattr(rod, where, fail)
        with pytest.raises(RankFaultError, match="planted") as caught:
            run_attached(solver) if what == "TS.solve" else solver.step(query)
        assert caught.value.rank == culprit
        assert len(set(WORLD.allgather(str(caught.value)))) == 1
        setattr(rod, where, lambda: None)
        assert solver.step(query).converged, "the solver works again"


def test_a_users_post_step_that_fails_on_one_rank_ends_the_run_on_all() -> None:
    rod = Rod(WORLD)
    ts = rod.ts()

    def fail(ts: Any) -> None:
        if WORLD.rank == 0 and ts.getStepNumber() == 3:
            raise ValueError("planted in a post-step")

    ts.setPostStep(fail)
    with TsSolver(ts) as solver:
        with pytest.raises(RankFaultError, match="planted in a post-step"):
            run_attached(solver)
        assert ts.getTime() == pytest.approx(0.15)


def test_the_brusselator_has_the_same_answer_on_any_number_of_ranks() -> None:
    means = []
    for comm in (WORLD, MPI.COMM_SELF):
        problem = BrusselatorProblem(BrusselatorOptions(cells=16, end_time=1.0))
        with problem.make_solver(comm, {"rtol": 1e-8}) as solver:
            with (
                Session(solver, Residual(), governor=Governor("off")) as session,
                TsAttachment(session, solver, [LocalRegression()]) as attached,
            ):
                value = attached.run(1.0, 0.05)
            means.append(solver.quantities(value)["mean_u"])
            assert session.stats["asked"] == 20
    # The patches of the surrogate differ, so that the proposals do; the answers agree to the tolerance.
    assert means[0] == pytest.approx(means[1], rel=1e-6)


class Near(Surrogate):
    """Proposes the solution of half the load: along it, so that the start is exact; or fails on the last rank."""

    name = "near"

    def __init__(self, comm: Any, fault: str = "") -> None:
        ksp, b = poisson(comm)
        self._solver, self._fault = KspSolver(ksp, b, rtol=1e-10), fault
        self._value = self._solver.solve().value
        self._last = comm.rank == comm.size - 1

    def _predict(self, query: Query) -> Prediction:
        if self._last and self._fault == "raises":
            raise ValueError("planted")
        return Prediction(self._value * np.nan if self._last and self._fault == "nan" else self._value.copy())


@pytest.mark.parametrize("fault", ["", "raises", "nan"])
def test_the_adaptive_start_chooses_alike_on_any_number_of_ranks(fault: str) -> None:
    chosen, iterations = [], []
    for comm in (WORLD, MPI.COMM_SELF):
        ksp, b = poisson(comm)
        ones = b.duplicate()
        ones.set(1.0)
        first = comm.size == 1 or comm.rank == 0

        def update(query: Query, b: Any = b, ones: Any = ones, first: bool = first) -> None:
            ones.copy(b)
            values = b.array  # on every rank alike: PETSc then forgets the norm on all of them
            if query.step % 2 and first:
                values[0] += 0.1

        with KspSolver(ksp, b, update=update, rtol=1e-8) as solver:
            prices = {"iteration": 1.0, "space": 0.3, "proposals": 0.4}
            start = AdaptiveStart(6, [Near(comm, fault)], prices=prices)
            start.bind(solver)
            total = 0
            for step in range(60):
                query = Query(solver.initial_state(), step=step, transaction="solve")
                result = solver.step(query, start.predict(query).value)
                assert result.converged
                start.observe(query, result.value)
                total += result.linear_iterations
            # All ranks agree, and what a rank owns is the same on every one.
            assert len(set(comm.allgather(str(list(start.history))))) == 1
            assert start.alone is None or not fault
            chosen.append(start.choice.chosen)
            iterations.append(total)
    assert chosen[0] == chosen[1]
    assert abs(iterations[0] - iterations[1]) <= 0.1 * iterations[1] + 3


@pytest.mark.parametrize("fault", ["", "raises", "nan"])
def test_in_the_coupling_a_proposal_that_joins_never_changes_the_answer(fault: str) -> None:
    ksp, b = poisson(WORLD)

    def update(query: Query) -> None:
        b.set(1.0 + 0.1 * query.parameters["load"])

    with KspSolver(ksp, b, update=update, rtol=1e-9) as solver:
        with initial_guess(solver, Near(WORLD, fault)) as guess:
            outcomes = [guess.solve({"load": float(load)}) for load in range(30)]
            (start,) = guess.proposers
            assert isinstance(start, AdaptiveStart)
            assert start.asked >= 14
        assert {outcome.source for outcome in outcomes} == {"adaptive_start+solve"}
        for load, outcome in enumerate(outcomes):
            query = Query(solver.initial_state(), transaction="solve", parameters={"load": float(load)})
            assert solver.measure(query, outcome.value).ratio <= 1.0 + 1e-9


def test_the_energy_projection_is_the_same_on_any_number_of_ranks() -> None:
    sums = []
    for comm in (WORLD, MPI.COMM_SELF):
        ksp, b = poisson(comm)

        def update(query: Query, b: Any = b) -> None:
            b.set(query.parameters["load"])

        with KspSolver(ksp, b, update=update, rtol=1e-10) as solver:
            projection = EnergyProjection(4)
            projection.bind(solver)
            queries = [
                Query(solver.initial_state(), step=step, transaction="solve", parameters={"load": float(step + 1)})
                for step in range(2)
            ]
            projection.observe(queries[0], solver.step(queries[0]).value)
            start = projection.predict(queries[1]).value
            # The load has doubled, and so has the solution: it lies in the space.
            assert solver.step(queries[1], start).linear_iterations <= 2
            sums.append(float(np.sum(whole(solver, start))))
    assert sums[0] == pytest.approx(sums[1], rel=1e-8)
