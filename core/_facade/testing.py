"""Conformance tests that a third party inherits: `from cosolve.testing import SolverContract`."""

from cosolve.core.testing import (
    CouplingContract,
    PluginContract,
    SolverContract,
    StoredSurrogateContract,
    SurrogateContract,
    VerifierContract,
)

__all__ = [
    "CouplingContract",
    "PluginContract",
    "SolverContract",
    "StoredSurrogateContract",
    "SurrogateContract",
    "VerifierContract",
]
