"""The plugin keeps the contracts of its roles, and the wave travels at its own speed."""

from cosolve.testing import PluginContract, SolverContract
from cosolve_fisher import cosolve_solvers, cosolve_surrogates, cosolve_verifiers
from cosolve_fisher.contract import BoundedResidualContract, StrangContract


class TestRegistration(PluginContract):
    def module_name(self):
        return "cosolve_fisher"


class TestFisher(SolverContract):
    entry = cosolve_solvers()[0]


class TestStrang(StrangContract):
    entry = cosolve_surrogates()[0]


class TestBoundedResidual(BoundedResidualContract):
    entry = cosolve_verifiers()[0]
