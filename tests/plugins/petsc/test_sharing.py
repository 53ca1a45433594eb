"""On the main path nothing is copied between PETSc, numpy and torch; what is copied is counted."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from cosolve.core.copies import CopyCount
from cosolve.core.errors import BadInputError
from cosolve.core.prediction import Prediction
from cosolve.core.query import Query
from cosolve.core.surrogate import Surrogate
from cosolve.plugins.petsc import SnesSolver, TsSolver, compat, owned, placed, wrapped
from petsc4py import PETSc
from petsc_problems import Rod


def address(array: Any) -> int:
    return int(array.ctypes.data)


def test_a_candidate_is_measured_in_its_own_memory() -> None:
    rod = Rod()
    with TsSolver(rod.ts(), rtol=1e-6) as solver:
        query = Query(solver.initial_state(), 0.0, 0.05)
        solver.tolerance(query)
        candidate = query.state + 0.01
        before, where = solver.copies.copies, address(candidate)
        rod.addresses.clear()
        solver.measure(query, candidate)
        assert list(rod.addresses) == [where], "the user's function saw the very memory of the proposal"
        assert solver.copies.copies == before
        assert address(candidate) == where


def test_a_solve_copies_its_start_and_nothing_else() -> None:
    rod = Rod()
    with SnesSolver(rod.snes(), rod.u) as solver:
        query = Query(solver.initial_state(), transaction="solve")
        solver.step(query)
        before = solver.copies.copies
        rod.addresses.clear()
        result = solver.step(query)
        assert solver.copies.copies == before + 1
        assert address(result.value) in rod.addresses, "PETSc worked in the memory that is handed out"
        assert solver.step(query).value is not result.value


def test_a_network_sees_the_very_memory_of_a_petsc_vector() -> None:
    torch = pytest.importorskip("torch", reason="torch is not installed here")
    vec = Rod().u
    view = owned(vec)
    tensor = torch.from_numpy(vec.array)
    assert address(view) == tensor.data_ptr() == torch.from_dlpack(vec.toDLPack("rw")).data_ptr()
    tensor.add_(1.0)
    np.testing.assert_array_equal(vec.array_r, tensor.numpy())

    class Network(Surrogate):
        name = "network"
        seen = 0

        def _predict(self, query: Query) -> Prediction:
            state = torch.from_numpy(query.state)
            Network.seen = state.data_ptr()
            return Prediction((state * 1.0).numpy())

    prediction = Network().predict(Query(vec.array))
    assert Network.seen == address(vec.array)
    count, other = CopyCount(), vec.duplicate()
    with placed(other, prediction.value, count) as inside:
        assert address(inside.array_r) == address(prediction.value)
    assert count.copies == 0


def test_what_cannot_be_shared_is_copied_and_counted() -> None:
    vec, count = PETSc.Vec().createSeq(4), CopyCount()
    for array in (np.ones(4, dtype=np.float32), np.ones(8)[::2]):
        with placed(vec, array, count) as inside:
            assert address(inside.array_r) != address(array)
            np.testing.assert_array_equal(inside.array_r, array)
    frozen = np.ones(4)
    frozen.flags.writeable = False
    with placed(vec, frozen, count):
        vec.set(2.0)
    assert frozen[0] == 1.0
    assert count.copies == 3
    assert count.bytes == 3 * 4 * 8


def test_a_wrapped_array_is_the_vector() -> None:
    values = np.arange(3.0)
    vec = wrapped(values, PETSc.COMM_SELF)
    vec.scale(2.0)
    assert values.tolist() == [0.0, 2.0, 4.0]
    vec.destroy()


def test_complex_numbers_are_refused_with_a_sentence(monkeypatch: pytest.MonkeyPatch) -> None:
    rod = Rod()
    monkeypatch.setattr(compat.PETSc, "ScalarType", np.complex128)
    with pytest.raises(BadInputError, match=r"complex numbers \(complex128\)"):
        SnesSolver(rod.snes(), rod.u)
    with pytest.raises(BadInputError, match="real build"):
        owned(rod.u)


def test_nested_vectors_are_refused_by_name() -> None:
    nest = PETSc.Vec().createNest([PETSc.Vec().createSeq(2), PETSc.Vec().createSeq(3)])
    with pytest.raises(BadInputError, match="'nest'"):
        owned(nest)
