"""What every coupling keeps, tested on the third party's own object."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from cosolve.core.arrays import Array
from cosolve.core.coupling import Coupling
from cosolve.core.prediction import Prediction
from cosolve.core.query import Query
from cosolve.core.surrogate import Surrogate
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


class CouplingContract:
    """Inherit, implement `make`, and let pytest collect the class. Collective when run under mpirun.

    `make(surrogates)` builds the coupling of a small problem with these surrogates, and with none of them the classical
    run.
    """

    rtol = 1e-6
    """How near a run with a faulty surrogate must be to the classical run, relative to the largest value."""

    def make(self, surrogates: list[Surrogate]) -> Coupling:
        """Return the coupling, ready to run."""
        raise unimplemented(self, "make", "the coupling, ready to run")

    def test_it_declares_its_transaction(self) -> None:
        coupling = self.make([])
        assert coupling.name
        assert coupling.name != Coupling.name
        assert coupling.transaction in ("step", "solve", "run")
        assert coupling.verdict_falls in ("now", "deferred", "host")

    def test_whatever_a_surrogate_does_wrong_the_answer_is_the_classical_one(self) -> None:
        classical = self.make([]).run().raise_on_failure().value
        scale = float(np.max(np.abs(classical), initial=1e-30))
        for fault, propose in FAULTS.items():
            result = self.make([FaultySurrogate(propose)]).run()
            assert result.ok, f"{fault}: {result.message}"
            difference = float(np.max(np.abs(result.value - classical), initial=0.0))
            assert difference <= self.rtol * scale, f"{fault}: differs by {difference:.3g}"
