"""Runnable examples, named by problem; registered exactly as a third-party plugin registers its own."""

from __future__ import annotations

from cosolve.core.entries import Entry
from cosolve.core.hookspecs import hookimpl
from cosolve.examples import time_loop_bench
from cosolve.examples.brusselator import registration as brusselator_entries
from cosolve.examples.cahn_hilliard import registration as cahn_hilliard_entries
from cosolve.examples.cantilever import registration as cantilever_entries
from cosolve.examples.curing import registration as curing_entries
from cosolve.examples.cylinder import registration as cylinder_entries
from cosolve.examples.embedded import registration as embedded_entries
from cosolve.examples.faults import registration as faults_entries
from cosolve.examples.heat import registration as heat_entries
from cosolve.examples.linear_guess import registration as linear_guess_entries
from cosolve.examples.mips import registration as mips_entries
from cosolve.examples.operators import registration as operators_entries
from cosolve.examples.overhead import registration as overhead_entries
from cosolve.examples.preconditioning import registration as preconditioning_entries
from cosolve.examples.scaling import registration as scaling_entries

COSOLVE_API_VERSION = 1


@hookimpl
def cosolve_problems() -> list[Entry]:
    """Register the problems of the examples."""
    parts = (
        heat_entries,
        cahn_hilliard_entries,
        cantilever_entries,
        curing_entries,
        cylinder_entries,
        embedded_entries,
        brusselator_entries,
        preconditioning_entries,
    )
    return [entry for part in parts for entry in part.PROBLEMS]


@hookimpl
def cosolve_couplings() -> list[Entry]:
    """Register the couplings of the examples."""
    return [*curing_entries.COUPLINGS]


@hookimpl
def cosolve_surrogates() -> list[Entry]:
    """Register the surrogates of the examples."""
    return [*curing_entries.SURROGATES, *brusselator_entries.SURROGATES, *cylinder_entries.SURROGATES]


@hookimpl
def cosolve_benches() -> list[Entry]:
    """Register the benches of the examples."""
    parts = (
        overhead_entries,
        time_loop_bench,
        mips_entries,
        cantilever_entries,
        cylinder_entries,
        faults_entries,
        scaling_entries,
        linear_guess_entries,
        operators_entries,
        preconditioning_entries,
    )
    return [entry for part in parts for entry in part.BENCHES]
