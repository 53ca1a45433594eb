"""Options of the cantilever, checked without dolfinx, and the family of random beams that it draws from."""

from __future__ import annotations

from typing import Literal

import numpy as np
from cosolve.core.arrays import Array
from cosolve.core.options import Options
from cosolve.plugins.fenicsx.options import FormSolverOptions
from pydantic import Field

LENGTH, HEIGHT = 5.0, 1.0
MODES: tuple[tuple[int, int], ...] = tuple((i, j) for j in range(2) for i in range(6))
"""Waves along and across the beam of the 12 modes of the logarithm of the modulus."""

ROUGHNESS = 0.4
"""Standard deviation of the leading modes of the logarithm of the modulus; it falls with the number of waves."""

LOADS = 6
"""Coefficients of the traction: three Legendre polynomials of x for the vertical part, three for the horizontal one."""

STRENGTH: tuple[float, ...] = (1.0, 0.5, 0.5, 0.3, 0.15, 0.15)
"""Standard deviation of each coefficient in units of `TRACTION`."""

TRACTION = 3.9e-3
"""Unit of the traction, relative to the modulus: half of the beams of the family bend by more than 2."""

LARGEST = 2.0
"""Coefficients of the traction are drawn from normal distributions cut off at so many standard deviations."""


class CantileverOptions(Options):
    """The `[problem]` table of a cantilever case. Lengths are in units of the beam's height, stresses of its modulus.

    Attributes:
        nx: Cells along the beam.
        ny: Cells across it.
        seed: Draws modulus and traction.
        index: Number of the first beam in the family of `seed`.
        load: Factor of the traction.
    """

    nx: int = Field(default=80, ge=2, le=2000)
    ny: int = Field(default=16, ge=2, le=400)
    seed: int = Field(default=0, ge=0)
    index: int = Field(default=0, ge=0)
    load: float = Field(default=1.0, ge=0.0, allow_inf_nan=False)

    def parameters(self, offset: int = 0) -> dict[str, Array]:
        """Return `modulus` (12 standard normal numbers) and `traction` (6 coefficients) of beam `index + offset`."""
        drawn = draw(self.seed, self.index + offset)
        return {"modulus": drawn["modulus"], "traction": self.load * drawn["traction"]}


class CantileverSolverOptions(FormSolverOptions):
    """The `[solver]` table of a cantilever case.

    Attributes:
        continuation: What the solver does without a start: follow the load on the coarse mesh and go on from there,
            follow it on the mesh itself, or nothing but Newton's method from rest.
    """

    continuation: Literal["grid_sequencing", "load_stepping", "none"] | None = None


def draw(seed: int, index: int) -> dict[str, Array]:
    """Draw the parameters of beam `index` of a family."""
    generator = np.random.default_rng([seed, index])
    modulus, traction = generator.normal(size=len(MODES)), generator.normal(size=LOADS)
    while np.any(np.abs(traction) > LARGEST):
        traction = np.where(np.abs(traction) > LARGEST, generator.normal(size=LOADS), traction)
    return {"modulus": modulus, "traction": traction * np.array(STRENGTH)}
