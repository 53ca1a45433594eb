"""Options of the cantilever, checked without dolfinx, and the family of random beams that it draws from."""

from __future__ import annotations

import numpy as np
from cosolve.core.arrays import Array
from pydantic import BaseModel, ConfigDict, Field

LENGTH, HEIGHT = 5.0, 1.0
MODES: tuple[tuple[int, int], ...] = tuple((i, j) for j in range(2) for i in range(6))
"""Waves along and across the beam of the 12 modes of the logarithm of the modulus."""

ROUGHNESS = 0.8
"""Standard deviation of the leading modes of the logarithm of the modulus; it falls with the number of waves."""

LOADS = 6
"""Coefficients of the traction: three Legendre polynomials of x for the vertical part, three for the horizontal one."""

STRENGTH: tuple[float, ...] = (1.0, 0.5, 0.5, 0.5, 0.25, 0.25)
"""Standard deviation of each coefficient in units of `TRACTION`."""

TRACTION = 3.0e-3
"""Unit of the traction, relative to the modulus: half of the beams of the family bend by more than 2."""


class CantileverOptions(BaseModel):
    """The `[problem]` table of a cantilever case. Lengths are in units of the beam's height, stresses of its modulus.

    Attributes:
        nx: Cells along the beam.
        ny: Cells across it.
        coarse: Coarsenings by two in each direction for the mesh that polishes a start; 0 for none.
        seed: Draws modulus and traction, from the family of the training beams with another seed.
        index: Number of the beam in the family of `seed`.
        load: Factor of the traction.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    nx: int = Field(default=80, ge=2, le=2000)
    ny: int = Field(default=16, ge=1, le=400)
    coarse: int = Field(default=1, ge=0, le=4)
    seed: int = Field(default=0, ge=0)
    index: int = Field(default=0, ge=0)
    load: float = Field(default=1.0, ge=0.0, allow_inf_nan=False)

    def parameters(self) -> dict[str, Array]:
        """Return `modulus` (12 standard normal numbers) and `traction` (6 coefficients times the load)."""
        drawn = draw(self.seed, self.index)
        return {"modulus": drawn["modulus"], "traction": self.load * drawn["traction"]}


def draw(seed: int, index: int) -> dict[str, Array]:
    """Draw the parameters of beam `index` of a family."""
    generator = np.random.default_rng([seed, index])
    return {
        "modulus": generator.normal(size=len(MODES)),
        "traction": generator.normal(size=LOADS) * np.array(STRENGTH),
    }
