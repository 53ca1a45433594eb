from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("dolfinx", reason="FEniCSx is not installed here")

import ufl
from cosolve.core.coupling import CouplingContext
from cosolve.core.errors import BadInputError, NotConvergedError
from cosolve.core.governor import Governor
from cosolve.core.loop import LoopState
from cosolve.core.prediction import Prediction
from cosolve.core.query import Query
from cosolve.core.registry import Registry
from cosolve.core.result import Status
from cosolve.core.session import Session
from cosolve.core.surrogate import Surrogate
from cosolve.core.verdict import Grade
from cosolve.couplings.time_loop import TimeLoop, time_loop
from cosolve.plugins.fenicsx import FormSolver, compat
from cosolve.testing import CouplingContract
from dolfinx import fem
from mpi4py import MPI


def heat(**settings: object) -> FormSolver:
    domain = compat.create_unit_square(MPI.COMM_SELF, 6, 6)
    space = compat.function_space(domain, ("Lagrange", 1))
    u, u_n, v = fem.Function(space), fem.Function(space), ufl.TestFunction(space)
    dt = fem.Constant(domain, 0.01)
    u_n.interpolate(lambda x: 1.0 + x[0] ** 2)
    form = (u - u_n) / dt * v * ufl.dx + (1.0 + u**2) * ufl.inner(ufl.grad(u), ufl.grad(v)) * ufl.dx
    defaults = {"prefix": "loop_", "rtol": 1e-6}
    return FormSolver(form, u, previous=u_n, dt=dt, **(defaults | settings))


class Knows(Surrogate):
    """Knows the step's answer, and errs by a given amount."""

    name = "knows"

    def __init__(self, error: float) -> None:
        self.error = error
        self.solver = heat(rtol=1e-12, prefix="oracle_")

    def _predict(self, query: Query) -> Prediction:
        return Prediction(self.solver.step(query).value * (1.0 + self.error))


@pytest.fixture(scope="module")
def classical() -> np.ndarray:
    with heat() as solver:
        return time_loop(solver, t_end=0.1, dt=0.01, mode="off").value


@pytest.mark.parametrize(
    ("error", "mode", "source"),
    [
        (0.0, "replace", "knows"),
        (3e-5, "replace", "knows+correct"),
        (1.0, "replace", "solver"),
        (0.0, "correct", "knows+correct"),
        (1e-4, "initial_guess", "knows+solve"),
        (0.0, "shadow", "solver"),
        (0.0, "off", "solver"),
    ],
)
def test_each_mode_makes_of_a_proposal_what_it_says(
    error: float, mode: str, source: str, classical: np.ndarray, tmp_path: Path
) -> None:
    with heat() as solver:
        result = time_loop(
            solver, Knows(error), t_end=0.1, dt=0.01, mode=mode, governor=Governor("off"), directory=tmp_path
        )
        assert result.stats["sources"] == {source: 10}
        assert result.t == pytest.approx(0.1)
        # Each step is within the solver's tolerance of the classical one; ten of them add up.
        assert solver.norm(result.value - classical) <= 10 * 1e-6 * solver.norm(classical)
    records = [json.loads(line) for line in (tmp_path / "ledger.jsonl").read_text().splitlines()]
    assert sum(record["kind"] == "step" for record in records) == 10


def test_what_is_accepted_passes_the_solvers_own_test() -> None:
    kept = []
    with heat() as solver:
        result = time_loop(solver, Knows(2e-8), t_end=0.1, dt=0.01, governor=Governor("off"), on_step=kept.append)
        assert result.stats["accepted"] == 10
        assert all(verdict.grade is Grade.CERTIFIED for verdict in result.verdicts)
        for state in kept:
            before = state.history[0]
            query = Query(before.state, before.t, 0.01)
            assert solver.measure(query, state.value).ratio <= 0.5


def test_errors_of_growing_size_are_accepted_then_corrected_then_rejected() -> None:
    seen = []
    for error in (0.0, 1e-8, 1e-6, 1e-5, 1e-3, 1.0):
        with heat() as solver:
            result = time_loop(solver, Knows(error), t_end=0.03, dt=0.01, governor=Governor("off"))
            seen.append(result.verdicts[0].decision.value)
    order = ["accept", "correct", "reject"]
    assert [order.index(decision) for decision in seen] == sorted(order.index(decision) for decision in seen)
    assert seen[0] == "accept"
    assert "correct" in seen
    assert seen[-1] == "reject"


def test_a_failed_run_raises_by_default_and_is_a_status_on_request() -> None:
    with heat(max_iterations=1, rtol=1e-13) as solver:
        with pytest.raises(NotConvergedError, match="SNES_DIVERGED_MAX_IT"):
            time_loop(solver, t_end=0.1, dt=0.01, mode="off")
        result = time_loop(solver, t_end=0.1, dt=0.01, mode="off", raise_on_failure=False)
        assert result.status is Status.NOT_CONVERGED
        assert np.array_equal(result.value, solver.initial_state())


def test_a_misspelt_parameter_is_no_run_with_the_last_value() -> None:
    domain = compat.create_unit_square(MPI.COMM_SELF, 4, 4)
    space = compat.function_space(domain, ("Lagrange", 1))
    u, u_n, v = fem.Function(space), fem.Function(space), ufl.TestFunction(space)
    dt, mu = fem.Constant(domain, 0.1), fem.Constant(domain, 1.0)
    form = ((u - u_n) / dt - mu) * v * ufl.dx
    with FormSolver(form, u, previous=u_n, dt=dt, parameters={"mu": mu}) as solver:
        for given, hint in ((("muu", 2.0), "Write 'mu' for 'muu'"), (("load", 2.0), "Give 'mu', too")):
            with pytest.raises(BadInputError, match=f"the parameters lack 'mu'.* given: {given[0]}. {hint}"):
                time_loop(solver, t_end=0.2, dt=0.1, parameters=dict([given]))
        result = time_loop(solver, t_end=0.2, dt=0.1, parameters={"mu": 2.0, "seen_by_surrogates": 1})
        assert np.allclose(result.value, 0.4)
        assert np.allclose(time_loop(solver, t_end=0.2, dt=0.1).value, 0.4)  # none given: constants as they are


