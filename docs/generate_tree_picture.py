"""Makes `docs/_static/branching_tree.png`: one instance's tree by SCIP's pseudo-cost rule and by a guide.

    python docs/generate_tree_picture.py examples/mips/auctions.safetensors

Both runs have the same settings, so that the picture shows the branching alone.
"""

from __future__ import annotations

import sys
from collections import defaultdict
from pathlib import Path

import cosolve
from cosolve.couplings.branching import load_guide
from cosolve.examples.mips.families import generate
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.collections import LineCollection
from matplotlib.figure import Figure
from pyscipopt import SCIP_EVENTTYPE, Eventhdlr

TARGET = Path(__file__).parent / "_static" / "branching_tree.png"
FAMILY, LEVEL, SEED = "auctions", "easy", 1003


class Nodes(Eventhdlr):  # type: ignore[misc]  # PySCIPOpt ships no types
    """Notes each node with its parent and depth when SCIP turns to it."""

    def __init__(self) -> None:
        self.parents: dict[int, int] = {}
        self.depths: dict[int, int] = {}

    def eventinit(self) -> None:
        """Catch the focus on nodes."""
        self.model.catchEvent(SCIP_EVENTTYPE.NODEFOCUSED, self)

    def eventexec(self, event: object) -> None:
        """Note the node."""
        node = self.model.getCurrentNode()
        parent = node.getParent()
        self.parents[node.getNumber()] = 0 if parent is None else parent.getNumber()
        self.depths[node.getNumber()] = node.getDepth()


def solve(guided: Path | None, settings: object) -> Nodes:
    """Return the tree of one run."""
    model = generate(FAMILY, LEVEL, SEED).model()
    model.hideOutput()
    settings.apply(model)
    nodes = Nodes()
    model.includeEventhdlr(nodes, "nodes", "notes nodes")
    if guided is not None:
        cosolve.guide(model, guided, settings=False, audit=False)
    model.optimize()
    return nodes


def places(nodes: Nodes) -> dict[int, float]:
    """Return where each node stands: leaves side by side, parents above the middle of their children."""
    children = defaultdict(list)
    for number in sorted(nodes.parents):
        children[nodes.parents[number]].append(number)
    found: dict[int, float] = {}
    width = 0
    for number in sorted(nodes.parents, key=lambda one: -nodes.depths[one]):
        found[number] = float("nan")

    def place(number: int) -> float:
        nonlocal width
        below = [place(child) for child in children[number]]
        if below:
            found[number] = sum(below) / len(below)
        else:
            found[number] = float(width)
            width += 1
        return found[number]

    place(min(nodes.parents))
    return found


def main(path: Path) -> None:
    """Draw both trees with the same scales."""
    settings = load_guide(path).root_settings
    trees = {"SCIP's pseudo-cost rule": solve(None, settings), "the guide": solve(path, settings)}
    figure = Figure(figsize=(10.0, 3.6), facecolor="white")
    FigureCanvasAgg(figure)
    widest = max(len(tree.parents) for tree in trees.values())
    deepest = max(max(tree.depths.values()) for tree in trees.values())
    for axes, (title, tree) in zip(figure.subplots(1, 2), trees.items(), strict=True):
        x = places(tree)
        lines = [
            ((x[number], -tree.depths[number]), (x[parent], -tree.depths[parent]))
            for number, parent in tree.parents.items()
            if parent in x
        ]
        middle = sum(x.values()) / len(x)
        axes.add_collection(LineCollection(lines, colors="#4c6a92", linewidths=0.8))
        axes.plot(list(x.values()), [-tree.depths[n] for n in x], ".", color="#22324a", markersize=3)
        axes.set_xlim(middle - 0.3 * widest, middle + 0.3 * widest)
        axes.set_ylim(-deepest - 1, 1)
        axes.set_title(f"{title}: {len(x)} nodes", fontsize=11)
        axes.axis("off")
    figure.tight_layout()
    TARGET.parent.mkdir(exist_ok=True)
    figure.savefig(TARGET, dpi=90, metadata={"Software": None})
    print(TARGET, {title: len(tree.parents) for title, tree in trees.items()})


if __name__ == "__main__":
    main(Path(sys.argv[1]))
