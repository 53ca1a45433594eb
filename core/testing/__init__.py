"""Conformance tests that a third party inherits: subclass a contract, make the object, run pytest.

Example::

    from cosolve.testing import SolverContract

    class TestMySolver(SolverContract):
        def make(self):
            return MySolver()

        def query(self, solver):
            return Query(solver.initial_state(), t=0.0, dt=0.1)

A method that is left out fails each test that needs it, with its name.
"""

from cosolve.core.testing.contract import Contract, group
from cosolve.core.testing.coupling_contract import CouplingContract
from cosolve.core.testing.mean_field import MeanFieldSolver
from cosolve.core.testing.plugin_contract import PluginContract
from cosolve.core.testing.problem_contract import ProblemContract
from cosolve.core.testing.solver_contract import SolverContract
from cosolve.core.testing.surrogate_contract import StoredSurrogateContract, SurrogateContract
from cosolve.core.testing.verifier_contract import VerifierContract

__all__ = [
    "Contract",
    "CouplingContract",
    "MeanFieldSolver",
    "PluginContract",
    "ProblemContract",
    "SolverContract",
    "StoredSurrogateContract",
    "SurrogateContract",
    "VerifierContract",
    "group",
]