def test_faults_of_a_proposer_are_told_at_the_end_of_a_scripts_run(caplog: pytest.LogCaptureFixture) -> None:
    class Nan(Surrogate):
        name = "nan"

        def _predict(self, query: Query) -> Prediction:
            return Prediction(np.full_like(query.state, np.nan))

    with heat() as solver:
        result = time_loop(solver, Nan(), t_end=0.05, dt=0.01, governor="off")
    assert result.stats["faults"] == 5
    told = [record.getMessage() for record in caplog.records if record.levelname == "WARNING"]
    assert len(told) == 1
    assert "surrogate 'nan' failed, and the solver went on without it; the first time: " in told[0]
    assert "on rank 0 at step 0" in told[0]


def test_a_script_goes_on_from_its_own_checkpoint(tmp_path: Path, classical: np.ndarray) -> None:
    class Enough(Exception):
        pass

    def stop(state: LoopState) -> None:
        if state.step == 7:
            raise Enough

    with heat() as solver:
        with pytest.raises(Enough):
            time_loop(solver, t_end=0.1, dt=0.01, directory=tmp_path, checkpoint_every=2, on_step=stop, governor="off")
        before = (tmp_path / "ledger.jsonl").read_text()
        result = time_loop(solver, t_end=0.1, dt=0.01, directory=tmp_path, resume=True, governor="off")
        assert np.array_equal(result.value, classical)
    ledger = (tmp_path / "ledger.jsonl").read_text()
    assert ledger.startswith(before)
    resumed = [json.loads(line) for line in ledger.splitlines() if '"resumed"' in line]
    assert any(record["kind"] == "resumed" and record["step"] == 6 for record in resumed)


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        ({"t_end": 0.0, "dt": 0.1}, "the end of a time loop must come after its start"),
        ({"t_end": 1.0, "dt": -0.1}, "dt must be a positive number, found -0.1"),
        ({"t_end": 1.0, "dt": "0.1"}, "dt of a time loop must be a number, found '0.1'"),
        ({"t_end": 1.0, "dt": 0.1, "mode": "replce"}, "mode must be one of"),
        (
            {"t_end": 1.0, "dt": 0.1, "directroy": "runs"},
            "argument of time_loop 'directroy'; did you mean 'directory'",
        ),
        ({"t_end": 1.0, "dt": 0.1, "max_correction": 2}, "did you mean 'max_corrections'"),
        ({"t_end": 1.0, "dt": 0.1, "governor": "of"}, "governor mode must be measured, replay or off, got 'of'"),
        ({"t_end": 1.0, "dt": 0.1, "governor": 3}, "the governor must be a cosolve.Governor or one of"),
    ],
)
def test_bad_input_is_a_sentence(arguments: dict[str, object], sentence: str) -> None:
    with heat() as solver, pytest.raises(BadInputError, match=sentence):
        time_loop(solver, **arguments)


class NotASurrogate:
    pass


@pytest.mark.parametrize(
    ("proposers", "sentence"),
    [
        (
            NotASurrogate(),
            r"a proposer must be a surrogate, found an object of .*NotASurrogate; wrap a torch.nn.Module",
        ),
        ([NotASurrogate], "a proposer must be a surrogate, found the class NotASurrogate; make one"),
        (Knows, r"a proposer must be a surrogate, found the class Knows; make one: Knows\(...\)"),
        ("fno", "a proposer must be a surrogate, found the text 'fno'"),
        (None, "a proposer must be a surrogate, found None; leave the proposers out"),
    ],
)
def test_what_is_no_surrogate_is_told_how_to_become_one(proposers: object, sentence: str) -> None:
    with heat() as solver, pytest.raises(BadInputError, match=sentence):
        time_loop(solver, proposers, t_end=0.1, dt=0.01)


def test_a_bare_network_is_told_how_to_become_a_surrogate() -> None:
    torch = pytest.importorskip("torch")
    with (
        heat() as solver,
        pytest.raises(BadInputError, match=r"torch\..*Linear; wrap .* as .*TorchSurrogate"),
    ):
        time_loop(solver, torch.nn.Linear(2, 2), t_end=0.1, dt=0.01)


@pytest.mark.parametrize(
    ("solver", "sentence"),
    [
        (FormSolver, r"time_loop needs a solver, found the class FormSolver; make one: FormSolver\(...\)"),
        (NotASurrogate(), "time_loop needs a solver, found NotASurrogate; wrap a UFL form as FormSolver"),
    ],
)
def test_what_is_no_solver_is_a_sentence(solver: object, sentence: str) -> None:
    with pytest.raises(BadInputError, match=sentence):
        time_loop(solver, t_end=0.1, dt=0.01)


class TestTimeLoopContract(CouplingContract):
    rtol = 1e-5

    def make(self, surrogates: list[Surrogate]) -> TimeLoop:
        solver = heat(rtol=1e-8)
        verifier = Registry.discover().load("verifier", "residual")()
        session = Session(solver, verifier, governor=Governor("off"))
        return TimeLoop(CouplingContext(session, solver, surrogates, verifier), (0.0, 0.05, 0.01))
