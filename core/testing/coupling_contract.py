"""What every coupling keeps, tested on the third party's own object."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
from cosolve.core.arrays import Array
from cosolve.core.communicator import Communicator
from cosolve.core.coupling import Coupling, CouplingContext
from cosolve.core.governor import Governor
from cosolve.core.prediction import Prediction
from cosolve.core.problem import Problem
from cosolve.core.query import Query
from cosolve.core.session import Session
from cosolve.core.solver import Solver
from cosolve.core.surrogate import Surrogate
from cosolve.core.testing.contract import Contract, gathered, group
from cosolve.core.testing.mean_field import MeanFieldSolver, RatioVerifier
from cosolve.core.testing.memory import growth
from cosolve.core.testing.unimplemented import unimplemented


class FaultySurrogate(Surrogate):
    """Proposes what a given function makes of the state: NaN, a wrong shape, a lie, an exception."""

    name = "faulty"

    def __init__(self, propose: Callable[[Query], Array]) -> None:
        self.propose = propose

    def _predict(self, query: Query) -> Prediction:
        return Prediction(self.propose(query))


def _raise(query: Query) -> Array:
    raise RuntimeError("this surrogate always fails")


FAULTS: dict[str, Callable[[Query], Array]] = {
    "nan": lambda query: np.full_like(query.state, np.nan),
    "wrong shape": lambda query: np.zeros(query.state.size + 1, dtype=query.state.dtype),
    "wrong dtype": lambda query: query.state.astype(np.float16),
    "exception": _raise,
    "lie": lambda query: query.state + 1.0 + np.cos(np.arange(query.state.size)),
}
"""What a surrogate can do wrong; each must cost time and nothing else."""


class MeanFieldProblem(Problem):
    """The mean-field solver over one unit of time in five steps, for couplings that read a problem."""

    name = "mean_field"

    def __init__(self, options: Any = None, empty_rank: int | None = None) -> None:
        self._empty_rank = empty_rank
        self.parameters: Mapping[str, Any] = {}

    def make_solver(self, comm: Communicator, settings: Mapping[str, Any]) -> Solver:
        """Return the solver (collective)."""
        return MeanFieldSolver(comm=comm, cubic=0.0, empty_rank=self._empty_rank)

    @property
    def time_span(self) -> tuple[float, float, float]:
        """Return 0, 0.5 and 0.1."""
        return 0.0, 0.5, 0.1


class CouplingContract(Contract):
    """Inherit, implement `make`, and let pytest collect the class. Collective when run under mpirun.

    `make(surrogates)` builds the coupling of a small problem with these surrogates, and with none of them the classical
    run.
    """

    rtol = 1e-6
    """How near a run with a faulty surrogate must be to the classical run, relative to the largest value."""

    def make(self, surrogates: list[Surrogate]) -> Coupling:
        """Return the coupling, ready to run."""
        if self.entry is None:
            raise unimplemented(self, "make", "the coupling, ready to run")
        coupling: Coupling = self.entry.load()(self.context(surrogates))
        return coupling

    def context(self, surrogates: Sequence[Surrogate]) -> CouplingContext:
        """Return what the coupling gets where only its entry is known: the mean-field problem and its residual."""
        solver = MeanFieldSolver(comm=self.comm, cubic=0.0, empty_rank=self.without_values)
        verifier = RatioVerifier()
        session = Session(solver, verifier, governor=Governor("off"))
        options = self.entry.load_options() if self.entry is not None else None
        settings = None if options is None else options()
        problem = MeanFieldProblem(empty_rank=self.without_values)
        return CouplingContext(session, solver, surrogates, verifier, problem=problem, settings=settings)

    def test_it_declares_its_transaction(self) -> None:
        coupling = self.make([])
        assert coupling.name, "its name is empty"
        assert coupling.name != Coupling.name, "give the class a `name`: cases refer to it"
        assert coupling.transaction in ("step", "solve", "run"), f"unknown transaction {coupling.transaction!r}"
        assert coupling.verdict_falls in ("now", "deferred", "host"), (
            f"unknown verdict_falls {coupling.verdict_falls!r}"
        )

    def test_the_classical_run_ends_well(self) -> None:
        result = self.make([]).run()
        assert result.ok, f"without a surrogate the run fails: {result.message}"
        assert np.all(np.isfinite(result.value)), "without a surrogate the run ends with values that are not finite"

    @group("determinism")
    def test_two_runs_end_alike(self) -> None:
        first, second = self.make([]).run().value, self.make([]).run().value
        assert np.array_equal(first, second), "two classical runs end with different values"

    @group("faults")
    def test_whatever_a_surrogate_does_wrong_the_answer_is_the_classical_one(self) -> None:
        classical = self.make([]).run().raise_on_failure().value
        scale = float(np.max(np.abs(classical), initial=1e-30))
        for fault, propose in FAULTS.items():
            result = self.make([FaultySurrogate(propose)]).run()
            assert result.ok, f"{fault} in the surrogate: the run fails: {result.message}"
            difference = float(np.max(np.abs(result.value - classical), initial=0.0))
            assert difference <= self.rtol * scale, (
                f"{fault} in the surrogate: the run ends {difference / scale:.3g} away from the classical one "
                f"(allowed {self.rtol:g})"
            )

    @group("memory")
    def test_memory_does_not_grow(self) -> None:
        if self.entry is None or type(self).make is not CouplingContract.make:
            self.leave_out("a kit with a coupling of its own says nothing of repeated runs")
            return
        grown = growth(lambda _: self.make([]).run(), min(self.calls, 40), allowed=8192)
        assert not grown, f"{grown}, run again and again"

    def trial(self) -> None:
        self.make([])

    def probe(self) -> dict[str, Array]:
        """Return the final state of the classical run and of one with a liar (collective)."""
        if self.serial:
            return {}
        found = {}
        for what, surrogates in (("classical", []), ("with a liar", [FaultySurrogate(FAULTS["lie"])])):
            coupling = self.make(list(surrogates))
            value = coupling.run().raise_on_failure().value
            try:
                places = coupling.context.solver.coordinates()
            except NotImplementedError:
                places = value[:, None]
            found[f"final state, {what}"] = gathered(self.comm, value, places)
        return found
