"""The loop: its time grid, checkpoints and restart, and how it ends early."""

from __future__ import annotations

import signal
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from cosolve.core.arrays import Array
from cosolve.core.checkpoint import CHECKPOINT_FOLDER
from cosolve.core.checkpoint_reading import read_checkpoint
from cosolve.core.communicator import Communicator, SerialCommunicator
from cosolve.core.errors import BadInputError, InterruptedRunError, NotConvergedError
from cosolve.core.governor import Governor
from cosolve.core.ledger import Ledger, read_ledger
from cosolve.core.loop import Loop, LoopState
from cosolve.core.prediction import Prediction
from cosolve.core.query import Query
from cosolve.core.result import Status
from cosolve.core.session import Session
from cosolve.core.solver import SolveResult
from cosolve.core.surrogate import Surrogate
from cosolve.core.testing.mean_field import MeanFieldSolver, RatioVerifier


class Extrapolation(Surrogate):
    """Linear extrapolation from a memory of its own, so that a restart must bring it back."""

    name = "extrapolation"
    predict_keeps_memory = True

    def __init__(self) -> None:
        self._last = np.zeros((0, 0))

    def _predict(self, query: Query) -> Prediction:
        if not self._last.size:
            return Prediction(query.state.copy())
        return Prediction(2.0 * query.state - self._last[0])

    def observe(self, query: Query, value: Array) -> None:
        self._last = query.state[None, :].copy()

    def memory(self) -> Mapping[str, Array]:
        return {"last": self._last}

    def restore(self, memory: Mapping[str, Array]) -> None:
        self._last = memory["last"]


class Drifting(MeanFieldSolver):
    """A solver whose answer depends on its memory."""

    def __init__(self, comm: Communicator | None = None) -> None:
        super().__init__(comm=comm)
        self._drift = np.zeros(1)

    def _step(self, query: Query, x0: Array | None) -> SolveResult:
        self._drift += 1e-3
        result = super()._step(query, x0)
        return SolveResult(result.value + self._drift, True, iterations=result.iterations)

    def memory(self) -> Mapping[str, Array]:
        return {"drift": self._drift}

    def restore(self, memory: Mapping[str, Array]) -> None:
        self._drift = memory["drift"].copy()


def loop(session: Session, **settings: Any) -> Loop:
    return Loop(session, [Extrapolation()], **({"t_end": 1.0, "dt": 0.1} | settings))


def session(solver: MeanFieldSolver | None = None, **settings: Any) -> Session:
    verifier = RatioVerifier(correct_below=1e10)
    return Session(solver or MeanFieldSolver(), verifier, governor=Governor("off"), **settings)


def test_it_arrives_at_the_end() -> None:
    seen: list[LoopState] = []
    result = loop(session(), on_step=seen.append).run()
    assert result.ok
    assert result.t == 1.0
    assert result.stats["steps"] == 10
    assert [round(state.t, 12) for state in seen] == [round(0.1 * k, 12) for k in range(1, 11)]
    assert result.raise_on_failure() is result


@pytest.mark.parametrize(("t_end", "dt", "steps"), [(1.0, 0.3, 4), (0.7, 0.1, 7), (1e-3, 1e-4, 10), (0.0, 0.1, 0)])
def test_all_steps_but_the_last_have_exactly_the_given_length(t_end: float, dt: float, steps: int) -> None:
    taken: list[float] = []

    class Noting(MeanFieldSolver):
        def _step(self, query: Query, x0: Array | None) -> SolveResult:
            taken.append(query.dt)
            return super()._step(query, x0)

    result = loop(session(Noting(), mode="off"), t_end=t_end, dt=dt).run()
    assert result.t == t_end
    assert len(taken) == steps
    assert all(step == dt for step in taken[:-1])


def test_a_chosen_step_lands_on_the_end() -> None:
    result = loop(session(), dt=lambda state: 0.1 * (1 + state.step)).run()
    assert (result.t, result.stats["steps"]) == (1.0, 4)


def test_the_history_is_newest_first() -> None:
    seen: list[tuple[float, ...]] = []

    class Looking(Extrapolation):
        def _predict(self, query: Query) -> Prediction:
            seen.append(tuple(round(snapshot.t, 12) for snapshot in query.history))
            return super()._predict(query)

    Loop(session(), [Looking()], t_end=0.5, dt=0.1, history_length=2).run()
    assert seen == [(), (0.0,), (0.1, 0.0), (0.2, 0.1), (0.3, 0.2)]


@pytest.mark.mpi
def test_a_restart_repeats_the_run_bit_for_bit(shared_path: Path, comm: Communicator) -> None:
    whole = loop(session(Drifting(comm)), directory=shared_path / "whole").run()
    part = session(Drifting(comm))
    loop(part, directory=shared_path / "part", checkpoint_every=3, t_end=0.8).run()
    rest = loop(session(Drifting(comm)), directory=shared_path / "part").run(resume=True)
    assert rest.stats["steps"] == 2  # the last state is kept, too
    np.testing.assert_array_equal(rest.value, whole.value)


