"""The best start wins, the solver answers, and whatever goes wrong costs no more than a bounded attempt."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import cosolve
import numpy as np
import pytest
from cosolve.core.communicator import Communicator
from cosolve.core.coupling import CouplingContext
from cosolve.core.errors import BadInputError, NotConvergedError
from cosolve.core.governor import Governor
from cosolve.core.ledger import Ledger, read_ledger
from cosolve.core.prediction import Prediction
from cosolve.core.query import Query
from cosolve.core.session import Session
from cosolve.core.surrogate import Surrogate
from cosolve.core.testing.two_wells import TwoWells, left
from cosolve.core.verdict import Decision, Grade
from cosolve.couplings.branch_check import BranchCheck
from cosolve.couplings.coarse_start import CoarseLevel
from cosolve.couplings.initial_guess import InitialGuess, initial_guess
from cosolve.couplings.options import InitialGuessOptions
from cosolve.plugins.baselines.extrapolation import QuadraticExtrapolation
from cosolve.plugins.baselines.load_stepping import LoadStepping, scaled

pytestmark = pytest.mark.mpi

FORCE = {"force": 0.3}


def guess(solver: TwoWells, proposers: Any, **settings: Any) -> Any:
    return initial_guess(solver, proposers, **({"path": "force", "governor": Governor("off")} | settings))


def near(solver: TwoWells, value: float) -> Any:
    return lambda parameters: np.full(solver.n_owned, value)


def test_a_good_start_is_taken_and_the_answer_is_the_solvers(comm: Communicator) -> None:
    solver = TwoWells(comm)
    with guess(solver, near(solver, -0.8)) as solves:
        outcome = solves.solve(FORCE)
    assert outcome.source == "own+solve"
    assert solver.measure(Query(outcome.value, parameters=FORCE), outcome.value).ratio <= 1.0
    np.testing.assert_allclose(outcome.value, left(solver, 0.3), atol=1e-9)
    solver.close()


def test_the_smallest_residual_wins(comm: Communicator) -> None:
    solver = TwoWells(comm)
    candidates = [near(solver, -3.0), near(solver, -0.8), near(solver, 7.0)]
    with guess(solver, candidates) as solves:
        assert solves.solve(FORCE).source == "own2+solve"
    solver.close()


def test_a_start_without_hope_goes_to_the_continuation_and_costs_a_bounded_attempt(comm: Communicator) -> None:
    solver = TwoWells(comm)
    # Newton's method from the top of the hill between the wells is thrown far away.
    with guess(solver, near(solver, 0.57735), fine_iterations=2) as solves:
        solver.iterations = 0
        outcome = solves.solve(FORCE)
        spent = solver.iterations
        solver.iterations = 0
        solver_alone = solves.session.solver.step(Query(solver.initial_state(), parameters=FORCE))
        assert spent <= 2 + solver.iterations
    assert (outcome.source, outcome.rung) == ("solver", "step")
    np.testing.assert_array_equal(outcome.value, solver_alone.value)
    solver.close()


def test_an_unstable_solution_is_rejected(comm: Communicator) -> None:
    solver = TwoWells(comm)
    with guess(solver, near(solver, -0.3), branch=BranchCheck()) as solves:
        outcome = solves.solve(FORCE)
    assert outcome.source == "solver"
    assert [verdict.decision for verdict in outcome.verdicts] == [Decision.CORRECT, Decision.REJECT]
    assert "unstable: 12 negative eigenvalues" in outcome.verdicts[-1].reason
    np.testing.assert_allclose(outcome.value, left(solver, 0.3), atol=1e-9)
    solver.close()


def test_another_stable_branch_is_found_by_an_audit_only(comm: Communicator) -> None:
    solver = TwoWells(comm)
    with guess(solver, near(solver, 1.1), branch=BranchCheck()) as solves:
        unaudited = solves.solve(FORCE)
    assert unaudited.source == "own+solve"
    assert unaudited.verdict.grade is Grade.ESTIMATED
    with guess(solver, near(solver, 1.1), branch=BranchCheck(audit_share=1.0)) as solves:
        audited = solves.solve(FORCE)
    assert audited.source == "solver"
    assert audited.verdicts[-1].grade is Grade.CERTIFIED
    np.testing.assert_allclose(audited.value, left(solver, 0.3), atol=1e-9)
    with guess(solver, near(solver, -0.8), branch=BranchCheck(audit_share=1.0)) as solves:
        right = solves.solve(FORCE)
    assert (right.source, right.verdict.grade) == ("own+solve", Grade.CERTIFIED)
    solver.close()


def test_a_demand_for_certified_branches_refuses_what_was_not_audited(comm: Communicator) -> None:
    solver = TwoWells(comm)
    with guess(solver, near(solver, -0.8), branch=BranchCheck(), grade="certified") as solves:
        assert solves.solve(FORCE).source == "solver"
    solver.close()


def test_energy_that_rises_is_another_branch(comm: Communicator) -> None:
    solver = TwoWells(comm)
    with guess(solver, near(solver, -0.3), branch=BranchCheck(stable=False, energy="energy")) as solves:
        outcome = solves.solve(FORCE)
    assert "energy exceeds" in outcome.verdicts[-1].reason
    assert outcome.source == "solver"
    solver.close()


def test_audits_are_drawn_the_same_on_every_rank_and_at_their_share() -> None:
    check = BranchCheck(audit_share=0.25, seed=3)
    drawn = [check.audits(step) for step in range(2000)]
    assert drawn == [BranchCheck(audit_share=0.25, seed=3).audits(step) for step in range(2000)]
    assert 0.2 < np.mean(drawn) < 0.3


@pytest.mark.parametrize("wrong", ["nan", "size", "raises", "dtype", "text"])
def test_whatever_a_start_is_the_fallback_answers(comm: Communicator, wrong: str, shared_path: Path) -> None:
    solver = TwoWells(comm)

    def bad(parameters: Any) -> Any:
        value = np.full(solver.n_owned, -0.8)
        if comm.Get_rank() != comm.Get_size() - 1:
            return value
        if wrong == "raises":
            raise ValueError("planted")
        if wrong == "text":
            return np.array("start")
        return {"nan": value * np.nan, "size": np.zeros(99), "dtype": value.astype(np.float32)}[wrong]

    with guess(solver, bad, directory=shared_path) as solves:
        outcome = solves.solve(FORCE)
    assert outcome.source == "solver"
    np.testing.assert_allclose(outcome.value, left(solver, 0.3), atol=1e-9)
    if comm.Get_rank() == 0:
        records = [json.loads(line) for line in (shared_path / "ledger.jsonl").read_text().splitlines()]
        (step,) = [record for record in records if record["kind"] == "step"]
        assert "surrogate 'own' failed" in json.dumps(step)
    solver.close()


def test_boundary_values_are_imposed_before_judging(comm: Communicator) -> None:
    solver = TwoWells(comm, pinned=-0.9)
    with guess(solver, [near(solver, -0.8)], path=None) as solves:
        outcome = solves.solve(FORCE)
    # With its wrong boundary value the proposal would have lost to the state at rest.
    assert outcome.source == "own+solve"
    solver.close()


def test_a_coarse_mesh_polishes_and_declines_early(comm: Communicator) -> None:
    solver, coarse = TwoWells(comm, size=24), TwoWells(comm)
    # Each coarse value stands for two fine ones; with whole pairs on each rank prolonging is local.
    if solver.n_owned != 2 * coarse.n_owned:
        pytest.fail("the toy must split evenly")
    level = CoarseLevel(coarse, lambda values: np.repeat(values, 2))

    class Network(Surrogate):
        name = "network"

        def __init__(self, value: float) -> None:
            self.value = value

        def _predict(self, query: Query) -> Prediction:
            return Prediction(np.full_like(query.state, self.value))

    with guess(solver, Network(-0.7), coarse=level) as solves:
        outcome = solves.solve(FORCE)
    assert outcome.source == "network_polished+solve"
    assert outcome.solve.iterations <= 3
    solver.iterations = 0
    with guess(solver, Network(-0.3), coarse=level, branch=BranchCheck()) as solves:
        declined = solves.solve(FORCE)
    assert declined.source == "solver"
    # The coarse mesh told: the fine one saw the grid sequence only, no attempt.
    assert solver.iterations <= 6
    assert "declined: on the coarse mesh unstable" in declined.verdicts[0].reason
    np.testing.assert_allclose(declined.value, left(solver, 0.3), atol=1e-9)
    solver.close()
    coarse.close()


def test_extrapolations_and_projection_take_part_in_a_sweep(comm: Communicator) -> None:
    solver = TwoWells(comm)
    starts = ["linear_extrapolation", "quadratic_extrapolation", "projection"]
    with guess(solver, (), path=None, starts=starts) as solves:
        sources = [solves.solve({"force": 0.02 * k}).source for k in range(12)]
    assert sum("extrapolation" in source or "projection" in source for source in sources) >= 8
    solver.close()


def test_failure_of_everything_is_one_error_and_leaves_the_last_answer(comm: Communicator) -> None:
    solver = TwoWells(comm)
    with guess(solver, near(solver, -0.8)) as solves:
        before = solves.solve(FORCE).value
        with pytest.raises(NotConvergedError, match="load stepping stopped at"):
            solves.solve({"force": float("nan")})
        np.testing.assert_array_equal(solves.state, before)
        assert solves.solve(FORCE).ok
    solver.close()


def test_bad_input_is_told_in_a_sentence() -> None:
    solver = TwoWells()
    with pytest.raises(BadInputError, match="needs a solver, found str"):
        initial_guess("solver")  # type: ignore[arg-type]  # the mistake
    with initial_guess(solver, path="load") as solves, pytest.raises(BadInputError, match="path names the parameter"):
        solves.session.solver.step(Query(solver.initial_state(), parameters=FORCE))
    with pytest.raises(BadInputError, match="audit_share"):
        BranchCheck(audit_share=2.0)
    assert cosolve.initial_guess is initial_guess
    solver.close()


class Forces:
    """Gives each solve its force, as a problem does."""

    @staticmethod
    def solve_parameters(index: int) -> dict[str, float]:
        return {"force": (0.3, 0.1, 0.35, 0.2)[index]}


def sequence(comm: Communicator, folder: Path, solves: int, *, resume: bool = False) -> Any:
    solver = LoadStepping(TwoWells(comm), scaled("force"))
    with (
        Ledger(folder, comm, resume=resume) as ledger,
        Session(solver, None, mode="initial_guess", governor=Governor("measured"), ledger=ledger) as session,
    ):
        context = CouplingContext(
            session,
            solver,
            [QuadraticExtrapolation()],
            None,
            problem=Forces(),  # type: ignore[arg-type]  # a part of a problem is enough
            directory=folder,
            settings=InitialGuessOptions(solves=solves),
            checkpoint_every=1,
            resume=resume,
        )
        result = InitialGuess(context).run()
    solver.close()
    return result


def test_a_sequence_of_solves_goes_on_from_its_checkpoint(comm: Communicator, shared_path: Path) -> None:
    whole = sequence(comm, shared_path / "whole", 4)
    sequence(comm, shared_path / "parts", 2)
    rest = sequence(comm, shared_path / "parts", 4, resume=True)
    assert rest.ok
    np.testing.assert_array_equal(rest.value, whole.value)
    steps = [record for record in read_ledger(shared_path / "parts") if record["kind"] == "step"]
    if comm.Get_rank() == 0:
        assert [record["step"] for record in steps] == [0, 1, 2, 3]
