"""Registers the bench; imports nothing heavy."""

from __future__ import annotations

from typing import Final

from cosolve.core.entries import Entry

BENCHES: Final = (
    Entry(
        "overhead",
        "what driver, gate and ledger cost a step, with a surrogate asked and judged in every step",
        "cosolve.examples.overhead.bench:bench",
    ),
)