@pytest.mark.mpi
def test_the_newest_two_checkpoints_are_kept(shared_path: Path, comm: Communicator) -> None:
    loop(session(Drifting(comm)), directory=shared_path, checkpoint_every=2).run()
    kept = sorted(path.name for path in (shared_path / CHECKPOINT_FOLDER).iterdir())
    assert kept == ["step-00000008", "step-00000010"]
    files = sorted(path.name for path in (shared_path / CHECKPOINT_FOLDER / kept[0]).iterdir())
    assert files == ["checkpoint.json", *(f"rank-{rank:04d}.npz" for rank in range(comm.Get_size()))]


def test_a_run_that_does_not_converge_leaves_a_checkpoint(tmp_path: Path) -> None:
    class Stuck(MeanFieldSolver):
        def _step(self, query: Query, x0: Array | None) -> SolveResult:
            result = super()._step(query, x0)
            return result if query.step < 4 else SolveResult(result.value, False, "planted")

    with Ledger(tmp_path) as ledger:
        result = loop(session(Stuck(), mode="off", ledger=ledger), directory=tmp_path).run()
    assert result.status is Status.NOT_CONVERGED
    assert result.t == pytest.approx(0.4)
    assert "checkpoint of step 4" in result.message
    with pytest.raises(NotConvergedError, match="found no value at step 4"):
        result.raise_on_failure()
    assert read_checkpoint(tmp_path, SerialCommunicator()).step == 4
    assert [record["kind"] for record in read_ledger(tmp_path)][-3:-1] == ["checkpoint", "stopped"]


@pytest.mark.mpi
def test_a_request_to_stop_leaves_ledger_and_checkpoint(shared_path: Path, comm: Communicator) -> None:
    one = session(Drifting(comm))

    def stop(state: LoopState) -> None:
        if state.step == 4 and comm.Get_rank() == comm.Get_size() - 1:
            one.consensus.comm.interrupt = True

    result = loop(one, directory=shared_path, on_step=stop).run()
    assert result.status is Status.INTERRUPTED
    assert result.t == pytest.approx(0.4)
    with pytest.raises(InterruptedRunError, match="resume from there"):
        result.raise_on_failure()
    whole = loop(session(Drifting(comm))).run()
    rest = loop(session(Drifting(comm)), directory=shared_path).run(resume=True)
    np.testing.assert_array_equal(rest.value, whole.value)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_stops_after_the_current_step(tmp_path: Path, number: signal.Signals) -> None:
    code = f"""
import sys, time
from cosolve.core.testing.mean_field import MeanFieldSolver, RatioVerifier
from cosolve.core.session import Session
from cosolve.core.ledger import Ledger
from cosolve.core.loop import Loop
def slow(state):
    print("step", flush=True)
    time.sleep(0.05)
with Ledger({str(tmp_path)!r}) as ledger:
    loop = Loop(Session(MeanFieldSolver(), RatioVerifier(), ledger=ledger), t_end=100.0, dt=0.1, on_step=slow,
                directory={str(tmp_path)!r})
    result = loop.run()
print(result.status.name)
sys.exit(result.status.error.exit_code)
"""
    with subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        for _ in range(3):
            process.stdout.readline()
        process.send_signal(number)
        output, _ = process.communicate(timeout=60)
    assert process.returncode == 6
    assert output.splitlines()[-1] == "INTERRUPTED"
    steps = [record["step"] for record in read_ledger(tmp_path) if record["kind"] == "step"]
    assert read_checkpoint(tmp_path, SerialCommunicator()).step == steps[-1] + 1


@pytest.mark.parametrize(
    ("settings", "sentence"),
    [
        ({"dt": 0.0}, r"dt must be positive, got 0\.0"),
        ({"t_end": -1.0}, r"t_end must not lie before t = 0\.0, got -1\.0"),
        ({"checkpoint_every": -1}, "must not be negative"),
    ],
)
def test_wrong_settings_are_named(settings: dict[str, Any], sentence: str) -> None:
    with pytest.raises(BadInputError, match=sentence):
        loop(session(), **settings)


def test_handlers_are_put_back() -> None:
    before = signal.getsignal(signal.SIGINT), signal.getsignal(signal.SIGTERM)
    loop(session()).run()
    assert (signal.getsignal(signal.SIGINT), signal.getsignal(signal.SIGTERM)) == before


def test_progress_is_told_on_rank_0() -> None:
    told: list[float] = []
    loop(session(), progress=lambda state: told.append(state.t)).run()
    assert len(told) == 10
