"""Registers solver, surrogate and verifier. Imports nothing heavy: scipy is loaded when a factory is used."""

from cosolve import Entry, hookimpl

COSOLVE_API_VERSION = 1


@hookimpl
def cosolve_solvers():
    """Offer the solver."""
    return [
        Entry(
            name="fisher",
            summary="the Fisher-KPP equation on an interval: implicit Euler, Newton, scipy's banded solver",
            factory="cosolve_fisher.solver:Fisher",
            requires=("scipy",),
            capabilities=("certified", "serial"),
        )
    ]


@hookimpl
def cosolve_surrogates():
    """Offer the splitting."""
    return [
        Entry(
            name="strang",
            summary="Strang splitting of the Fisher-KPP equation: exact reaction, exact diffusion by cosines",
            factory="cosolve_fisher.surrogate:Strang",
            requires=("scipy",),
            capabilities=("jvp", "vjp", "serial"),
            contract="cosolve_fisher.contract:StrangContract",
        )
    ]


@hookimpl
def cosolve_verifiers():
    """Offer the judge."""
    return [
        Entry(
            name="bounded_residual",
            summary="the residual below half of the tolerance, and all values in [0, 1] (certified)",
            factory="cosolve_fisher.verifier:BoundedResidual",
            capabilities=("certified",),
            contract="cosolve_fisher.contract:BoundedResidualContract",
        )
    ]
