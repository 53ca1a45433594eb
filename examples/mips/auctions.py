"""Winner determination of combinatorial auctions: the scheme of arbitrary relationships of the CATS test suite.

Leyton-Brown, Pearson and Shoham (2000, doi:10.1145/352871.352879), with the parameters and sizes of Gasse et al. (2019,
arXiv 1906.01629). A bidder draws a bundle along items that go well together, prices it superadditively by own values,
and names substitutes that share an item with it; of these substitutes at most one may win.
"""

from __future__ import annotations

import numpy as np
from cosolve.examples.mips.program import MixedIntegerProgram
from numpy.typing import NDArray

LOWEST_VALUE, HIGHEST_VALUE = 1.0, 100.0
DEVIATION = 0.5
FURTHER_ITEM = 0.7
SUBSTITUTES = 5
ADDITIVITY = 0.2
BUDGET, RESALE = 1.5, 0.5

Bundle = tuple[int, ...]


class _Market:
    """Items, what they are worth to all, and how well they go together."""

    def __init__(self, rng: np.random.Generator, items: int) -> None:
        self.rng = rng
        self.items = items
        self.values = rng.uniform(LOWEST_VALUE, HIGHEST_VALUE, items)
        upper = np.triu(rng.random((items, items)), k=1)
        together = upper + upper.T
        self.compatible = together / together.sum(axis=1)

    def grow(self, bundle: list[int], interest: NDArray[np.float64]) -> None:
        """Add one item, drawn by the bidder's interest and by how well it goes with the bundle."""
        weight = interest * self.compatible[bundle].mean(axis=0)
        weight[bundle] = 0.0
        bundle.append(int(self.rng.choice(self.items, p=weight / weight.sum())))

    def bids(self) -> list[tuple[Bundle, float]]:
        """Return one bidder's bundles with prices, the wanted one first; none if it is worth nothing."""
        interest = self.rng.random(self.items)
        private = self.values + HIGHEST_VALUE * DEVIATION * (2.0 * interest - 1.0)

        def price(bundle: list[int]) -> float:
            return float(private[bundle].sum() + len(bundle) ** (1.0 + ADDITIVITY))

        wanted = [int(self.rng.choice(self.items, p=interest / interest.sum()))]
        while self.rng.random() < FURTHER_ITEM and len(wanted) < self.items:
            self.grow(wanted, interest)
        wanted.sort()
        first = price(wanted)
        if first < 0.0:
            return []
        candidates = []
        for item in wanted:
            bundle = [item]
            while len(bundle) < len(wanted):
                self.grow(bundle, interest)
            candidates.append((tuple(sorted(bundle)), price(bundle)))
        found = {tuple(wanted): first}
        least = RESALE * self.values[wanted].sum()
        for other, offer in sorted(candidates, key=lambda one: -one[1]):
            if len(found) > SUBSTITUTES:
                break
            if 0.0 <= offer <= BUDGET * first and self.values[list(other)].sum() >= least:
                found.setdefault(other, offer)
        return list(found.items())


def auctions(name: str, rng: np.random.Generator, items: int, bids: int) -> MixedIntegerProgram:
    """Draw an auction.

    Args:
        name: Of the program.
        rng: Draws it.
        items: What is sold.
        bids: Bundles that are bid for.
    """
    market = _Market(rng, items)
    program = MixedIntegerProgram(name, maximise=True)
    bid_on: list[list[int]] = [[] for _ in range(items)]
    either: list[list[int]] = []
    while len(program.costs) < bids:
        own = market.bids()[: bids - len(program.costs)]
        columns = program.add_variables(offer for _, offer in own)
        for column, (bundle, _) in zip(columns, own, strict=True):
            for item in bundle:
                bid_on[item].append(column)
        if len(columns) > 2:
            either.append(list(columns))
    for members in (*bid_on, *either):
        if members:
            program.add_row(members, upper=1.0)
    return program
