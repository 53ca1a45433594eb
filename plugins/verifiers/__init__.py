"""Judges: the solver's residual, invariants, the training envelope, and their compositions."""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

from cosolve.core.entries import Entry
from cosolve.core.hookspecs import hookimpl

if TYPE_CHECKING:
    from cosolve.plugins.verifiers.composition import AllOf, FirstOf
    from cosolve.plugins.verifiers.envelope import Envelope
    from cosolve.plugins.verifiers.invariants import Invariants
    from cosolve.plugins.verifiers.residual import Residual

COSOLVE_API_VERSION = 1

__all__ = ["AllOf", "Envelope", "FirstOf", "Invariants", "Residual"]

_HERE = "cosolve.plugins.verifiers"
_LAZY = {
    "AllOf": f"{_HERE}.composition",
    "Envelope": f"{_HERE}.envelope",
    "FirstOf": f"{_HERE}.composition",
    "Invariants": f"{_HERE}.invariants",
    "Residual": f"{_HERE}.residual",
}


def __getattr__(name: str) -> Any:
    if name in _LAZY:
        return getattr(importlib.import_module(_LAZY[name]), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


@hookimpl
def cosolve_verifiers() -> list[Entry]:
    """Register the verifiers."""
    return [
        Entry(
            name="residual",
            summary="the solver's own residual below a fraction of its tolerance (certified)",
            factory=f"{_HERE}.residual:Residual",
            options=f"{_HERE}.options:ResidualOptions",
            capabilities=("certified",),
        ),
        Entry(
            name="invariants",
            summary="conserved quantities kept, decaying ones not risen (may only reject)",
            factory=f"{_HERE}.invariants:Invariants",
            options=f"{_HERE}.options:InvariantsOptions",
            contract=f"{_HERE}.contract:InvariantsContract",
            capabilities=("may-only-reject",),
        ),
        Entry(
            name="envelope",
            summary="parameters inside the ranges of the training data (may only reject)",
            factory=f"{_HERE}.envelope:Envelope",
            options=f"{_HERE}.options:EnvelopeOptions",
            contract=f"{_HERE}.contract:EnvelopeContract",
            capabilities=("may-only-reject",),
        ),
        Entry(
            name="all_of",
            summary="accepts when one member vouches and none objects; the most severe verdict decides",
            factory=f"{_HERE}.composition:AllOf",
            contract=f"{_HERE}.contract:AllOfContract",
            options=f"{_HERE}.options:CompositionOptions",
        ),
        Entry(
            name="first_of",
            summary="the first member that accepts decides; else the mildest verdict",
            factory=f"{_HERE}.composition:FirstOf",
            contract=f"{_HERE}.contract:FirstOfContract",
            options=f"{_HERE}.options:CompositionOptions",
        ),
    ]
