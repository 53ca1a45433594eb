"""Registers the couplings exactly as a third-party plugin does."""

from __future__ import annotations

from cosolve.core.entries import Entry
from cosolve.core.hookspecs import hookimpl

COSOLVE_API_VERSION = 1


@hookimpl
def cosolve_couplings() -> list[Entry]:
    """Register the couplings."""
    return [
        Entry(
            name="time_loop",
            summary="each step proposed, judged by the residual of that very step, corrected or solved",
            factory="cosolve.couplings.time_loop:TimeLoop",
            options="cosolve.couplings.options:TimeLoopOptions",
            capabilities=("certified", "mpi"),
        ),
    ]
