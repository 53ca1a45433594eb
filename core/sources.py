"""Who computed an accepted value, as the number that fields hold: the same in every file that cosolve writes."""

from __future__ import annotations

from typing import Final

SOURCES: Final = {"initial": 0, "solver": 1, "surrogate": 2, "corrected": 3, "solved from a proposal": 4}
"""Values of the field `source` and what they mean."""


def source_code(source: str) -> int:
    """Return the value of the field `source` for `Outcome.source` (not collective).

    >>> [source_code(name) for name in ("", "solver", "solver/4", "fno", "fno+correct", "fno+solve")]
    [0, 1, 1, 2, 3, 4]
    """
    if not source:
        return SOURCES["initial"]
    if source.split("/")[0] == "solver":
        return SOURCES["solver"]
    if source.endswith("+correct"):
        return SOURCES["corrected"]
    return SOURCES["solved from a proposal"] if source.endswith("+solve") else SOURCES["surrogate"]
