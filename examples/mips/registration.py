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
    Entry(
        "reoptimization",
        "series of related programs: learning from one to the next, against SCIP's default and the last solution",
        "cosolve.examples.mips.reoptimization_bench:bench",
        options="cosolve.examples.mips.options:ReoptimizationOptions",
        requires=("pyscipopt",),
    ),
    Entry(
        "branching-shift",
        "guides on programs that they were never trained for (MIPLIB 3), over several seeds",
        "cosolve.examples.mips.shift_bench:bench",
        options="cosolve.examples.mips.options:ShiftOptions",
        requires=("pyscipopt",),
    ),
)
