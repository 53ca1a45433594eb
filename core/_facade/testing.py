"""Conformance tests that a third party inherits: `from cosolve.testing import SolverContract`."""

from cosolve.core.testing import (
    Contract,
    CouplingContract,
    MeanFieldSolver,
    PluginContract,
    ProblemContract,
    SolverContract,
    StoredSurrogateContract,
    SurrogateContract,
    VerifierContract,
    group,
)

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
