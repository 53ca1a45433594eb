"""What a race may change: the parameters of SCIP that decide the speed of smaller programs, and the values to try.

None of them touches what SCIP proves: tolerances, limits and dual reductions stay as they are.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Final

from cosolve.plugins.scip.settings import Settings, Value, portfolio

CHOICES: Final[Mapping[str, Sequence[Value]]] = {
    # Root: presolving, probing, symmetry and cuts.
    "presolving/maxrounds": (-1, 0, 1, 3),
    "presolving/maxrestarts": (-1, 0),
    "propagating/probing/maxprerounds": (-1, 0),
    "presolving/domcol/maxrounds": (-1, 0),
    "presolving/sparsify/maxrounds": (-1, 0),
    "presolving/dualsparsify/maxrounds": (-1, 0),
    "misc/usesymmetry": (7, 0),
    "separating/maxroundsroot": (-1, 0, 1, 3, 10),
    "separating/maxrounds": (-1, 0, 1),
    # Linear programs.
    "lp/pricing": ("l", "s", "q", "d", "p"),
    "lp/initalgorithm": ("s", "d", "p"),
    "lp/resolvealgorithm": ("s", "d"),
    "lp/presolving": (True, False),
    "lp/scaling": (1, 0, 2),
    "lp/rowrepswitch": (1.2, -1.0),
    "lp/solutionpolishing": (3, 0),
    "lp/fastmip": (1, 0),
    "lp/checkdualfeas": (True, False),
    "lp/checkstability": (True, False),
    # The tree.
    "nodeselection/childsel": ("h", "d", "u", "p", "i", "l"),
    "nodeselection/bfs/stdpriority": (100_000, 900_000),
    "nodeselection/hybridestim/stdpriority": (50_000, 800_000),
    "nodeselection/dfs/stdpriority": (0, 700_000),
    "nodeselection/estimate/bestnodefreq": (10, 1, 0, 100),
    "nodeselection/estimate/maxplungedepth": (-1, 0, 3, 1000),
    "branching/scorefunc": ("p", "s", "q"),
    "branching/scorefac": (0.167, 0.0, 0.4),
    "branching/divingpscost": (True, False),
    # Propagation and conflicts at every node.
    "conflict/enable": (True, False),
    "propagating/maxrounds": (100, 0, 1, 5),
    "propagating/maxroundsroot": (1000, 1, 10),
    "propagating/redcost/freq": (1, -1),
    "propagating/rootredcost/freq": (1, -1),
    "propagating/pseudoobj/freq": (1, -1),
    "propagating/vbounds/freq": (1, -1),
    "propagating/redcost/force": (False, True),
    # Heuristics that cost little and those that sometimes pay.
    "heuristics/rounding/freq": (1, -1),
    "heuristics/simplerounding/freq": (1, -1),
    "heuristics/shifting/freq": (10, -1, 1),
    "heuristics/shiftandpropagate/freq": (0, -1),
    "heuristics/oneopt/freq": (1, -1),
    "heuristics/adaptivediving/freq": (5, -1, 1, 20),
    "heuristics/coefdiving/freq": (-1, 0, 10),
    "heuristics/guideddiving/freq": (10, -1, 5),
    "heuristics/pscostdiving/freq": (10, -1, 0),
    "heuristics/rins/freq": (15, -1, 10),
    "heuristics/crossover/freq": (15, -1),
    "heuristics/rens/freq": (0, -1),
    "heuristics/feaspump/freq": (20, -1, 0),
    "heuristics/farkasdiving/freq": (10, -1),
    "heuristics/conflictdiving/freq": (10, -1),
    "heuristics/locks/freq": (0, -1),
    "heuristics/clique/freq": (0, -1),
    "heuristics/vbounds/freq": (0, -1),
    "heuristics/intshifting/freq": (10, -1),
    "heuristics/randrounding/freq": (20, -1),
    "heuristics/trysol/freq": (1, -1),
    "heuristics/zirounding/freq": (1, -1),
}
"""Parameter to the values that challengers draw, SCIP's default first."""

RELIABILITY: Final[Mapping[str, Sequence[Value]]] = {
    "branching/relpscost/maxreliable": (5.0, 1.0, 2.0, 8.0),
    "branching/relpscost/minreliable": (1.0, 0.0, 2.0),
    "branching/relpscost/initcand": (100, 10, 20, 50),
    "branching/relpscost/maxlookahead": (9, 3, 5),
    "branching/relpscost/sbiterofs": (100_000, 0, 1000, 10_000),
    "branching/relpscost/sbiterquot": (0.5, 0.0, 0.1, 0.25, 1.0),
    "branching/relpscost/probingbounds": (True, False),
    "branching/relpscost/maxproprounds": (-2, 0),
    "branching/relpscost/degeneracyaware": (1, 0),
    "branching/relpscost/inititer": (0, 10, 50),
}
"""The same for reliability branching."""

SHORT_PROBES: Final[Mapping[str, Value]] = {
    "branching/relpscost/maxreliable": 1.0,
    "branching/relpscost/initcand": 10,
    "branching/relpscost/maxlookahead": 3,
    "branching/relpscost/sbiterofs": 1000,
    "branching/relpscost/sbiterquot": 0.2,
    "branching/relpscost/maxproprounds": 0,
    "branching/relpscost/probingbounds": False,
}
"""Reliability branching for programs whose nodes take milliseconds: strong branching at its usual length costs more."""


def choices_for(rule: str) -> Mapping[str, Sequence[Value]]:
    """Return what a race with a branching rule may change."""
    return {**CHOICES, **RELIABILITY} if rule == "relpscost" else CHOICES


def starting_points(rule: str = "") -> list[Settings]:
    """Return what a race begins with: the lean settings and changes of them, then the portfolio.

    Args:
        rule: One of SCIP's branching rules, put above the others; empty leaves them as they are.
    """
    known = dict(portfolio())
    lean = known.pop("lean")
    simplex = {"lp/solutionpolishing": 0, "lp/presolving": False}
    depth_first = {"nodeselection/dfs/stdpriority": 900_000}
    points = [
        lean,
        lean.merged(simplex, "lean simplex"),
        lean.merged(depth_first, "lean depth first"),
        lean.merged({**simplex, **depth_first}, "lean simplex depth first"),
        lean.merged({"separating/maxroundsroot": 1}, "lean one round of cuts"),
        *known.values(),
    ]
    if rule == "relpscost":
        # Strong branching is dear where a node is cheap: less of it.
        points[1:1] = [
            lean.merged({"branching/relpscost/sbiterofs": 0, "branching/relpscost/sbiterquot": 0.1}, "lean few probes"),
            lean.merged(SHORT_PROBES, "lean short probes"),
            lean.merged(
                {"branching/relpscost/maxreliable": 1.0, "branching/relpscost/initcand": 20}, "lean reliable at once"
            ),
        ]
    return [one.with_rule(rule) if rule else one for one in points]
