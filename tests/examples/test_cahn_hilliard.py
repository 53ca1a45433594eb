from __future__ import annotations

import numpy as np
import pytest

pytest.importorskip("dolfinx", reason="FEniCSx is not installed here")

from cosolve.core.query import Query, Snapshot
from cosolve.examples.cahn_hilliard.options import CahnHilliardOptions
from cosolve.examples.cahn_hilliard.problem import CahnHilliardProblem
from mpi4py import MPI


def test_mass_is_kept_and_energy_falls_in_steps_of_any_length() -> None:
    problem = CahnHilliardProblem(CahnHilliardOptions(cells=16, epsilon=0.08))
    with problem.make_solver(MPI.COMM_SELF, {"prefix": "ch_test_"}) as solver:
        state, t, history = solver.initial_state(), 0.0, ()
        values = [solver.invariants(state)]
        for step, dt in enumerate([1e-3] * 10 + [5e-3] * 10 + [2e-2] * 5):
            result = solver.step(Query(state, t, dt, step=step, history=history))
            assert result.converged, result.reason
            history = (Snapshot(t, state), *history)[:3]
            state, t = result.value, t + dt
            values.append(solver.invariants(state))
    energies = np.array([value["energy"] for value in values])
    assert np.all(np.diff(energies) <= 1e-9 * energies[0])
    assert energies[-1] < 0.9 * energies[0], "the mixture separates"
    assert np.ptp([value["mass"] for value in values]) < 1e-9


def test_the_initial_state_is_the_same_on_every_mesh() -> None:
    coarse, fine = (CahnHilliardProblem(CahnHilliardOptions(cells=cells, seed=3)) for cells in (8, 16))
    points = np.array([[0.25, 0.5], [0.125, 0.75], [0.0, 0.0]])
    assert np.array_equal(coarse.initial_concentration(points), fine.initial_concentration(points))
    assert not np.array_equal(
        coarse.initial_concentration(points),
        CahnHilliardProblem(CahnHilliardOptions(seed=4)).initial_concentration(points),
    )


def test_a_network_is_asked_judged_and_never_wrongly_accepted() -> None:
    pytest.importorskip("torch")
    from cosolve.core.governor import Governor
    from cosolve.core.session import Session
    from cosolve.examples.cahn_hilliard.bench import HybridStep
    from cosolve.examples.cahn_hilliard.network import CahnHilliardNetwork, StepNetwork
    from cosolve.plugins.verifiers import Residual

    problem = CahnHilliardProblem(CahnHilliardOptions(cells=16, epsilon=0.08))
    with (
        problem.make_solver(MPI.COMM_SELF, {"prefix": "ch_hybrid_"}) as solver,
        Session(solver, Residual(), governor=Governor("off")) as session,
    ):
        hybrid = HybridStep(session, [CahnHilliardNetwork(StepNetwork())])
        state, history = solver.initial_state(), ()
        for step in range(5):
            query = Query(state, 1e-3 * step, 1e-3, step=step, history=history)
            result = hybrid.step(query)
            assert solver.measure(query, result.value).ratio <= 1.0
            history = (Snapshot(query.t, state), *history)[:3]
            state = result.value
        assert session.stats["judged"] == 5
        assert session.stats["accepted"] == len(hybrid.accepted)
