"""What the conformance kits need to know: which solver surrogate and verifier belong to."""

from cosolve import Query
from cosolve.testing import SurrogateContract, VerifierContract

from cosolve_fisher.solver import Fisher


class StrangContract(SurrogateContract):
    """The splitting is asked along a run of `Fisher`."""

    differentiable = True

    def solver(self):
        """Return the solver that it proposes for."""
        return Fisher()

    def first_question(self, solver):
        """Return the first step of a run."""
        return Query(solver.initial_state(), 0.0, 0.02)


class BoundedResidualContract(VerifierContract):
    """The judge judges steps of `Fisher`."""

    def solver(self):
        """Return the solver to judge by."""
        return Fisher()
