"""Maximum independent set on graphs that grow by preference, with clique rows; sizes of Gasse et al. (2019).

Graphs of Barabasi and Albert (1999, doi:10.1126/science.286.5439.509) with affinity 4. Edges are gathered into cliques
greedily, as Bergman et al. (2016, doi:10.1007/978-3-319-42849-9) do, which makes the relaxation tighter.
"""

from __future__ import annotations

import numpy as np
from cosolve.examples.mips.program import MixedIntegerProgram

AFFINITY = 4


def preferential_graph(rng: np.random.Generator, nodes: int) -> list[set[int]]:
    """Return the neighbours of each node; each new node joins `AFFINITY` old ones, drawn by their degree."""
    neighbours: list[set[int]] = [set() for _ in range(nodes)]
    ends: list[int] = []
    for new in range(AFFINITY, nodes):
        if new == AFFINITY:
            chosen = set(range(AFFINITY))
        else:
            chosen = set()
            while len(chosen) < AFFINITY:
                chosen.add(ends[int(rng.integers(len(ends)))])
        for old in sorted(chosen):
            neighbours[new].add(old)
            neighbours[old].add(new)
            ends += [new, old]
    return neighbours


def clique_partition(neighbours: list[set[int]]) -> list[list[int]]:
    """Return disjoint cliques that hold all nodes, begun at the nodes of highest degree."""
    left = set(range(len(neighbours)))
    cliques = []
    for start in sorted(left, key=lambda node: (-len(neighbours[node]), node)):
        if start not in left:
            continue
        clique = [start]
        left.discard(start)
        for node in sorted(neighbours[start] & left, key=lambda node: (-len(neighbours[node]), node)):
            if all(node in neighbours[member] for member in clique):
                clique.append(node)
                left.discard(node)
        cliques.append(sorted(clique))
    return cliques


def independent_set(name: str, rng: np.random.Generator, nodes: int) -> MixedIntegerProgram:
    """Draw a graph and return its maximum independent set program.

    Args:
        name: Of the program.
        rng: Draws it.
        nodes: Of the graph.
    """
    neighbours = preferential_graph(rng, nodes)
    cliques = clique_partition(neighbours)
    home = {node: number for number, clique in enumerate(cliques) for node in clique}
    program = MixedIntegerProgram(name, maximise=True)
    program.add_variables(1.0 for _ in range(nodes))
    for clique in cliques:
        if len(clique) > 1:
            program.add_row(clique, upper=1.0)
    for node in range(nodes):
        for other in sorted(neighbours[node]):
            if node < other and home[node] != home[other]:
                program.add_row([node, other], upper=1.0)
    return program
