"""SCIP through PySCIPOpt: settings and races, and guidance of its branch and bound."""

from __future__ import annotations

from cosolve.core.entries import Entry
from cosolve.core.hookspecs import hookimpl

COSOLVE_API_VERSION = 1


@hookimpl
def cosolve_surrogates() -> list[Entry]:
    """Offer the trained guide."""
    return [
        Entry(
            name="mip_guide",
            summary="branching variables and root settings for SCIP, learnt from strong branching",
            factory="cosolve.plugins.scip.guide:MIPGuide",
            contract="cosolve.plugins.scip.contract:MIPGuideContract",
            requires=("pyscipopt", "numba"),
            capabilities=("branching", "stored"),
        ),
    ]


@hookimpl
def cosolve_solvers() -> list[Entry]:
    """Offer SCIP."""
    return [
        Entry(
            name="scip",
            summary="branch and bound of a mixed-integer program, optimum certified by SCIP's own bounds",
            factory="cosolve.plugins.scip.solver:ScipSolver",
            contract="cosolve.plugins.scip.contract:ScipContract",
            requires=("pyscipopt",),
            capabilities=("certified", "serial"),
        ),
    ]


@hookimpl
def cosolve_problems() -> list[Entry]:
    """Offer a mixed-integer program from a file."""
    return [
        Entry(
            name="mip",
            summary="a mixed-integer program from an MPS, LP or CIP file, solved by SCIP",
            factory="cosolve.plugins.scip.problem:MipProblem",
            contract="cosolve.plugins.scip.contract:MipContract",
            options="cosolve.plugins.scip.options:MipOptions",
            solver_options="cosolve.plugins.scip.options:ScipOptions",
            requires=("pyscipopt",),
            capabilities=("branching", "serial"),
        ),
        Entry(
            name="branching",
            summary="a guide for a folder of instances, trained by `cosolve train branching --instances DIR`",
            factory="cosolve.plugins.scip.training:BranchingTraining",
            contract="cosolve.plugins.scip.contract:BranchingTrainingContract",
            options="cosolve.plugins.scip.options:GuideTrainingOptions",
            requires=("pyscipopt", "numba"),
            capabilities=("training", "serial"),
        ),
    ]
