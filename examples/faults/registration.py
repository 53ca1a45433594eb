"""Registers the bench; imports nothing heavy."""

from __future__ import annotations

from typing import Final

from cosolve.core.entries import Entry

BENCHES: Final = (
    Entry(
        "faults",
        "each kind of fault in each role and coupling on 1 to 3 ranks: the classical answer, or one error everywhere",
        "cosolve.examples.faults.bench:bench",
    ),
)
