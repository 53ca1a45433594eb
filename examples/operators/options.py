"""Options of the benches; imports nothing heavy."""

from __future__ import annotations

from pathlib import Path

from cosolve.core.options import Count, Options, Positive
from pydantic import Field


class OperatorsOptions(Options):
    """`cosolve bench operators`.

    Attributes:
        data: Folder of `.npz` files with `x_train, y_train, x_test, y_test`, channels first, instead of our own data.
        budget: CPU seconds for the training of each network; without one, 30 in the quick form and 300 in the full one,
            on data from elsewhere 120 and 600.
        parameters: Number of parameters of each network, as near as its width allows.
        systems: Names of the networks, separated by commas; empty for all.
        seeds: Number of seeds; without one, 1 in the quick form and 3 in the full one.
    """

    data: Path | None = None
    budget: Positive | None = None
    parameters: Count = Field(default=400_000, ge=500)
    systems: str = ""
    seeds: Count | None = None


class CardsOptions(Options):
    """`cosolve bench operator-cards`.

    Attributes:
        cards: Names of the cards, separated by commas; empty for all.
        seeds: Number of seeds; without one, 1 in the quick form and 3 in the full one.
    """

    cards: str = ""
    seeds: Count | None = None
