"""What a guided rule leaves behind: its counts, and why it decided as it did."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True, slots=True)
class RuleCounts:
    """What a branching rule has done.

    Attributes:
        calls: Nodes at which SCIP asked.
        decided: Nodes at which the guide chose.
        audited: Nodes that went to SCIP's own rule for comparison.
        agreed: Decisions that the pseudo-cost rule would have made, too.
        probed: Nodes at which strong branching judged a short list.
        seconds: CPU seconds in features and network, and in strong branching where it was asked.
        declined: Nodes that were left to SCIP's rule, by reason.
        verdict: What the audit found; empty where there was none.
        handed_back: Whether SCIP's own rule took over for good.
    """

    calls: int = 0
    decided: int = 0
    audited: int = 0
    agreed: int = 0
    probed: int = 0
    seconds: float = 0.0
    declined: Mapping[str, int] = field(default_factory=dict)
    verdict: str = ""
    handed_back: bool = False


@dataclass(frozen=True, slots=True)
class Decision:
    """One branching.

    Attributes:
        node: SCIP's number of the node.
        depth: Its depth.
        candidates: How many there were.
        variable: Name of the choice.
        replaced: Name of what the pseudo-cost rule would have chosen: the largest product of expected gains.
        score: The guide's score of the choice.
        second: Its best other score.
        replaced_score: Its score of `replaced`.
        bound: Bound of the node.
        probed: Whether strong branching judged the short list.
        reasons: Inputs that spoke most for the choice against `replaced`: contribution to the difference of the scores,
            value at the choice, value at `replaced`.
    """

    node: int
    depth: int
    candidates: int
    variable: str
    replaced: str
    score: float
    second: float
    replaced_score: float
    bound: float
    probed: bool = False
    reasons: Mapping[str, tuple[float, float, float]] = field(default_factory=dict)

    def as_record(self) -> dict[str, Any]:
        """Return plain values for the ledger."""
        return {
            "node": self.node,
            "depth": self.depth,
            "candidates": self.candidates,
            "variable": self.variable,
            "replaced": self.replaced,
            "score": self.score,
            "second": self.second,
            "replaced_score": self.replaced_score,
            "bound": self.bound,
            "probed": self.probed,
            "reasons": {name: list(values) for name, values in self.reasons.items()},
        }
