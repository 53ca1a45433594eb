"""A slow surrogate as a proposer: what it says the end of a block is, before any checkpoint corrects it."""

from __future__ import annotations

from typing import ClassVar

from cosolve.core.domain import Domain
from cosolve.core.errors import BadInputError
from cosolve.core.prediction import Prediction
from cosolve.core.query import Query
from cosolve.core.solver import Solver
from cosolve.core.surrogate import StoredSurrogate
from cosolve.couplings.cycle_solver import CycleSolver, Proposal
from cosolve.couplings.cyclic import SlowModel
from cosolve.couplings.slow_evolution import SlowEvolution


class SlowSurrogate(StoredSurrogate, SlowModel):
    """Base of surrogates of a slow evolution. Subclasses give `moments`, `rate`, `lift` and bind to the nodes.

    It proposes the end of a block by integrating its own rate; it communicates through the cyclic solver only.
    """

    collective: ClassVar[bool] = True
    predict_keeps_memory: ClassVar[bool] = True
    domain = Domain(dtypes=("float64",))
    _solver: CycleSolver | None = None

    def bind(self, solver: Solver) -> None:
        """Take the solver (collective).

        Raises:
            BadInputError: The solver runs no cycles.
        """
        if not isinstance(solver, CycleSolver):
            raise BadInputError(
                f"surrogate {self.name!r} proposes slow evolutions over cycles, but solver {solver.name!r} runs no "
                "cycles; use it with the coupling `cycle_jump`"
            )
        self._solver = solver

    def _predict(self, query: Query) -> Prediction:
        """Integrate the slow evolution over the block (collective)."""
        solver = self._solver
        if solver is None:
            raise BadInputError(f"surrogate {self.name!r} was not bound to a solver; call `bind(solver)`")
        block = solver.block(query)
        slow, fast = solver.parts(query.state)
        evolution = SlowEvolution(solver.cyclic, self, block, slow)
        solver.proposal = Proposal(query.step, evolution, self.refusal(block))
        if solver.proposal.refusal:
            # Outside its training nothing is integrated: the judge refuses, whatever the value.
            return Prediction(query.state.copy(), notes={"refusal": solver.proposal.refusal})
        end = evolution.integrate([float(block.periods)])[0]
        return Prediction(solver.flat(end, fast), notes={"evaluations": evolution.evaluations})
