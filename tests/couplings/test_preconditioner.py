"""A sequence of solves with a learned preconditioner: recorded, repeated, refused in a sentence."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import cosolve
import numpy as np
import pytest

pytest.importorskip("petsc4py", reason="petsc4py is not installed here")
sys.path.insert(0, str(Path(__file__).parents[1] / "plugins" / "petsc"))

from cosolve.core.coupling import CouplingContext
from cosolve.core.errors import BadInputError, NotConvergedError
from cosolve.core.governor import Governor, decisions_of
from cosolve.core.ledger import read_ledger
from cosolve.core.prediction import Prediction
from cosolve.core.problem import Problem
from cosolve.core.query import Query
from cosolve.core.result import Status
from cosolve.core.session import Session
from cosolve.core.surrogate import Surrogate
from cosolve.core.testing.mean_field import MeanFieldSolver
from cosolve.couplings.options import PreconditionerOptions
from cosolve.couplings.preconditioner import Preconditioner, preconditioner
from cosolve.plugins.petsc import CoarseSpace, KspSolver
from cosolve.plugins.verifiers.residual import Residual
from mpi4py import MPI
from petsc_problems import poisson

pytestmark = pytest.mark.mpi

WORLD = MPI.COMM_WORLD
PRICES = {"base setup": 1.0, "base iteration": 1.0, "learned iteration": 1.2}


class Noise(Surrogate):
    name = "noise"

    def __init__(self) -> None:
        self.random = np.random.default_rng(WORLD.rank)

    def _predict(self, query: Query) -> Prediction:
        return Prediction(self.random.standard_normal(query.state.shape))


def loaded(**settings: Any) -> KspSolver:
    """Return a solver whose load is a parameter."""
    ksp, b = poisson()

    def update(query: Query) -> None:
        b.set(query.parameters.get("load", 1.0))

    return KspSolver(ksp, b, update=update, rtol=1e-8, **settings)


def test_solves_are_those_of_the_solver_alone_and_the_solver_is_given_back() -> None:
    with loaded() as solver:
        alone = [solver.solve(parameters={"load": load}) for load in (1.0, 2.0, 3.0)]
        with cosolve.preconditioner(solver, Noise(), governor=Governor("off")) as solves:
            ours = [solves.solve({"load": load}) for load in (1.0, 2.0, 3.0)]
            assert solves.stats["steps"] == 3
        for one, other in zip(ours, alone, strict=True):
            assert one.solve is not None
            assert one.solve.notes["preconditioner"]["gave_up"]
            np.testing.assert_allclose(one.value, other.value, atol=1e-6 * np.abs(other.value).max())
        again = solver.solve(parameters={"load": 1.0})
        assert "preconditioner" not in again.notes
        np.testing.assert_array_equal(again.value, alone[0].value)


def test_the_ledger_tells_all_and_its_decisions_can_be_repeated(tmp_path: Path) -> None:
    folder = WORLD.bcast(tmp_path)
    counts, answers = [], []
    governor = Governor()
    for number in range(2):
        # A fresh solver: a tolerance that was met already would spoil the comparison.
        with (
            loaded() as solver,
            preconditioner(
                solver, Noise(), governor=governor, directory=folder / str(number), prices=PRICES, seed=1
            ) as solves,
        ):
            outcomes = [solves.solve({"load": 1.0 + step}) for step in range(12)]
        counts.append([outcome.solve.linear_iterations for outcome in outcomes if outcome.solve])
        answers.append(outcomes[-1].value)
        records = WORLD.bcast(read_ledger(folder / str(number)) if WORLD.rank == 0 else None)
        governor = Governor("replay", decisions_of(records))
    steps = [record for record in records if record["kind"] == "step"]
    asked = [step["solver_notes"] for step in steps if step["solver_notes"]["plan"]]
    assert 0 < len(asked) < 12
    assert all(not note["preconditioner"]["probe"]["linear"] for note in asked)
    first = WORLD.bcast(read_ledger(folder / "0") if WORLD.rank == 0 else None)
    assert next(record["event"] for record in first if record["kind"] == "governor") == "switched off"
    if WORLD.rank == 0:
        told = [cosolve.explain(folder / "0", step) for step in range(12)]
        assert sum("then they were given up" in text for text in told) == len(asked)
        assert "the governor measured the cost without the surrogate" in told[0]
        assert "the governor had switched the surrogate off" in told[-1]
    # The noise differs from run to run, so iterations may, but not who was asked.
    plans = [[s["solver_notes"]["plan"] for s in run if s["kind"] == "step"] for run in (first, records)]
    assert plans[0] == plans[1]
    np.testing.assert_allclose(answers[0], answers[1], atol=1e-6 * np.abs(answers[0]).max())


def test_past_solutions_make_a_coarse_space_that_solves_a_load_of_the_same_kind() -> None:
    with loaded() as solver, preconditioner(solver, CoarseSpace(4), governor=Governor("off")) as solves:
        solves.solve({"load": 1.0})
        outcome = solves.solve({"load": 5.0})
        assert outcome.solve is not None
        assert outcome.solve.linear_iterations <= 1


def test_a_base_that_does_not_converge_is_a_typed_error() -> None:
    ksp, b = poisson()
    ksp.setTolerances(max_it=3)
    with KspSolver(ksp, b, rtol=1e-8) as solver, preconditioner(solver, Noise()) as solves:
        assert not solves.solve(raise_on_failure=False).ok
        with pytest.raises(NotConvergedError):
            solves.solve()


def test_a_v_cycle_replaces_the_users_preconditioner_on_any_number_of_ranks() -> None:
    pytest.importorskip("torch", reason="PyTorch is not installed here")
    from cosolve.plugins.pytorch.operators.vcycle import VCycleSurrogate

    ksp, b = poisson(n=31)
    b.array[:] = np.cos(1.0 + np.arange(*b.getOwnershipRange()) ** 2.0)
    with KspSolver(ksp, b, rtol=1e-8) as solver:
        alone = solver.solve()
        cycle = VCycleSurrogate.make((0.0, 0.0), (1.0, 1.0), levels=4)
        with preconditioner(solver, cycle, combine="replace", governor=Governor("off")) as solves:
            outcome = solves.solve()
    assert outcome.solve is not None
    told = outcome.solve.notes["preconditioner"]
    assert told["outer"] == "fcg", told["probe"]
    assert outcome.solve.linear_iterations < 20 < alone.linear_iterations
    np.testing.assert_allclose(outcome.value, alone.value, atol=1e-5 * np.abs(alone.value).max(initial=0.0))


class PoissonProblem(Problem):
    name = "poisson"

    def __init__(self) -> None:
        self.parameters = {}

    @property
    def time_span(self) -> tuple[float, float, float]:
        return 0.0, 0.0, 0.0

    def make_solver(self, comm: Any, settings: Mapping[str, Any]) -> KspSolver:
        return loaded()

    def solve_parameters(self, index: int) -> Mapping[str, Any]:
        return {"load": 1.0 + index}


@pytest.mark.parametrize("mode", ["correct", "off"])
def test_a_case_solves_for_the_parameters_of_its_problem(mode: Any) -> None:
    problem, committed = PoissonProblem(), []
    with (
        problem.make_solver(WORLD, {}) as solver,
        Session(solver, Residual(), mode=mode, governor=Governor("off")) as session,
    ):
        context = CouplingContext(
            session,
            solver,
            [CoarseSpace(4)],
            session.verifier,
            problem,
            settings=PreconditionerOptions(solves=3, combine="additive"),
            on_commit=lambda t, value, source: committed.append((t, float(np.abs(value).max(initial=0.0)))),
        )
        result = Preconditioner(context).run()
        alone = solver.solve(parameters={"load": 3.0})
    assert result.status is Status.SUCCESS
    assert [t for t, _ in committed] == [0.0, 1.0, 2.0]
    np.testing.assert_allclose(result.value, alone.value, atol=1e-6 * np.abs(alone.value).max(initial=1e-9))


def test_what_does_not_fit_is_one_sentence() -> None:
    with pytest.raises(BadInputError, match="needs a solver, found"):
        preconditioner("ksp", Noise())  # type: ignore[arg-type]  # what is tested
    with pytest.raises(BadInputError, match=r"no preconditioner that a surrogate could better; wrap your KSP"):
        preconditioner(MeanFieldSolver(), Noise())
    with loaded() as solver:
        with pytest.raises(BadInputError, match="takes one surrogate, found 2"):
            preconditioner(solver, [Noise(), Noise()])  # type: ignore[arg-type]  # what is tested
        with pytest.raises(BadInputError, match="refuses a setting of its preconditioner"):
            preconditioner(solver, Noise(), flexibel=True)
        with Session(solver, None, mode="initial_guess") as session:
            context = CouplingContext(session, solver, [], None)
            with pytest.raises(BadInputError, match='works in mode = "correct"'):
                Preconditioner(context)
