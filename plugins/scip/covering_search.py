"""Local search for covering programs: a good solution in milliseconds, before SCIP begins.

A column is dropped, rows that lost their cover weigh more each time, and those columns come in that cover the most
weight for their cost, as long as the total stays below the best. After Gao et al. (2015,
doi:10.1016/j.ejor.2015.05.038), with rows that need several columns. It draws numbers from its seed and reads no clock,
so runs repeat.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
from cosolve.core.arrays import Array
from cosolve.plugins.scip.compiled import compiled
from cosolve.plugins.scip.covering import Covering, Flags, Integers


def search(covering: Covering, steps: int, seed: int = 0) -> Flags:
    """Return a good choice of columns; all rows have what they need.

    Args:
        covering: The program.
        steps: How often the search drops a column.
        seed: Of its random numbers.
    """
    order = np.argsort(covering.columns, kind="stable")
    n = len(covering.costs)
    rows = np.repeat(np.arange(len(covering.needed)), np.diff(covering.row_starts))[order].astype(np.int32)
    sizes = np.bincount(covering.columns, minlength=n)
    column_starts = np.concatenate([[0], np.cumsum(sizes)]).astype(np.int32)
    best = np.ones(n, np.bool_)
    _search(
        covering.row_starts,
        covering.columns,
        column_starts,
        rows,
        covering.needed,
        np.maximum(covering.costs, 1e-9 * max(float(covering.costs.max(initial=0.0)), 1.0)),
        steps,
        seed,
        best,
    )
    return best


@compiled
def _add(
    j: int,
    rs: Integers,
    columns: Integers,
    cs: Integers,
    rows: Integers,
    chosen: Flags,
    slack: Integers,
    weight: Array,
    score: Array,
    open_rows: Integers,
    place: Integers,
    count: int,
) -> int:
    chosen[j] = True
    own = 0.0
    for e in range(cs[j], cs[j + 1]):
        i = rows[e]
        before = slack[i]
        slack[i] = before + 1
        w = weight[i]
        if before == -1:
            count -= 1
            last = open_rows[count]
            open_rows[place[i]], place[last] = last, place[i]
            for f in range(rs[i], rs[i + 1]):
                if not chosen[columns[f]]:
                    score[columns[f]] -= w
        elif before == 0:
            for f in range(rs[i], rs[i + 1]):
                if chosen[columns[f]] and columns[f] != j:
                    score[columns[f]] -= w
        if before < 0:
            own += w
    score[j] = own
    return count


@compiled
def _drop(
    j: int,
    rs: Integers,
    columns: Integers,
    cs: Integers,
    rows: Integers,
    chosen: Flags,
    slack: Integers,
    weight: Array,
    score: Array,
    open_rows: Integers,
    place: Integers,
    count: int,
) -> int:
    chosen[j] = False
    own = 0.0
    for e in range(cs[j], cs[j + 1]):
        i = rows[e]
        before = slack[i]
        slack[i] = before - 1
        w = weight[i]
        if before == 0:
            open_rows[count], place[i] = i, count
            count += 1
            for f in range(rs[i], rs[i + 1]):
                if not chosen[columns[f]] and columns[f] != j:
                    score[columns[f]] += w
        elif before == 1:
            for f in range(rs[i], rs[i + 1]):
                if chosen[columns[f]]:
                    score[columns[f]] += w
        if before <= 0:
            own += w
    score[j] = own
    return count


@compiled
def _least(chosen: Flags, score: Array, costs: Array, moved: npt.NDArray[np.int64], latest: int) -> int:
    """Return the chosen column whose loss is smallest for its cost, the one that rested longest among equals."""
    best = -1
    for j in range(len(costs)):
        if not chosen[j] or moved[j] >= latest:
            continue
        if best < 0:
            best = j
            continue
        left, right = score[j] * costs[best], score[best] * costs[j]
        if left < right or (left == right and moved[j] < moved[best]):
            best = j
    return best


@compiled
def _search(
    rs: Integers,
    columns: Integers,
    cs: Integers,
    rows: Integers,
    needed: Integers,
    costs: Array,
    steps: int,
    seed: int,
    best: Flags,
) -> None:
    m, n = len(needed), len(costs)
    chosen = np.zeros(n, np.bool_)
    slack = -needed
    weight, score = np.ones(m), np.zeros(n)
    moved = np.full(n, -1, np.int64)
    open_rows, place, count = np.zeros(m, np.int32), np.zeros(m, np.int32), 0
    for i in range(m):
        if slack[i] < 0:
            open_rows[count], place[i] = i, count
            count += 1
            for f in range(rs[i], rs[i + 1]):
                score[columns[f]] += 1.0
    while count > 0:
        j = -1
        for k in range(n):
            if not chosen[k] and score[k] > 0.0 and (j < 0 or score[k] * costs[j] > score[j] * costs[k]):
                j = k
        count = _add(j, rs, columns, cs, rows, chosen, slack, weight, score, open_rows, place, count)
    total = 0.0
    for k in range(n):
        total += costs[k] if chosen[k] else 0.0
    least = np.inf
    state = np.uint64(2 * seed + 88172645463325252)
    for step in range(1, steps + 1):
        while count == 0:
            if total < least * (1.0 - 1e-9):
                least = total
                best[:] = chosen
            j = _least(chosen, score, costs, moved, 2 * steps)
            if j < 0:
                return
            count = _drop(j, rs, columns, cs, rows, chosen, slack, weight, score, open_rows, place, count)
            total -= costs[j]
            moved[j] = step
        j = _least(chosen, score, costs, moved, step)
        if j >= 0:
            count = _drop(j, rs, columns, cs, rows, chosen, slack, weight, score, open_rows, place, count)
            total -= costs[j]
            moved[j] = step
        while count > 0:
            state ^= state << np.uint64(13)
            state ^= state >> np.uint64(7)
            state ^= state << np.uint64(17)
            i = open_rows[int(state >> np.uint64(11)) % count]
            j = -1
            for f in range(rs[i], rs[i + 1]):
                k = columns[f]
                if chosen[k] or moved[k] == step:
                    continue
                if j < 0:
                    j = k
                    continue
                left, right = score[k] * costs[j], score[j] * costs[k]
                if left > right or (left == right and moved[k] < moved[j]):
                    j = k
            if j < 0 or total + costs[j] >= least:
                break
            count = _add(j, rs, columns, cs, rows, chosen, slack, weight, score, open_rows, place, count)
            total += costs[j]
            moved[j] = step
            for r in range(count):
                weight[open_rows[r]] += 1.0
                for f in range(rs[open_rows[r]], rs[open_rows[r] + 1]):
                    score[columns[f]] += 1.0
