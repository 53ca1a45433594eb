"""Whatever a surrogate says: the answer meets the solver's test, at a bounded loss, and alike on all ranks."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
import pytest
from cosolve.core.errors import BadInputError
from cosolve.core.governor import Governor
from cosolve.core.prediction import Prediction
from cosolve.core.query import Query
from cosolve.core.solver import SolveResult
from cosolve.core.surrogate import Surrogate
from cosolve.plugins.petsc import CoarseSpace, KspSolver, slow_modes
from hypothesis import given, settings
from hypothesis import strategies as st
from mpi4py import MPI
from petsc_problems import poisson

pytestmark = pytest.mark.mpi

WORLD = MPI.COMM_WORLD
PRICES = {"base setup": 1.0, "base iteration": 1.0, "learned iteration": 1.2}
RTOL = 1e-8


class Says(Surrogate):
    """Proposes what a function makes of the residual."""

    name = "says"

    def __init__(self, function: Callable[[Any], Any]) -> None:
        self.function, self.asked = function, 0

    def _predict(self, query: Query) -> Prediction:
        self.asked += 1
        return Prediction(self.function(query.state))


def noise(seed: int = 0) -> Says:
    random = np.random.default_rng([seed, WORLD.rank])
    return Says(lambda r: random.standard_normal(r.shape) * np.linalg.norm(r))


@contextmanager
def preconditioned(proposer: Surrogate, *, rough: bool = False, **given: Any) -> Iterator[KspSolver]:
    ksp, b = poisson()
    if rough:  # a constant load is symmetric, and half the modes are not in it
        b.array[:] = np.cos(1.0 + np.arange(*b.getOwnershipRange()) ** 2.0)
    with KspSolver(ksp, b, rtol=RTOL) as solver:
        solver.precondition(proposer, **({"governor": Governor("off"), "prices": PRICES} | given))
        yield solver


def solve(solver: KspSolver, step: int = 0) -> SolveResult:
    """Solve, and let the solver's own measure agree that it is solved."""
    query = Query(solver.initial_state(), step=step, transaction="solve")
    result = solver.step(query)
    assert result.converged, result.reason
    assert solver.measure(query, result.value).ratio <= 1.0
    return result


def classical() -> SolveResult:
    with KspSolver(*poisson(), rtol=RTOL) as solver:
        return solver.solve()


@given(st.sampled_from(["correct", "additive", "replace"]), st.floats(-3.0, 3.0), st.integers(0, 99))
@settings(max_examples=8, deadline=None, derandomize=True)
def test_the_answer_is_the_solvers_whatever_is_proposed(combine: str, sign: float, seed: int) -> None:
    noisy = noise(seed).function
    liar = Says(lambda r: sign * r + (noisy(r) if seed % 2 else 0.0) + (r**2 if seed % 3 == 0 else 0.0))
    with preconditioned(liar, combine=combine) as solver:
        value = solve(solver).value
    np.testing.assert_allclose(value, classical().value, rtol=0.0, atol=1e-6 * np.abs(value).max())


@pytest.mark.parametrize("combine", ["correct", "additive", "replace"])
@pytest.mark.parametrize("what", ["nan", "shape", "raises", "type"])
def test_a_fault_on_one_rank_falls_back_on_all_within_the_same_solve(what: str, combine: str) -> None:
    culprit = WORLD.size - 1
    proposer = Says(lambda r: 0.1 * r)

    def faulty(r: Any) -> Any:
        if WORLD.rank != culprit or proposer.asked < 7:
            return 0.1 * r
        if what == "raises":
            raise ValueError("planted")
        return {"nan": r * np.nan, "shape": np.zeros(r.size + 1), "type": [0.0] * r.size}[what]

    proposer.function = faulty
    with preconditioned(proposer, combine=combine) as solver:
        result = solve(solver)
        told = result.notes["preconditioner"]
        assert f"surrogate 'says' failed on rank {culprit}" in told["gave_up"]
        assert 0 < told["iterations"] < 7 < told["base_iterations"]
        assert len(set(WORLD.allgather(repr((told, result.linear_iterations))))) == 1
        proposer.function = lambda r: 0.1 * r  # and it may do better next time
        assert "gave_up" not in solve(solver, 1).notes["preconditioner"] or combine == "replace"


def test_a_rank_that_raises_before_a_collective_of_its_own_hangs_nobody() -> None:
    class Fails(CoarseSpace):
        def deflate(self, residual: Any, first: Any) -> Any:
            if WORLD.rank == WORLD.size - 1:
                raise ValueError("planted before the sum")
            return super().deflate(residual, first)

    random = np.random.default_rng(WORLD.rank)
    with KspSolver(*poisson()) as size:
        basis = random.standard_normal((4, size.n_owned))
    with preconditioned(Fails(4, basis)) as solver:
        assert "planted before the sum" in solve(solver).notes["preconditioner"]["gave_up"]


def test_a_correction_of_zero_is_no_convergence() -> None:
    # The updates vanish at once: who trusts their norm stops at a false fixed point.
    for combine in ("correct", "additive", "replace"):
        with preconditioned(Says(np.zeros_like), combine=combine) as solver:
            assert solve(solver).residual <= 1.0


def test_what_is_lost_in_one_solve_is_bounded_by_counted_work() -> None:
    bare = classical().linear_iterations
    for combine in ("correct", "additive", "replace"):
        for proposer in (noise(), Says(lambda r: -r), Says(np.zeros_like)):
            with preconditioned(proposer, combine=combine, governor=Governor(), loss_share=0.2) as solver:
                works, iterations = [], []
                for step in range(6):  # two references, then it is asked
                    result = solve(solver, step)
                    works.append(result.notes["work_seconds"])
                    iterations.append(result.linear_iterations)
                assert iterations[:2] == [bare, bare]
                assert max(works[2:]) <= 1.2 * works[1] + 2.0 * PRICES["learned iteration"]


