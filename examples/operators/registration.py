"""Registers the benches; imports nothing heavy."""

from __future__ import annotations

from typing import Final

from cosolve.core.entries import Entry

BENCHES: Final = (
    Entry(
        name="operators",
        summary="neural operators at equal parameters and CPU budget against POD + ridge and POD + Gaussian process",
        factory="cosolve.examples.operators.bench:bench",
        options="cosolve.examples.operators.options:OperatorsOptions",
        requires=("torch", "scipy"),
    ),
    Entry(
        name="operator-cards",
        summary="the test of each surrogate's paper: the smallest experiment that shows its property",
        factory="cosolve.examples.operators.cards_bench:bench",
        options="cosolve.examples.operators.options:CardsOptions",
        requires=("torch", "scipy", "petsc4py"),
    ),
)
"""`cosolve bench operators` and `cosolve bench operator-cards`."""
