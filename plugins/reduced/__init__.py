"""Surrogates in numpy alone: reduced bases with ridge regression, and dynamic mode decomposition."""

from __future__ import annotations

from cosolve.core.entries import Entry, SurrogateTraits
from cosolve.core.hookspecs import hookimpl

COSOLVE_API_VERSION = 1


@hookimpl
def cosolve_surrogates() -> list[Entry]:
    """Offer the reduced surrogates."""
    return [
        Entry(
            name="pod_ridge",
            summary="POD modes with coefficients by polynomial ridge regression on state, parameters and schedules",
            factory="cosolve.plugins.reduced.pod_ridge:PodRidge",
            capabilities=("trainable", "stored", "jvp", "vjp", "mesh-transferable", "serial"),
            contract="cosolve.plugins.reduced.contract:PodRidgeContract",
            traits=SurrogateTraits(
                inputs="state, parameters, schedules",
                boundaries="as its modes",
                cost="O(n modes)",
                certified="linear constraints of the data",
            ),
        ),
        Entry(
            name="dmd",
            summary="dynamic mode decomposition: the best linear map from state to next state on POD modes",
            factory="cosolve.plugins.reduced.dmd:Dmd",
            capabilities=("trainable", "stored", "jvp", "vjp", "serial"),
            contract="cosolve.plugins.reduced.contract:DmdContract",
            traits=SurrogateTraits(
                boundaries="as its modes", cost="O(n modes)", certified="linear constraints of the data"
            ),
        ),
    ]
