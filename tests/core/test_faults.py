"""The catalogue of faults: each kind does what it says to an object that works, and is taken out again."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from cosolve.core.communicator import SerialCommunicator
from cosolve.core.prediction import Prediction
from cosolve.core.query import Query
from cosolve.core.surrogate import Surrogate
from cosolve.core.testing.fault_matrix import cells_of, pairwise
from cosolve.core.testing.faults import CATALOGUE, Fault, Kind, missing, plant, role_of
from cosolve.core.testing.mean_field import MeanFieldSolver, RatioVerifier
from cosolve.core.verdict import Decision
from cosolve.examples.faults.targets import TARGETS

SERIAL = SerialCommunicator()
SPOILING: tuple[Kind, ...] = (
    "plausible", "slight", "nan", "inf", "exception", "shape", "dtype", "device", "in_place", "random",
)  # fmt: skip


class Copy(Surrogate):
    name = "copy"

    def _predict(self, query: Query) -> Prediction:
        return Prediction(query.state.copy())


def _spoilt(kind: Kind) -> tuple[Query, Any]:
    query = Query(np.linspace(1.0, 2.0, 5))
    surrogate = Copy()
    with plant(surrogate, Fault(kind, size=0.05 if kind == "plausible" else 1e-7), SERIAL) as planted:
        value = surrogate.predict(query).value
        assert planted.struck == 1
    assert surrogate.predict(query).value is not value
    np.testing.assert_array_equal(surrogate.predict(query).value, query.state)
    return query, value


@pytest.mark.parametrize("kind", SPOILING)
def test_each_kind_spoils_a_surrogate_and_is_taken_out_again(kind: Kind) -> None:
    if missing(kind):
        pytest.skip(f"needs {missing(kind)}")
    if kind == "exception":
        with pytest.raises(ValueError, match="planted on rank 0"):
            _spoilt(kind)
        return
    query, value = _spoilt(kind)
    expected = np.linspace(1.0, 2.0, 5)
    if kind == "nan":
        assert np.isnan(value).all()
    elif kind == "inf":
        assert np.isinf(value).all()
    elif kind == "shape":
        assert value.shape == (6,)
    elif kind == "dtype":
        assert value.dtype == np.float32
    elif kind == "device":
        assert not isinstance(value, np.ndarray)
        assert value.device.type in ("meta", "cuda")
    elif kind == "in_place":
        np.testing.assert_array_equal(value, expected)
        np.testing.assert_array_equal(query.state, expected + 1.0)
    else:
        error = np.max(np.abs(value / expected - 1.0))
        assert 0.0 < error <= (0.1 if kind == "plausible" else 1e-6)
        assert kind != "plausible" or error > 0.01


def test_a_fault_waits_for_its_step_and_its_rank() -> None:
    surrogate = Copy()
    query = Query(np.ones(3))
    with plant(surrogate, Fault("nan", rank=1), SERIAL), plant(surrogate, Fault("inf", steps=(4,)), SERIAL):
        np.testing.assert_array_equal(surrogate.predict(query).value, 1.0)
        assert np.isinf(surrogate.predict(replace(query, step=4)).value).all()


def test_a_verifier_and_a_solver_can_be_spoilt() -> None:
    solver, verifier = MeanFieldSolver(), RatioVerifier()
    assert (role_of(solver), role_of(verifier), role_of(Copy())) == ("solver", "verifier", "surrogate")
    query = Query(solver.initial_state(), dt=0.1)
    with plant(solver, Fault("nan"), SERIAL), plant(verifier, Fault("nan"), SERIAL):
        assert np.isnan(solver.step(query).value).all()
        verdict = verifier.judge(solver, query, Prediction(query.state))
    assert (verdict.decision, np.isnan(verdict.measure)) == (Decision.ACCEPT, True)
    assert np.isfinite(solver.step(query).value).all()


def test_every_pair_of_kind_role_coupling_and_ranks_is_in_the_choice() -> None:
    cells, left_out = cells_of(TARGETS.values())
    chosen = pairwise(cells)
    assert len(chosen) < len(cells) / 2
    for one, other in (("kind", "role"), ("kind", "ranks"), ("kind", "target"), ("role", "ranks"), ("role", "target")):
        found = {(getattr(cell, one), getattr(cell, other)) for cell in chosen}
        assert found == {(getattr(cell, one), getattr(cell, other)) for cell in cells}
    assert len(cells) + len(left_out) == len(TARGETS) * len(CATALOGUE) * 3 * 3
    assert all(reason for _, reason in left_out)
