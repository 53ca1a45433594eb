"""Proper orthogonal decomposition of snapshots by the method of snapshots or the thin SVD, whichever is smaller."""

from __future__ import annotations

import numpy as np
from cosolve.core.arrays import Array
from cosolve.core.errors import BadInputError


def pod(snapshots: Array, modes: int) -> tuple[Array, Array]:
    """Return the leading modes of centred `snapshots` and the share of the energy that each carries.

    L. Sirovich, Quart. Appl. Math. 45 (1987) 561, doi:10.1090/qam/910462.

    Args:
        snapshots: Shape `(n_snapshots, m)`.
        modes: Number of modes wanted; fewer are returned where the snapshots do not span as many.

    Returns:
        Orthonormal modes, shape `(n_modes, m)`, and the shares, shape `(n_modes,)`.

    Raises:
        BadInputError: There is no snapshot, or all are equal to zero.
    """
    if not len(snapshots):
        raise BadInputError("POD needs at least one snapshot: give longer runs or skip fewer steps")
    count, width = snapshots.shape
    gram = snapshots.T @ snapshots if width <= count else snapshots @ snapshots.T
    values, vectors = np.linalg.eigh(gram)
    values, vectors = values[::-1], vectors[:, ::-1]
    total = float(np.sum(np.maximum(values, 0.0)))
    if total == 0.0:
        raise BadInputError("POD needs snapshots that differ: all of them are the same")
    # Below the square of the rounding unit the Gram matrix says nothing about a mode.
    keep = min(modes, int(np.count_nonzero(values > 1e-15 * values[0])))
    found = vectors[:, :keep].T
    if width > count:
        found = (found / np.sqrt(values[:keep])[:, None]) @ snapshots
    # One more orthogonalisation: the small modes of a Gram matrix are not orthogonal to rounding.
    orthonormal, triangle = np.linalg.qr(found.T)
    return (orthonormal * np.sign(np.diag(triangle))).T.copy(), values[:keep] / total
