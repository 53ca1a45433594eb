"""Classical proposers and the adaptive stepping: what every surrogate has to beat."""

from __future__ import annotations

from cosolve.core.entries import Entry, SurrogateTraits
from cosolve.core.hookspecs import hookimpl

COSOLVE_API_VERSION = 1

_HERE = "cosolve.plugins.baselines"


@hookimpl
def cosolve_surrogates() -> list[Entry]:
    """Offer the classical proposers."""
    return [
        Entry(
            name="previous",
            summary="the last accepted state",
            factory=f"{_HERE}.extrapolation:Previous",
            baseline=True,
        ),
        Entry(
            name="linear_extrapolation",
            summary="the line through the last two accepted states, variable steps",
            factory=f"{_HERE}.extrapolation:LinearExtrapolation",
            baseline=True,
        ),
        Entry(
            name="quadratic_extrapolation",
            summary="the parabola through the last three accepted states, variable steps",
            factory=f"{_HERE}.extrapolation:QuadraticExtrapolation",
            baseline=True,
        ),
        Entry(
            name="zero",
            summary="nothing: a state of zeros that meets the boundary conditions",
            factory=f"{_HERE}.extrapolation:Zero",
            baseline=True,
        ),
        Entry(
            name="nearest_snapshot",
            summary="the stored state with the nearest parameters and time",
            factory=f"{_HERE}.nearest_snapshot:NearestSnapshot",
            baseline=True,
            capabilities=("trainable", "stored", "serial"),
            contract=f"{_HERE}.contract:NearestSnapshotContract",
        ),
        Entry(
            name="pod_gp",
            summary="POD basis, coefficients by Gaussian processes in the parameters: needs few samples",
            factory=f"{_HERE}.pod_gp:PodGaussianProcess",
            contract=f"{_HERE}.contract:PodGpContract",
            capabilities=("trainable", "stored", "serial"),
            traits=SurrogateTraits(
                inputs="parameters",
                boundaries="as its modes",
                cost="O(n modes)",
                certified="linear constraints of the data",
            ),
        ),
        Entry(
            name="projection",
            summary="the least residual over extrapolation plus the span of recent states (Galerkin, least squares)",
            factory=f"{_HERE}.projection:Projection",
            options=f"{_HERE}.options:ProjectionOptions",
            baseline=True,
            capabilities=("collective",),
        ),
    ]


@hookimpl
def cosolve_solvers() -> list[Entry]:
    """Offer the continuation methods: solvers around solvers, the rivals of a learned start."""
    return [
        Entry(
            name="load_stepping",
            summary="adaptive continuation along a path of queries, polynomial predictor, loose on the way",
            factory=f"{_HERE}.load_stepping:LoadStepping",
            contract=f"{_HERE}.contract:LoadSteppingContract",
            options=f"{_HERE}.options:LoadSteppingOptions",
            baseline=True,
            capabilities=("certified", "mpi"),
        ),
        Entry(
            name="arc_length",
            summary="pseudo-arclength continuation, which follows a path around its turning points",
            factory=f"{_HERE}.arc_length:ArcLength",
            contract=f"{_HERE}.contract:ArcLengthContract",
            options=f"{_HERE}.options:ArcLengthOptions",
            baseline=True,
            capabilities=("certified", "mpi"),
        ),
        Entry(
            name="grid_sequencing",
            summary="a coarse solution, found by any continuation, starts the iteration on the fine mesh",
            factory=f"{_HERE}.grid_sequencing:GridSequencing",
            contract=f"{_HERE}.contract:GridSequencingContract",
            options=f"{_HERE}.options:GridSequencingOptions",
            baseline=True,
            capabilities=("certified", "mpi"),
        ),
    ]


@hookimpl
def cosolve_couplings() -> list[Entry]:
    """Offer the rival without proposers."""
    return [
        Entry(
            name="adaptive_stepping",
            summary="classical stepping with error control, no proposals: the rival of time loops",
            factory=f"{_HERE}.adaptive:AdaptiveStepping",
            options=f"{_HERE}.options:AdaptiveOptions",
            baseline=True,
            capabilities=("certified",),
        ),
        Entry(
            name="compared_time_loop",
            summary="time_loop, and beside it the same steps from each classical start, measured in the same run",
            factory=f"{_HERE}.compared:ComparedTimeLoop",
            options=f"{_HERE}.options:ComparedOptions",
            capabilities=("certified", "mpi"),
        ),
    ]
