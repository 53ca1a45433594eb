"""A small cycle jump into which a fault can be planted, and what its estimated verdicts miss."""

from __future__ import annotations

from typing import Any

import numpy as np
from cosolve.core.communicator import Communicator, SerialCommunicator
from cosolve.core.coupling import CouplingContext
from cosolve.core.governor import Governor
from cosolve.core.ledger import Ledger
from cosolve.core.loop import LoopState
from cosolve.core.prediction import Prediction
from cosolve.core.query import Query
from cosolve.core.result import Result
from cosolve.core.session import Session
from cosolve.core.testing.fault_matrix import CellSettings, FaultCase
from cosolve.core.testing.faults import FaultRole
from cosolve.couplings.cycle_jump import CycleJump, cycle_jump
from cosolve.couplings.cycle_jump_verifier import CycleSweeps
from cosolve.couplings.cycle_solver import CycleSettings, CycleSolver
from cosolve.couplings.cyclic import CyclicBlock, FloatArray
from cosolve.couplings.small_cycles import LOADS, Cycles, NearlyExact, blocks_of

TOLERANCE = 0.005
_EXACT_STEPS = 96


class ToldRate(NearlyExact):
    """Computes its rate by a method that is told the question, so that a fault can begin with a block of choice."""

    _query: Query | None = None

    def _predict(self, query: Query) -> Prediction:
        self._query = query
        return super()._predict(query)

    def rate(self, block: CyclicBlock, tau: float, coefficients: FloatArray) -> FloatArray:
        """Return the log of the growth over the period around `tau`."""
        assert self._query is not None, "a rate is asked for after the end of its block"
        return self.told_rate(self._query, block, tau, coefficients)

    def told_rate(self, query: Query, block: CyclicBlock, tau: float, coefficients: FloatArray) -> FloatArray:
        """Return the same; `query` is that of the block."""
        return super().rate(block, tau, coefficients)


class CycleJumpCase(FaultCase):
    """A cycle jump whose surrogate is nearly exact, until a fault is planted into it.

    Args:
        comm: Communicator of the run.
        role: Whose fault is planted; where it is the solver, nobody proposes.
    """

    def __init__(self, comm: Communicator, role: FaultRole) -> None:
        self._comm: Any = comm.Dup()
        self._mode: Any = "off" if role == "solver" else "replace"
        self._solver = solver_of(self._comm)
        self._parts: dict[FaultRole, Any] = {
            "solver": self._solver,
            "surrogate": ToldRate(),
            "verifier": CycleSweeps(),
        }
        self._ends: list[FloatArray] = []

    def part(self, role: FaultRole) -> Any:
        """Return the part with that role."""
        return self._parts[role]

    def run(self, settings: CellSettings) -> Result:
        """Run all blocks (collective)."""
        self._ends.clear()
        ledger = Ledger(settings.directory, self._comm)
        session = Session(
            self._solver,
            self._parts["verifier"],
            mode=self._mode,
            governor=Governor("off"),
            ledger=ledger,
            deadline_seconds=settings.deadline_seconds,
            solver_deadline_seconds=settings.solver_deadline_seconds,
            smallest_step_fraction=settings.smallest_step_fraction,
            heartbeat=settings.heartbeat,
        )
        context = CouplingContext(
            session,
            self._solver,
            [self._parts["surrogate"]],
            self._parts["verifier"],
            directory=settings.directory,
            checkpoint_every=1,
        )
        try:
            return CycleJump(context, self._keep).run()
        finally:
            session.close()
            ledger.close()

    def _keep(self, state: LoopState) -> None:
        self._ends.append(self._solver.parts(state.value)[0].copy())

    def error(self, result: Result) -> float:
        """Return the largest relative error at a block's end over the tolerance (collective)."""
        return max(errors_of(self._solver, self._ends)) / TOLERANCE

    def close(self) -> None:
        """Free the duplicated communicator."""
        self._solver.close()
        self._comm.Free()


def solver_of(comm: Communicator, loads: tuple[float, ...] = LOADS) -> CycleSolver:
    """Return the solver of all blocks (collective)."""
    cyclic = Cycles(comm)
    return CycleSolver(
        cyclic, cyclic.start(), blocks_of(loads), CycleSettings(tolerance=TOLERANCE, classical_factor=0.3)
    )


def errors_of(solver: CycleSolver, ends: list[FloatArray]) -> list[float]:
    """Return the true relative error of the quantity at each block's end, by a fine full stepping (collective)."""
    cyclic = solver.cyclic
    assert isinstance(cyclic, Cycles)
    state, found = cyclic.start(), []
    for block, end in zip(solver.blocks, ends, strict=True):
        state = cyclic.advance(state, block.load, block.periods, _EXACT_STEPS)
        exact = cyclic.quantity(state.phi)
        found.append(cyclic.norm(cyclic.quantity(end) - exact) / cyclic.norm(exact))
    return found


def small(comm: Communicator, role: FaultRole) -> CycleJumpCase:
    """Return the case."""
    return CycleJumpCase(comm, role)


def planted_lie(size: float, seed: int) -> dict[str, Any]:
    """Run a surrogate whose log-rate errs by `size`, and say what became of it (serial).

    Args:
        size: Amplitude of the error of the log-rate.
        seed: Draws the loads and the phase of the error.
    """
    rng = np.random.default_rng(seed)
    loads = tuple(float(load) for load in rng.uniform(0.3, 0.9, len(LOADS)))
    solver = solver_of(SerialCommunicator(), loads)
    ends: list[FloatArray] = []
    lying = NearlyExact(size, float(rng.uniform(0.0, 6.0)))
    result = cycle_jump(solver, lying, on_block=lambda state: ends.append(solver.parts(state.value)[0].copy()))
    error = max(errors_of(solver, ends))
    return {
        "size": size,
        "seed": seed,
        "accepted_blocks": result.stats["blocks_surrogate"],
        "error": error,
        "estimate": result.stats["estimated_error"],
        "missed": bool(error > TOLERANCE),
    }
