"""The tournament of initial guesses: the solver's residual ranks the candidates, losers are asked less often."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any, Final

PREVIOUS: Final = "previous"
"""The last accepted state: always a candidate, and free."""

_PATIENCE: Final = 4
_LONGEST_INTERVAL: Final = 32


class Tournament:
    """Remembers who won, and says who is asked.

    A candidate that has lost 4 times in a row is asked in every second transaction, after 5 losses in every fourth, up
    to every 32nd; a win asks it always again. The ranking uses agreed numbers, so it is the same on every rank.
    """

    def __init__(self) -> None:
        self._losses: dict[str, int] = {}
        self._next: dict[str, int] = {}
        self._round = 0

    def due(self, names: Sequence[str]) -> tuple[str, ...]:
        """Open a round and return the names that are asked in it, in order; call it once for each transaction."""
        self._round += 1
        return tuple(name for name in names if self._round >= self._next.get(name, 0))

    def winner(self, ratios: Mapping[str, float]) -> str:
        """Return the candidate with the smallest residual ratio and remember who lost.

        Args:
            ratios: Residual over tolerance by candidate, infinite where it cannot be used; the first of equals wins.

        Returns:
            The name; `previous` when no candidate can be used.
        """
        best = min(ratios, key=lambda name: ratios[name], default=PREVIOUS)
        if not math.isfinite(ratios.get(best, math.inf)):
            best = PREVIOUS
        for name in ratios:
            losses = 0 if name == best else self._losses.get(name, 0) + 1
            self._losses[name] = losses
            wait = min(2 ** (losses - _PATIENCE + 1), _LONGEST_INTERVAL) if losses >= _PATIENCE else 1
            self._next[name] = self._round + wait
        return best

    def memory(self) -> dict[str, Any]:
        """Return what it remembers, as JSON values."""
        return {"losses": dict(self._losses), "next": dict(self._next), "round": self._round}

    def restore(self, memory: Mapping[str, Any]) -> None:
        """Take back what `memory` returned."""
        self._losses = {name: int(losses) for name, losses in memory.get("losses", {}).items()}
        self._next = {name: int(due) for name, due in memory.get("next", {}).items()}
        self._round = int(memory.get("round", 0))
