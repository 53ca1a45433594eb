"""The mesh of the channel with the cylinder, block by block: an O-grid in front, a graded strip behind.

Everything is computed by numpy on one rank, and dolfinx distributes it. Triangles have six nodes; those on the circle
lie on it, so that the hole is curved (quadratic geometry), and so are, less and less, the rings around it.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

FloatArray = npt.NDArray[np.float64]
IntArray = npt.NDArray[np.int64]

LENGTH, HEIGHT = 2.2, 0.41
CENTRE, RADIUS = (0.2, 0.2), 0.05
FRONT = 0.4
"""Where the O-grid ends and the strip begins."""


@dataclass(frozen=True, slots=True)
class Resolution:
    """Numbers of cells of the mesh.

    Attributes:
        side: Cells along a quarter of the circle, and so across the channel.
        layers: Rings of cells between circle and square.
        wake: Columns of cells of the strip.
        growth: Width of the outermost ring over that of the innermost.
        wake_growth: Length of the last column over that of the first.
    """

    side: int
    layers: int
    wake: int
    growth: float = 8.0
    wake_growth: float = 7.0

    @classmethod
    def of(cls, side: int) -> Resolution:
        """Return the mesh that has `side` cells across the channel and like numbers the other ways."""
        return cls(side, max(3 * side // 4, 2), 2 * side)


def graded(cells: int, growth: float) -> FloatArray:
    """Return `cells` + 1 points from 0 to 1, the last distance `growth` times the first, and the middles between them.

    >>> graded(2, 3.0).tolist()
    [0.0, 0.125, 0.25, 0.625, 1.0]
    """
    ends = np.concatenate([[0.0], np.cumsum(growth ** np.linspace(0.0, 1.0, cells))])
    return with_middles(ends / ends[-1])


def with_middles(ends: FloatArray) -> FloatArray:
    """Return points along the first axis with the middle of each two neighbours between them."""
    result = np.empty((2 * len(ends) - 1, *ends.shape[1:]))
    result[::2] = ends
    result[1::2] = 0.5 * (ends[1:] + ends[:-1])
    return result


def triangles(resolution: Resolution) -> tuple[FloatArray, IntArray]:
    """Return nodes of shape `(n, 2)` and triangles of shape `(m, 6)`: corners, then the middles opposite to them."""
    lattices = [_front(resolution, quarter) for quarter in range(4)]
    behind = lattices[0][:, -1]
    columns = FRONT + (LENGTH - FRONT) * graded(resolution.wake, resolution.wake_growth)
    strip = np.stack(np.broadcast_arrays(columns[None, :], behind[:, 1:2]), axis=-1)
    nodes, cells, count = [], [], 0
    for lattice in [*lattices, strip]:
        nodes.append(lattice.reshape(-1, 2))
        cells.append(count + _split(lattice.shape[0], lattice.shape[1]))
        count += len(nodes[-1])
    points = np.concatenate(nodes)
    # Blocks share the nodes of their common sides.
    _, first, index = np.unique(np.round(points, 9), axis=0, return_index=True, return_inverse=True)
    return points[first], index.reshape(-1)[np.concatenate(cells)]


def _front(resolution: Resolution, quarter: int) -> FloatArray:
    """Return a quarter of the O-grid, shape `(2 side + 1, 2 layers + 1, 2)`: along the circle, then outwards."""
    angles = np.linspace(-0.25 * np.pi, 0.25 * np.pi, 2 * resolution.side + 1)
    along = np.tan(angles)
    low, high = np.array([0.0, 0.0]) - CENTRE, np.array([FRONT, HEIGHT]) - CENTRE
    # Seen from the centre, with the quarter's own side to the right.
    right, up, down = (
        (high[0], high[1], -low[1]),
        (high[1], -low[0], high[0]),
        (-low[0], -low[1], high[1]),
        (-low[1], high[0], -low[0]),
    )[quarter]
    outer = with_middles(np.stack([np.full(resolution.side + 1, right), _across(along[::2], up, down)], axis=-1))
    circle = RADIUS * np.stack([np.cos(angles), np.sin(angles)], axis=-1)
    s = graded(resolution.layers, resolution.growth)[None, :, None]
    local = (1.0 - s) * circle[:, None] + s * outer[:, None]
    turn = ((1, 0), (0, 1), (-1, 0), (0, -1))[quarter]
    x = turn[0] * local[..., 0] - turn[1] * local[..., 1]
    y = turn[1] * local[..., 0] + turn[0] * local[..., 1]
    return np.stack([x + CENTRE[0], y + CENTRE[1]], axis=-1)


def _across(along: FloatArray, up: float, down: float) -> FloatArray:
    return np.where(along > 0.0, up * along, down * along)


def _split(rows: int, columns: int) -> IntArray:
    """Return two triangles for each quadrilateral of a lattice that has its middles, diagonals alternating."""
    at = np.arange(rows * columns).reshape(rows, columns)
    corners = [at[:-2:2, :-2:2], at[2::2, :-2:2], at[2::2, 2::2], at[:-2:2, 2::2]]
    sides = [at[1::2, :-2:2], at[2::2, 1::2], at[1::2, 2::2], at[:-2:2, 1::2]]
    middle = at[1::2, 1::2]
    i, j = np.indices(middle.shape)
    found = []
    for turned in (0, 1):
        chosen = (i + j) % 2 == turned
        a, b, c, d = (corners[(k + turned) % 4][chosen] for k in range(4))
        ab, bc, cd, da = (sides[(k + turned) % 4][chosen] for k in range(4))
        m = middle[chosen]
        found += [np.stack([a, b, c, bc, m, ab], axis=-1), np.stack([a, c, d, cd, da, m], axis=-1)]
    return np.concatenate(found)


def channel(comm: Any, resolution: Resolution) -> Any:
    """Return the dolfinx mesh on `comm` (collective)."""
    from cosolve.plugins.fenicsx import compat

    if comm.Get_rank() == 0:
        nodes, cells = triangles(resolution)
    else:
        nodes, cells = np.zeros((0, 2)), np.zeros((0, 6), dtype=np.int64)
    return compat.create_triangles(comm, nodes, cells)
