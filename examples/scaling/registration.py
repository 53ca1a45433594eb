"""Registers the bench; imports nothing heavy."""

from __future__ import annotations

from typing import Final

from cosolve.core.entries import Entry

BENCHES: Final = (
    Entry(
        "scaling",
        "collectives and bytes of an attempt on 2 and 3 ranks, and the gate's share of a step on 1 and 2",
        "cosolve.examples.scaling.bench:bench",
    ),
)
