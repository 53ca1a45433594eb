"""The time loop beside its rivals: the same steps with classical starts, measured in the same run."""

from __future__ import annotations

import shutil
import statistics
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, ClassVar

from cosolve.core.arrays import Array
from cosolve.core.coupling import Coupling, CouplingContext
from cosolve.core.errors import BadInputError
from cosolve.core.governor import Governor
from cosolve.core.ledger import Ledger
from cosolve.core.query import Query, Snapshot, Transaction
from cosolve.core.registry import Registry
from cosolve.core.result import Result
from cosolve.core.session import Session
from cosolve.core.solver import Solver
from cosolve.core.surrogate import Surrogate
from cosolve.plugins.baselines.options import ComparedOptions

_HISTORY = 3


@dataclass(slots=True)
class Measured:
    """What a method took and gave.

    Attributes:
        seconds: CPU seconds of each repetition, the largest over the ranks.
        states: The states after each step, of the first repetition.
        iterations: Outer iterations of one repetition.
    """

    seconds: list[float] = field(default_factory=list)
    states: list[Array] = field(default_factory=list)
    iterations: int = 0

    @property
    def median(self) -> float:
        """Median of the CPU seconds."""
        return statistics.median(self.seconds)


class ComparedTimeLoop(Coupling):
    """Runs `time_loop`, and beside it each rival: the bare solver from one classical start, same steps, same tolerance.

    Repetitions are interleaved, so that a machine that slows down slows all of them. A rival runs without session,
    verifier or ledger: it pays for nothing that it does not need. Each comparison goes to the ledger (`comparison`),
    with data and training of the surrogates, and with the largest error against a run of the solver at
    `reference_rtol`.

    Args:
        context: As for `time_loop`; needs a problem with a time span.
    """

    name: ClassVar[str] = "compared_time_loop"
    transaction: ClassVar[Transaction] = "step"

    def __init__(self, context: CouplingContext) -> None:
        super().__init__(context)
        if context.problem is None:
            raise BadInputError("compared_time_loop needs a problem with a time span; use time_loop in a script")
        self.options = context.settings if isinstance(context.settings, ComparedOptions) else ComparedOptions()
        registry = Registry.discover()
        self._time_loop: Callable[..., Coupling] = registry.load("coupling", "time_loop", where=self.name)
        self._rivals: list[Surrogate] = [
            registry.load("surrogate", name, where="coupling.rivals")() for name in self.options.rivals
        ]

    def run(self) -> Result:
        """Run the hybrid and its rivals (collective); the result is that of the first hybrid run."""
        context = self.context
        for rival in self._rivals:
            rival.bind(context.solver)
        hybrid, rivals = Measured(), {rival.name: Measured() for rival in self._rivals}
        result: Result | None = None
        for repetition in range(self.options.repeats):
            for rival in self._rivals:
                self._measure_rival(rival, rivals[rival.name])
            if repetition == 0:
                result = self._measure_hybrid(context, hybrid)
                if not result.ok:
                    return result
            else:
                self._repeat_hybrid(hybrid)
        assert result is not None
        reference = self._reference()
        for name, measured in sorted(rivals.items(), key=lambda item: item[1].median):
            self._record(name, measured, hybrid, reference)
        return result

    def _measure_hybrid(self, context: CouplingContext, measured: Measured) -> Result:
        """Run the hybrid once and time it, its ledger included, the fields that it writes for ParaView left out."""
        states: list[Array] = []
        writing = 0.0
        on_commit = context.on_commit

        def commit(t: float, value: Array, source: str) -> None:
            nonlocal writing
            begin = time.process_time()
            if on_commit is not None:
                on_commit(t, value, source)
            writing += time.process_time() - begin

        loop = self._time_loop(
            replace(context, settings=None, on_commit=commit),
            on_step=None if measured.states else lambda state: states.append(state.value),
        )
        result: Result
        result, seconds = self._timed(loop.run)
        measured.seconds.append(seconds - writing)
        measured.states = measured.states or states
        return result

    def _repeat_hybrid(self, measured: Measured) -> None:
        """Run the hybrid again, with a session, a governor and a ledger of its own, which is thrown away."""
        context, first = self.context, self.context.session
        comm = context.solver.comm
        folder = Path(comm.bcast(tempfile.mkdtemp(prefix="cosolve-") if comm.Get_rank() == 0 else "", root=0))
        memory = [(proposer, dict(proposer.memory())) for proposer in context.proposers]
        governor = first.governor if first.governor.mode == "replay" else Governor(first.governor.mode)
        ledger = None if first.ledger is None else Ledger(folder, comm)
        session = Session(context.solver, context.verifier, mode=first.mode, governor=governor, ledger=ledger)
        try:
            self._measure_hybrid(
                replace(context, session=session, directory=None, on_commit=None, resume=False, checkpoint_every=0),
                measured,
            )
        finally:
            session.close()
            if ledger is not None:
                ledger.close()
            if comm.Get_rank() == 0:
                shutil.rmtree(folder, ignore_errors=True)
        for proposer, kept in memory:
            proposer.restore(kept)

    def _measure_rival(self, rival: Surrogate, measured: Measured) -> None:
        """Run the bare solver from the starts of one rival."""
        states: list[Array] = []
        iterations, seconds = self._timed(lambda: self._march(self.context.solver, rival, states))
        if iterations is not None:
            measured.iterations = iterations
            measured.states = measured.states or states
        measured.seconds.append(seconds if iterations is not None else float("nan"))

    def _march(self, solver: Solver, start: Surrogate | None, states: list[Array]) -> int | None:
        """Step over the whole span and append the states; return the iterations, None when a step did not converge."""
        assert self.context.problem is not None
        t, t_end, dt = self.context.problem.time_span
        state, iterations = solver.initial_state(), 0
        chain: tuple[Snapshot, ...] = ()
        for step in range(round((t_end - t) / dt)):
            now = t + step * dt
            query = Query(state, now, dt, step, parameters=self.context.parameters, history=chain)
            result = solver.step(query, None if start is None else start.predict(query).value)
            if not result.converged:
                return None
            chain = (Snapshot(now, state), *chain)[:_HISTORY]
            state = result.value
            states.append(state)
            iterations += result.iterations
        return iterations

    def _reference(self) -> list[Array]:
        """Return the states of a run at `reference_rtol`; empty where that is 0 or it did not converge."""
        context, rtol = self.context, self.options.reference_rtol
        if rtol <= 0.0:
            return []
        assert context.problem is not None
        solver = context.problem.make_solver(context.solver.comm, {"rtol": rtol})
        states: list[Array] = []
        done = self._march(solver, None, states)
        solver.close()
        return states if done is not None else []

    def _error(self, measured: Measured, reference: list[Array]) -> float:
        """Return the largest relative error over the steps, in the solver's norm; NaN without a reference."""
        solver = self.context.solver
        if not reference or len(reference) != len(measured.states):
            return float("nan")
        return max(
            solver.norm(state - true) / max(solver.norm(true), 1e-300)
            for state, true in zip(measured.states, reference, strict=True)
        )

    def _record(self, name: str, rival: Measured, hybrid: Measured, reference: list[Array]) -> None:
        errors: dict[str, Any] = {"error": self._error(hybrid, reference), "rival_error": self._error(rival, reference)}
        ledger = self.context.session.ledger
        if ledger is None:
            return
        cards = [card for p in self.context.proposers if (card := getattr(p, "model_card", None)) is not None]
        costs = {
            "data_seconds": sum(card.cost_data_seconds for card in cards),
            "training_seconds": sum(card.cost_training_seconds for card in cards),
        }
        ledger.write(
            "comparison",
            rival=f"solver from {name}",
            rival_cost_seconds=rival.median,
            run_cost_seconds=hybrid.median,
            rival_costs=rival.seconds,
            run_costs=hybrid.seconds,
            rival_iterations=rival.iterations,
            measure=f"largest relative L2 difference over the steps from a run at rtol {self.options.reference_rtol:g}",
            **({} if not reference else errors),
            **(costs if cards else {}),
        )

    def _timed(self, work: Callable[[], Any]) -> tuple[Any, float]:
        """Return what `work` returns and its CPU seconds, the largest over the ranks (collective)."""
        begin = time.process_time()
        value = work()
        spent = time.process_time() - begin
        return value, max(float(part) for part in self.context.solver.comm.allgather(spent))
