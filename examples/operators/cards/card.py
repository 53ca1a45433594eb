"""What a card's test returns: its parts, each a number and its bar."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeAlias


@dataclass(frozen=True, slots=True)
class Part:
    """One measured number.

    Attributes:
        what: A few words.
        value: The number.
        bar: What it must stay below, or reach where `at_least`.
        at_least: Whether more is better.
    """

    what: str
    value: float
    bar: float
    at_least: bool = False

    @property
    def passed(self) -> bool:
        """Whether the bar is kept; NaN keeps none."""
        if math.isnan(self.value):
            return False
        return self.value >= self.bar if self.at_least else self.value <= self.bar

    @property
    def aim(self) -> str:
        """The bar as text."""
        return f"{'>=' if self.at_least else '<='} {self.bar:g}"


Card: TypeAlias = Callable[[int, bool], list[Part]]
"""Runs the test of one system with a seed, in the quick form or not; its first part gives the card's number."""