def test_a_losing_surrogate_is_switched_off_over_a_sequence_and_probed_again_later() -> None:
    bare = classical().linear_iterations
    governor = Governor()
    with preconditioned(noise(), governor=governor) as solver:
        results = [solve(solver, step) for step in range(80)]
        asked = [bool(result.notes["plan"]) for result in results]
        assert sum(asked[:16]) <= 6
        assert sum(asked) <= 12
        assert any("switched off" in str(result.notes.get("governor")) for result in results)
        total = sum(result.notes["work_seconds"] for result in results)
        assert total <= 1.06 * 80 * bare + PRICES["base setup"] * 80


def test_a_coarse_space_stays_on_and_saves_iterations() -> None:
    with preconditioned(Says(lambda r: r), rough=True) as solver:
        solver.precondition(None)
        basis = slow_modes(solver, 20)
        bare = solve(solver).linear_iterations
        solver.precondition(CoarseSpace(20, basis, learns=False), prices=PRICES, governor=Governor())
        results = [solve(solver, step) for step in range(12)]
    told = [result.notes.get("preconditioner") for result in results]
    assert sum(one is not None for one in told) >= 8
    last = next(one for one in reversed(told) if one)
    assert last["outer"] == "fcg"
    assert last["probe"]["projection"]
    assert "gave_up" not in last
    assert last["iterations"] < 0.6 * bare


def test_the_users_cg_is_never_run_with_a_preconditioner_that_changes(options: Any) -> None:
    with preconditioned(noise()) as solver:
        told = solve(solver).notes["preconditioner"]
        assert told["outer"] == "fgmres"
        assert "'cg' takes one fixed preconditioner" in told["outer_because"]
        assert not told["probe"]["linear"]
        assert solver.ksp.getType() == "cg"
    options("poisson_learned_ksp_type", "cg")
    with preconditioned(noise()) as solver:
        told = solve(solver).notes["preconditioner"]
        assert told["outer"] == "fgmres"
        assert "-poisson_learned_ksp_type cg takes one fixed preconditioner" in told["outer_because"]
    options("poisson_learned_ksp_type", "gcr")
    with preconditioned(noise()) as solver:
        assert solve(solver).notes["preconditioner"]["outer"] == "gcr"


@pytest.mark.parametrize(
    ("function", "linear", "symmetric", "positive"),
    [
        (lambda r: 0.5 * r, True, True, True),
        (lambda r: -r, True, True, False),
        (lambda r: r * np.linspace(-1.0, 1.0, r.size), True, True, None),
        (lambda r: np.concatenate([r[1:], r[:1]]), True, False, None),
        (lambda r: np.tanh(r), False, False, True),
        (lambda r: r + 1.0, False, False, None),
    ],
    ids=["scaled", "negative", "indefinite", "shifted", "tanh", "affine"],
)
def test_probes_find_what_a_surrogate_is(function: Any, linear: bool, symmetric: bool, positive: bool | None) -> None:
    with preconditioned(Says(function)) as solver:
        found = solve(solver).notes["preconditioner"]["probe"]
    assert found["linear"] is linear
    assert found["symmetric"] is symmetric
    assert positive is None or found["positive"] is positive
    assert not found["projection"]


def test_an_operator_that_changes_gets_its_own_galerkin_matrix() -> None:
    with preconditioned(CoarseSpace(5), combine="correct") as solver:
        matrix = solver.ksp.getOperators()[0]
        for step in range(3):
            matrix.scale(1.0 + step)
            solver.ksp.setOperators(matrix)
            told = solve(solver, step).notes["preconditioner"]
        # The scaled problem's solution lies in the space of the last ones: the corrected start solves it.
        assert told["iterations"] <= 1


def test_settings_without_meaning_are_one_sentence() -> None:
    ksp, b = poisson()
    with KspSolver(ksp, b) as solver:
        with pytest.raises(BadInputError, match="combine must be one of correct, additive, replace, found 'multiply'"):
            solver.precondition(noise(), combine="multiply")
        with pytest.raises(BadInputError, match="loss_share and patience must be positive"):
            solver.precondition(noise(), loss_share=0.0)
    ksp.setType("preonly")
    with KspSolver(ksp, b) as solver, pytest.raises(BadInputError, match="use combine = 'replace'"):
        solver.precondition(noise())


def test_a_direct_base_is_not_factored_where_the_proposals_do_without() -> None:
    ksp, b = poisson()
    ksp.setType("preonly")
    ksp.getPC().setType("lu")
    if WORLD.size > 1:
        ksp.getPC().setFactorSolverType("mumps")
    with KspSolver(ksp, b, rtol=RTOL) as solver:
        direct = solve(solver).value
        perfect = CoarseSpace(3, direct[None], learns=False)
        solver.precondition(perfect, combine="replace", governor=Governor("off"), prices=PRICES)
        result = solve(solver, 1)
        assert "gave_up" not in result.notes["preconditioner"]
        solver.precondition(noise(), combine="replace", governor=Governor("off"), prices=PRICES)
        result = solve(solver, 2)
        assert result.notes["preconditioner"]["gave_up"]
        np.testing.assert_allclose(result.value, direct, atol=1e-6 * np.abs(direct).max())
