"""Options of the problem `lens`, checked without PETSc."""

from __future__ import annotations

from cosolve.core.options import Options, Positive
from pydantic import Field


class LensOptions(Options):
    """The `[problem]` table of a Helmholtz problem with a lens that moves. Lengths are edges of the cube.

    Attributes:
        points: Mesh points along an edge; they are moved at random, so that no coarser mesh fits.
        wavenumber: Radians over an edge, outside of the lens.
        seed: Draws the mesh, and lens and source of each solve.
    """

    points: int = Field(default=18, ge=5, le=64)
    wavenumber: Positive = 9.0
    seed: int = Field(default=0, ge=0)
