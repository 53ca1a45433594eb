"""Registers the benches; imports nothing heavy."""

from __future__ import annotations

from typing import Final

from cosolve.core.entries import Entry

BENCHES: Final = (
    Entry(
        "branching",
        "guided branch and bound against SCIP's default and its best tuned rules, on unseen programs of a family",
        "cosolve.examples.mips.branching_bench:bench",
        options="cosolve.examples.mips.options:BranchingOptions",
        requires=("pyscipopt",),
    ),
)
