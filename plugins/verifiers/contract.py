"""What `cosolve check-plugin` needs to know to make these objects."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

from cosolve.core.arrays import Array
from cosolve.core.prediction import Prediction
from cosolve.core.query import Query
from cosolve.core.solver import Solver
from cosolve.core.testing import MeanFieldSolver, VerifierContract
from cosolve.plugins.verifiers.composition import AllOf, FirstOf
from cosolve.plugins.verifiers.envelope import Envelope
from cosolve.plugins.verifiers.invariants import Invariants
from cosolve.plugins.verifiers.residual import Residual

_BOUNDS = {"strength": (1.0, 3.0)}


class _WithEnergy(MeanFieldSolver):
    """The mean-field solver with a quantity that a wild proposal raises."""

    def invariants(self, state: Array) -> Mapping[str, float]:
        """Return the sum of squares (collective)."""
        return {"energy": self.norm(state) ** 2}


class InvariantsContract(VerifierContract):
    """A step may raise the energy by half at most."""

    may_accept = False

    def make(self) -> Invariants:
        """Return a judge of the energy."""
        return Invariants(decaying={"energy": 0.5})

    def solver(self) -> Solver:
        """Return a solver that knows its energy."""
        return _WithEnergy(comm=self.comm, cubic=0.0, empty_rank=self.without_values)


class EnvelopeContract(VerifierContract):
    """The parameter must lie in a range."""

    may_accept = False

    def make(self) -> Envelope:
        """Return a judge of the parameter."""
        return Envelope(_BOUNDS)

    def good(self, solver: Solver) -> tuple[Query, Prediction]:
        """Return a question within the range."""
        query, prediction = super().good(solver)
        return replace(query, parameters={"strength": 2.0}), prediction

    def bad(self, solver: Solver) -> tuple[Query, Prediction]:
        """Return a question outside of it."""
        query, prediction = self.good(solver)
        return replace(query, parameters={"strength": 4.0}), prediction


class AllOfContract(EnvelopeContract):
    """The parameter's range, and the residual."""

    may_accept = True

    def make(self) -> AllOf:  # type: ignore[override]  # the same questions, another judge
        """Return a composition of two."""
        return AllOf([Envelope(_BOUNDS), Residual()])


class FirstOfContract(VerifierContract):
    """A strict residual, else a looser one."""

    def make(self) -> FirstOf:
        """Return a composition of two."""
        return FirstOf([Residual(accept_fraction=0.1), Residual()])
