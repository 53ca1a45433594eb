"""What this example registers; loads nothing heavy."""

from __future__ import annotations

from cosolve.core.entries import Entry

PROBLEMS = (
    Entry(
        name="embedded",
        summary="dosed reaction-diffusion on a square, fully implicit, random parameters and doses (numba)",
        factory="cosolve.examples.embedded.problem:EmbeddedProblem",
        contract="cosolve.examples.contracts:EmbeddedContract",
        options="cosolve.examples.embedded.options:EmbeddedOptions",
        requires=("numba",),
        capabilities=("trainable", "serial"),
    ),
)
