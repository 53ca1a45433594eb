"""What this example registers; loads nothing heavy."""

from __future__ import annotations

from cosolve.core.entries import Entry

PROBLEMS = (
    Entry(
        name="brusselator",
        summary="the Brusselator on a DMDA by a user's own TS (Crank-Nicolson), periodic, on any number of ranks",
        factory="cosolve.examples.brusselator.problem:BrusselatorProblem",
        contract="cosolve.examples.contracts:BrusselatorContract",
        options="cosolve.examples.brusselator.options:BrusselatorOptions",
        requires=("petsc4py", "mpi4py"),
        capabilities=("mpi",),
    ),
)
SURROGATES = (
    Entry(
        name="local_regression",
        summary="each rank learns online how the points of its own patch move on; communicates nothing",
        factory="cosolve.examples.brusselator.surrogate:LocalRegression",
        options="cosolve.examples.brusselator.options:LocalRegressionOptions",
        capabilities=("online",),
    ),
)
