"""The FEniCSx solver over ranks: the same answer on any number of them, and nobody hangs when one fails."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

pytest.importorskip("dolfinx", reason="FEniCSx is not installed here")

import ufl
from cosolve.core.errors import RankFaultError
from cosolve.core.governor import Governor
from cosolve.core.prediction import Prediction
from cosolve.core.query import Query
from cosolve.core.surrogate import Surrogate
from cosolve.couplings.time_loop import time_loop
from cosolve.plugins.fenicsx import FormSolver, compat
from cosolve.plugins.fenicsx.transfer import evaluate
from dolfinx import fem
from mpi4py import MPI

pytestmark = pytest.mark.mpi

POINTS = np.array([[0.1, 0.2, 0.0], [0.5, 0.5, 0.0], [0.93, 0.31, 0.0], [1.0, 1.0, 0.0]])


def heat(comm: Any, n: int = 8, **settings: Any) -> FormSolver:
    """Nonlinear heat conduction with a boundary value that moves, from a bump."""
    domain = compat.create_unit_square(comm, n, n)
    space = compat.function_space(domain, ("Lagrange", 1))
    u, u_n, g, v = (*(fem.Function(space) for _ in range(3)), ufl.TestFunction(space))
    dt = fem.Constant(domain, 0.01)
    u_n.interpolate(lambda x: np.sin(3.0 * x[0]) * (1.0 + x[1]))
    u_n.x.scatter_forward()
    form = (u - u_n) / dt * v * ufl.dx + (1.0 + u**2) * ufl.inner(ufl.grad(u), ufl.grad(v)) * ufl.dx
    left = fem.locate_dofs_geometrical(space, lambda x: np.isclose(x[0], 0.0))

    def update(t: float) -> None:
        g.x.array[:] = t

    defaults = {"update": update, "prefix": "mpi_heat_", "rtol": 1e-12, "invariants": {"mass": u * ufl.dx}}
    return FormSolver(form, u, previous=u_n, bcs=[fem.dirichletbc(g, left)], dt=dt, **(defaults | settings))


class Smooth(Surrogate):
    """Proposes a state that is near, but not near enough: the same on any partition."""

    name = "smooth"

    def _predict(self, query: Query) -> Prediction:
        return Prediction(query.state * (1.0 - 0.05 * query.dt))


def run(comm: Any) -> tuple[Any, np.ndarray, dict[str, float]]:
    with heat(comm) as solver:
        result = time_loop(solver, [Smooth()], t_end=0.05, dt=0.01, governor=Governor("off"), max_corrections=8)
        solver.assembly.set_state(result.value)
        return result, evaluate(solver.u, POINTS), dict(solver.invariants(result.value))


def test_the_answer_does_not_depend_on_the_number_of_ranks() -> None:
    parallel, values, invariants = run(MPI.COMM_WORLD)
    serial, expected, reference = run(MPI.COMM_SELF)
    assert np.allclose(values, expected, rtol=1e-10, atol=1e-10 * np.max(np.abs(expected)))
    assert invariants["mass"] == pytest.approx(reference["mass"], rel=1e-10)
    assert [verdict.decision for verdict in parallel.verdicts] == [verdict.decision for verdict in serial.verdicts]


def test_a_split_communicator_solves_on_each_part() -> None:
    world = MPI.COMM_WORLD
    part = world.Split(world.rank % 2, world.rank)
    try:
        _, values, _ = run(part)
        _, expected, _ = run(MPI.COMM_SELF)
        assert np.allclose(values, expected, rtol=1e-10, atol=1e-10)
    finally:
        part.Free()


def test_a_rank_may_own_no_cell() -> None:
    comm = MPI.COMM_WORLD
    with heat(comm, 1) as solver, heat(MPI.COMM_SELF, 1, prefix="serial_") as serial:
        owned = comm.allgather(solver.mesh.topology.index_map(2).size_local)
        assert sum(owned) == 2
        assert comm.size < 3 or 0 in owned
        here = solver.step(Query(solver.initial_state(), 0.0, 0.01))
        there = serial.step(Query(serial.initial_state(), 0.0, 0.01))
        assert here.converged
        assert solver.norm(here.value) == pytest.approx(serial.norm(there.value), rel=1e-10)
        assert solver.measure(Query(solver.initial_state(), 0.0, 0.01), here.value).ratio <= 1.0


@pytest.mark.parametrize("when", ["before the first residual", "in a later residual", "in the Jacobian"])
def test_a_fault_of_one_rank_inside_a_callback_is_one_error_on_all(when: str, monkeypatch: pytest.MonkeyPatch) -> None:
    comm = MPI.COMM_WORLD
    culprit = comm.size - 1
    with heat(comm) as solver:
        state = solver.initial_state()
        if comm.rank == culprit:
            _plant(solver, when, monkeypatch)
        with pytest.raises(RankFaultError) as caught:
            solver.step(Query(state, 0.0, 0.01, step=7))
        assert caught.value.rank == culprit
        assert caught.value.step == 7
        assert "planted" in str(caught.value)
        assert len(set(comm.allgather(str(caught.value)))) == 1
        assert np.array_equal(solver.u.x.array[: solver.n_owned], state), "the whole solve was rolled back"
        monkeypatch.undo()
        assert solver.step(Query(state, 0.0, 0.01, step=8)).converged, "the solver works again"


def _plant(solver: FormSolver, when: str, monkeypatch: pytest.MonkeyPatch) -> None:
    import dolfinx.fem.petsc

    assemble, calls = dolfinx.fem.petsc.assemble_vector, []

    def fail(*arguments: Any) -> Any:
        calls.append(1)
        if when == "in a later residual" and len(calls) <= 3:
            return assemble(*arguments)
        raise RuntimeError("planted in the assembly")

    if when == "before the first residual":
        monkeypatch.setattr(solver.assembly, "update", lambda t: _raise())
    elif when == "in a later residual":
        monkeypatch.setattr(dolfinx.fem.petsc, "assemble_vector", fail)
    else:
        monkeypatch.setattr(solver.assembly, "before_jacobian", _raise)


def _raise() -> None:
    raise RuntimeError("planted in a user's function")


def test_nan_and_exceptions_of_a_surrogate_cost_time_only() -> None:
    class OneRankFails(Smooth):
        name = "one_rank_fails"

        def _predict(self, query: Query) -> Prediction:
            if MPI.COMM_WORLD.rank == MPI.COMM_WORLD.size - 1:
                if query.step % 2:
                    raise RuntimeError("planted in the surrogate")
                return Prediction(np.full_like(query.state, np.nan))
            return super()._predict(query)

    with heat(MPI.COMM_WORLD) as solver:
        faulty = time_loop(solver, [OneRankFails()], t_end=0.04, dt=0.01, governor=Governor("off"))
        clean = time_loop(solver, t_end=0.04, dt=0.01, mode="off")
        assert solver.norm(faulty.value - clean.value) <= 1e-10 * solver.norm(clean.value)
        assert faulty.stats["accepted"] == 0
